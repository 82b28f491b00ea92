"""Seconds and peak memory of each step, at several sizes of the dataset.

    python bench/memory.py [--images 2000 4000 8000 16000] [--recipe demo] [--epochs 1]

Links so many images of `data/` into a folder of its own and runs the steps there, each in
its own process, with an empty feature cache; peak memory is what the kernel says of that process.
Epochs cost time alone, so that few are run. Without SORTLINE_WEIGHTS_DIR, ImageNet weights are
replaced by random ones: they take as much room. Prints a table, and puts it among the earlier
ones in the JSON file, unless there were too few images to mean anything.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from steps import ROOT, STEPS, link_images, prepare, run_step, settings_of

RESULT = ROOT / "bench/results/memory.json"
LIMIT_MIB = 4096
LEAST_IMAGES = 2000  # Fewer are a quick look, and not kept.
GROWTH = (4000, 16000, 1.1)  # Peak memory at the second size over that at the first, at most.


def _settings(recipe: str | None, epochs: int) -> dict[str, Any]:
    short = {"epochs": epochs, "warmup_epochs": 0}
    return settings_of(recipe, {"train_phase1": short, "fine_tune_phase2": short})


def measure(images: int, recipe: str | None, epochs: int) -> dict[str, Any]:
    """All steps on so many images."""
    settings = _settings(recipe, epochs)
    files = sum(1 for _ in (ROOT / "data").glob("*/*/*"))
    # Beside the data: a hard link does not cross file systems.
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench.", suffix=".partial") as name:
        folder = Path(name)
        linked = link_images(ROOT / "data", folder, min(1.0, images / files))
        prepare(folder, settings)
        steps = {step: run_step(folder, step) for step in STEPS}
        features = sum(path.stat().st_size for path in folder.glob(".sortline/features/*/*"))
    return {
        "recipe": recipe or "params.yaml",
        "epochs": epochs,
        "images": linked,
        "seconds": {step: round(cost.seconds, 1) for step, cost in steps.items()},
        "peak_mib": {step: round(cost.peak_mib) for step, cost in steps.items()},
        "features_mb": round(features / 1e6),
    }


def table(results: list[dict[str, Any]]) -> str:
    """The figures as Markdown."""
    lines = ["| images | features | " + " | ".join(STEPS) + " |", "|---" * (len(STEPS) + 2) + "|"]
    for result in results:
        cells = [f"{result['peak_mib'][s]:,} MiB, {result['seconds'][s]:,.0f} s" for s in STEPS]
        head = [f"{result['images']:,}", f"{result['features_mb']:,} MB"]
        lines.append("| " + " | ".join([*head, *cells]) + " |")
    return "\n".join(lines)


def verdicts(results: list[dict[str, Any]], sizes: list[int]) -> list[str]:
    """What was promised, and what was measured."""
    peaks = {size: max(r["peak_mib"].values()) for size, r in zip(sizes, results, strict=True)}
    worst = max(peaks.values())
    said = [f"{'ok' if worst < LIMIT_MIB else 'MISSED'}: peak {worst:,} MiB, under {LIMIT_MIB:,}"]
    small, large, most = GROWTH
    if small in peaks and large in peaks:
        growth = peaks[large] / peaks[small]
        held = "ok" if growth <= most else "MISSED"
        said.append(f"{held}: peak at {large:,} over {small:,} images {growth:.2f}, at most {most}")
    return said


def remember(runs: list[dict[str, Any]]) -> None:
    """Put runs into the record, each in the place of an earlier one of its kind."""

    def kind(run: dict[str, Any]) -> tuple[Any, ...]:
        return run["recipe"], run["epochs"], run["images"]

    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else []
    kept = {kind(run): run for run in [*known, *runs]}
    ordered = sorted(kept.values(), key=kind)
    RESULT.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Measure, print, write; 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 4000, 8000, 16000])
    parser.add_argument("--recipe")
    parser.add_argument("--epochs", type=int, default=1)
    arguments = parser.parse_args()
    recipe, epochs = arguments.recipe, arguments.epochs
    results = [measure(images, recipe, epochs) for images in arguments.images]
    said = verdicts(results, arguments.images)
    if min(arguments.images) >= LEAST_IMAGES:
        remember(results)
    print(table(results), *said, sep="\n")
    return int(any(line.startswith("MISSED") for line in said))


if __name__ == "__main__":
    sys.exit(main())
