"""How fast features come, against what a Keras user would write, and against the machine's peak.

    python bench/extraction.py [--data data/train] [--images 768] [--rounds 3]

In one process, in turns: `model.predict` over `image_dataset_from_directory`, the same pipeline
through a `tf.function`, and Sortline's extraction (decoding, LiteRT, shards written) into an empty
cache. What each pays once, however many images follow, is left out of its rate: tracing there,
conversion here, whose seconds are printed. Then the forward pass alone on decoded pixels, as a
share of the fastest matrix product that NumPy or TensorFlow reach here. Prints a table with ratios,
and writes it beside the others as JSON, unless there were too few images to mean anything.
ImageNet weights are used if SORTLINE_WEIGHTS_DIR has them; random ones take the same time.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sortline.core.files import sha256_file
from sortline.images.pixels import pixel_batches
from sortline.images.views import PLAIN
from sortline.orchestration.params import Params, load
from sortline.training.cuts import cut_below
from sortline.training.engine import cores, open_engine
from sortline.training.extraction import pooled_and_cut
from sortline.training.features import Views, features_of_splits
from sortline.training.network import build_network
from sortline.training.phase import extractor_of
from sortline.training.weights import load_pretrained

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench/results/extraction.json"
IMAGES = 768
REQUIRED = {"Sortline / model.predict": 4.0, "forward pass / matrix product": 0.8}


@dataclass(frozen=True)
class Setting:
    """The network, its two outputs, and the images that are fed to it."""

    params: Params
    network: keras.Model
    pooled: keras.Model
    both: keras.Model
    files: list[Path]
    sha256: list[str]
    folder: Path


def build(folder: Path, images: int) -> Setting:
    """Build the reference network, and choose images evenly from a folder of classes."""
    params = load(ROOT)
    weights = "imagenet" if os.environ.get("SORTLINE_WEIGHTS_DIR") else None
    backbone = params.backbone.model_copy(update={"weights": weights})
    network = build_network(backbone, params.head, 10, params.seed)
    load_pretrained(network.get_layer("backbone"), backbone, Path(tempfile.gettempdir()))
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    chosen = [files[index] for index in np.linspace(0, len(files) - 1, images).astype(int)]
    pooled = keras.Model(network.input, network.get_layer("pooling").output)
    both = pooled_and_cut(network, cut_below(network.get_layer("backbone"), 100))
    sha256 = [sha256_file(path) for path in chosen]  # As the manifest has them.
    return Setting(params, network, pooled, both, chosen, sha256, folder)


def _as_folder(setting: Setting, target: Path) -> Path:
    for index, path in enumerate(setting.files):
        link = target / path.parent.name / f"{index}{path.suffix}"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(path.resolve())
    return target


def _dataset(setting: Setting, folder: Path) -> tf.data.Dataset:
    size = setting.params.backbone.image_size_px
    images = keras.utils.image_dataset_from_directory(
        folder, labels=None, image_size=(size, size), batch_size=32, shuffle=False, verbose=False
    )
    return images.prefetch(tf.data.AUTOTUNE)


def by_predict(setting: Setting, folder: Path) -> float:
    """As a Keras user writes it; seconds."""
    return _seconds(lambda: setting.pooled.predict(_dataset(setting, folder), verbose=0))


def by_function(setting: Setting, folder: Path, call: Any) -> float:
    """The same pipeline through a compiled call; seconds."""
    return _seconds(lambda: [call(batch).numpy() for batch in _dataset(setting, folder)])


def _views(setting: Setting, rows: slice) -> Views:
    files, sha256 = setting.files[rows], setting.sha256[rows]
    return Views(
        files=files,
        sha256=sha256,
        vectors=np.tile(PLAIN, (len(files), 1)),
        labels=np.zeros(len(files), "int64"),
        first=np.arange(len(files)),
        count=np.ones(len(files), "int64"),
    )


def by_sortline(setting: Setting, opening: list[float]) -> float:
    """What the steps do, into an empty cache; both cuts are kept; seconds.

    The first image is a split of its own: for it the network is converted, which goes to `opening`.
    """
    extractor = extractor_of(setting.both, {"cut": "pooled"}, {"cut": "at the cut"})
    splits = [_views(setting, slice(0, 1)), _views(setting, slice(1, None))]
    with tempfile.TemporaryDirectory() as cache:
        found = features_of_splits(splits, extractor, setting.params.features, Path(cache))
    (_, first), (_, others) = found
    opening.append(first.seconds)
    return others.seconds


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def multiply_adds(model: keras.Model) -> int:
    """Of one image through the convolutions and dense layers of a network."""
    total = 0
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            total += int(np.prod(layer.output.shape[1:])) * int(np.prod(layer.kernel.shape[:2]))
        elif isinstance(layer, keras.layers.Conv2D):
            total += int(np.prod(layer.output.shape[1:])) * int(np.prod(layer.kernel.shape[:3]))
    return total


def peak_flops() -> float:
    """The best of some large float32 matrix products, in operations a second."""
    side = 2048
    a = np.random.default_rng(0).random((side, side), np.float32)
    on_tensorflow = tf.constant(a)
    products = (lambda: a @ a, lambda: tf.matmul(on_tensorflow, on_tensorflow).numpy())
    best = min(_seconds(product) for product in products for _ in range(5))
    return 2 * side**3 / best


def forward_rates(setting: Setting) -> tuple[float, float]:
    """Images a second of LiteRT on decoded pixels, and its largest difference to TensorFlow."""
    size, some = setting.params.backbone.image_size_px, setting.files[:64]
    vectors = np.tile(PLAIN, (len(some), 1))
    pixels = np.concatenate(list(pixel_batches(some, vectors, size, 32)))
    with (
        open_engine(setting.pooled, "litert") as fast,
        open_engine(setting.pooled, "keras") as exact,
    ):
        difference = float(np.abs(fast(pixels)[0] - exact(pixels)[0]).max())
        seconds = min(_seconds(lambda: fast(pixels)) for _ in range(5))
    return len(pixels) / seconds, difference


def measure(setting: Setting, rounds: int) -> dict[str, Any]:
    """Run everything in turns; images a second and ratios."""
    spec = tf.TensorSpec((None, *setting.pooled.input_shape[1:]), tf.float32)
    call = tf.function(lambda x: setting.pooled(x, training=False), input_signature=[spec])
    opening: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = _as_folder(setting, Path(name))
        ways: dict[str, Callable[[], float]] = {
            "model.predict": lambda: by_predict(setting, folder),
            "tf.function": lambda: by_function(setting, folder, call),
            "Sortline": lambda: by_sortline(setting, opening),
        }
        for work in ways.values():  # Tracing and file caches are nobody's advantage.
            work()
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, work in ways.items():
                seconds[way].append(work())
    rates = {way: len(setting.files) / median(each) for way, each in seconds.items()}
    forward, difference = forward_rates(setting)
    flops, peak = 2 * multiply_adds(setting.network) * forward, peak_flops()
    return {
        "images": len(setting.files),
        "rounds": rounds,
        "cores": cores(),
        "images_per_s": {way: round(rate, 1) for way, rate in rates.items()},
        "forward_images_per_s": round(forward, 1),
        "forward_gflops": round(flops / 1e9, 1),
        "matrix_product_gflops": round(peak / 1e9, 1),
        "opening_s": median(opening),
        "largest_difference_to_tensorflow": difference,
        "ratios": {
            "Sortline / model.predict": round(rates["Sortline"] / rates["model.predict"], 2),
            "Sortline / tf.function": round(rates["Sortline"] / rates["tf.function"], 2),
            "forward pass / matrix product": round(flops / peak, 2),
        },
    }


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| extraction, decoding included | images/s |", "|---|---|"]
    lines += [f"| {way} | {rate:,.0f} |" for way, rate in result["images_per_s"].items()]
    lines.append(f"| (opening Sortline's engine, once: {result['opening_s']:.0f} s) | |")
    lines += [f"| forward pass alone (LiteRT) | {result['forward_images_per_s']:,.0f} |", ""]
    for name, ratio in result["ratios"].items():
        required = REQUIRED.get(name)
        said = f", required {required}" if required else ""
        lines.append(f"- {name}: {ratio}{said}")
    difference = result["largest_difference_to_tensorflow"]
    lines.append(f"- largest difference to TensorFlow on these images: {difference:.1e}")
    return "\n".join(lines)


def main() -> int:
    """Measure and print; 1 when a required ratio is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data/train")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    result = measure(build(arguments.data, arguments.images), arguments.rounds)
    if arguments.images >= IMAGES:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(result))
    return 0 if all(result["ratios"][name] >= least for name, least in REQUIRED.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
