"""What the LiteRT files of an exported model gain in time, and what they lose in accuracy.

    python bench/edge.py [ROOT] [--data data] [--calls 300] [--calibration N]

ROOT is laid out like runs/NAME (the default is runs/demo): params.yaml, the exported model, the
network it came from, and the predictions of its evaluation. Both files are made anew in a temporary
folder, int8 calibrated on training images below --data, and scored on the very test images of the
evaluation; calls of one decoded image are timed in turns with the SavedModel's, in one process.
Prints a table and the verdicts; exits 1 when one is missed. (No file in here may be called litert:
TensorFlow imports a package of that name, and would find the file.)
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from sortline.core.errors import SortlineError
from sortline.core.files import require, sha256_file
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.evaluation.latency import cpu_model
from sortline.evaluation.litert import litert_latency, litert_metrics
from sortline.model.contract import PREDICT_TENSOR
from sortline.model.litert import Interpreted, Sources, read_litert, write_litert
from sortline.model.local_model import Served, load_model
from sortline.model.saved_model import Exported
from sortline.orchestration.params import Params, check
from sortline.training.network import load_network

ROOT = Path(__file__).parents[1]
FASTER = 3.0  # float32, than the SavedModel
POINTS = 0.5  # of accuracy that int8 may lose
_PARITY_IMAGES = 64
_CPU_CALLS = 50
_WARM_UP_CALLS = 5


def settings_of(root: Path, calls: int, calibration: int | None) -> Params:
    """The settings of a run, which may be older than some of today's."""
    ours = read_yaml(ROOT / "params.yaml")
    params = check(overlay(ours, read_yaml(root / "params.yaml")), str(root / "params.yaml"))
    images = calibration or params.export.litert_images
    return params.model_copy(
        update={
            "export": params.export.model_copy(update={"litert_images": images}),
            "evaluate": params.evaluate.model_copy(update={"latency_calls": calls}),
        }
    )


def some_files(data: Path, split: str, count: int) -> pd.DataFrame:
    """So many files of a split, evenly spaced, with their hashes: as `export` takes them."""
    files = sorted(path for path in (data / split).glob("*/*") if path.is_file())
    chosen = [
        files[at] for at in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)
    ]
    shown = [path.relative_to(data.parent).as_posix() for path in chosen]
    return pd.DataFrame({"path": shown, "sha256": [sha256_file(path) for path in chosen]})


def cpu_ratio(served: Served, flat: bytes, calls: int) -> float:
    """CPU time of the SavedModel's call over the file's, one image each; medians, in turns.

    Of all threads: other work on the machine hardly changes it, which it does to their speed.
    """
    file = Interpreted(flat, len(os.sched_getaffinity(0)))
    size_px = served.contract.preprocessing.image_size_px
    pixels = np.random.default_rng(0).uniform(0.0, 255.0, (size_px, size_px, 3)).astype(np.float32)
    stored, image = file.stored(pixels), tf.constant(pixels[np.newaxis])
    signature = served.loaded.signatures[PREDICT_TENSOR]
    both = (lambda: signature(image=image), lambda: file.run(stored))
    times: list[list[float]] = []
    for _ in range(calls):
        row = []
        for call in both:
            started = time.process_time()
            call()
            row.append(time.process_time() - started)
        times.append(row)
    theirs, ours = np.median(times[_WARM_UP_CALLS:], axis=0)
    return float(theirs / ours)


class LiteRtFigures(NamedTuple):
    """By kind, `float32` and `int8`: entries of metrics.json and of latency.json."""

    metrics: dict[str, dict[str, Any]]
    latency: dict[str, dict[str, Any]]


def measure(root: Path, data: Path, params: Params) -> LiteRtFigures:
    """Make both files and score them."""
    paths = Paths(root)
    network, labels = load_network(paths.phase2, params)
    served = load_model(paths.saved_model)
    size_px, max_pixels = params.backbone.image_size_px, params.images.max_pixels
    exported = Exported(network, labels, served.contract.temperature, size_px, max_pixels)
    images = Sources(
        data.parent,
        some_files(data, "train", params.export.litert_images),
        some_files(data, "val", _PARITY_IMAGES),
    )
    file = paths.reports / "evaluation" / "predictions.parquet"
    rows = pd.read_parquet(require(file, "dvc repro evaluate"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, facts in write_litert(
            exported, served, ["float32", "int8"], images, folder
        ).items():
            print(
                f"{kind}: differs by up to {facts.max_difference:.1e} from the SavedModel on"
                f" {len(images.parity)} validation images"
            )
        flat = read_litert(folder, served.contract.model_digest)
        ratio = cpu_ratio(served, flat["float32"], _CPU_CALLS)
        print(f"the SavedModel takes {ratio:.1f} times the CPU time of float32, one image a call")
        files = {kind: Interpreted(content) for kind, content in flat.items()}
        calls = params.evaluate.latency_calls
        return LiteRtFigures(
            litert_metrics(served, files, rows, data.parent, params),
            litert_latency(served, files, rows, data.parent, calls),
        )


def table(found: LiteRtFigures) -> str:
    """The files as Markdown."""
    head = ["", "size", "accuracy", "lost (95 %)", "p50", "p95", "SavedModel's p50", "speed"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for kind, scored in found.metrics.items():
        timed, (low, high) = found.latency[kind], scored["interval"]
        cells = [
            kind,
            f"{scored['size_bytes'] / 1e6:.2f} MB",
            f"{scored['accuracy']:.2%}",
            f"{100 * scored['accuracy_lost']:.2f} points ({100 * low:.2f} to {100 * high:.2f})",
            f"{timed['p50_ms']:.2f} ms",
            f"{timed['p95_ms']:.2f} ms",
            f"{timed['saved_model']['p50_ms']:.2f} ms",
            f"{timed['speedup']:.1f} times",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdicts(found: LiteRtFigures) -> list[str]:
    """What was promised, and whether it holds here."""
    speedup = found.latency["float32"]["speedup"]
    lost = 100 * found.metrics["int8"]["accuracy_lost"]
    return [
        f"{'ok' if speedup >= FASTER else 'MISSED'}: float32 at least {FASTER:g} times as fast as"
        f" the SavedModel, one image a call: {speedup:.1f}",
        f"{'ok' if lost <= POINTS else 'MISSED'}: int8 loses at most {POINTS} points of accuracy:"
        f" {lost:.2f}",
    ]


def main() -> None:
    """Measure, print; exit 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("root", type=Path, nargs="?", default=ROOT / "runs/demo")
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--calibration", type=int, help="images; the run's own if absent")
    asked = parser.parse_args()
    params = settings_of(asked.root, asked.calls, asked.calibration)
    found = measure(asked.root, asked.data.resolve(), params)
    images = params.export.litert_images
    print(table(found))
    print(f"int8 is calibrated on {images} images. {asked.calls} calls each, on {cpu_model()}.")
    said = verdicts(found)
    print("\n".join(said))
    if any(line.startswith("MISSED") for line in said):
        raise SystemExit(1)


if __name__ == "__main__":
    try:
        main()
    except SortlineError as error:
        raise SystemExit(f"sortline: {error}") from error
