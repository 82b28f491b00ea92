"""Seconds of one epoch of phase 1 on features that are in the cache.

    python bench/phase1_epoch.py [--images 15777] [--validation 1972] [--batch-sizes 128 32]

Writes random features of the reference backbone's size as shards, in the storage type of
params.yaml, opens them as a step does, and trains the reference head on them by the steps' own
loop: rows gathered from the shards, float32, Adam, then the validation split, what early stopping
keeps, and a checkpoint. What the features are changes no epoch's time. The first epoch pays for
tracing and is printed apart; the median of the others counts. Prints a table and writes it as JSON;
1 when an epoch at batch 128 takes a second or more. params.yaml has batch 32, `fast` 128.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from sortline.core.params import read_yaml
from sortline.images.views import PLAIN
from sortline.orchestration.params import load
from sortline.training.batches import Examples, one_hot
from sortline.training.curves import Row
from sortline.training.feature_store import Space, row_keys
from sortline.training.features import Views
from sortline.training.loop import train
from sortline.training.network import build_head
from sortline.training.phase_settings import Phase

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench/results/phase1_epoch.json"
CHANNELS, CLASSES = 1280, 10  # MobileNetV2 of width 1.0; the generated dataset.
EPOCHS = 6
JUDGED, LIMIT_S = 128, 1.0


def _split(cache: Path, name: str, images: int, storage: str) -> Examples:
    """Random features [images, CHANNELS] in shards of the size that a step writes."""
    rng = np.random.default_rng(images)
    sha256 = [f"{index:064x}" for index in range(images)]
    vectors = np.tile(PLAIN, (images, 1)).astype("float32")
    keys = row_keys(sha256, vectors)
    space = Space(cache, {"split": name, "storage": storage})
    size = space.shard_rows(CHANNELS * np.dtype(storage).itemsize)
    for start in range(0, images, size):
        part = keys[start : start + size]
        space.append(part, rng.random((len(part), CHANNELS), "float32").astype(storage), 0.0)
    labels = rng.integers(CLASSES, size=images)
    first, count = np.arange(images), np.ones(images, "int64")
    views = Views([Path()] * images, sha256, vectors, labels, first, count)
    return Examples(space.open().rows(keys), views, one_hot(labels, CLASSES))


def measure(images: int, validation: int, batch_size: int) -> dict[str, Any]:
    """Seconds of each epoch."""
    params = load(ROOT)
    changes = {"batch_size": batch_size, "epochs": EPOCHS, "early_stopping_patience": EPOCHS}
    phase = Phase(**{**read_yaml(ROOT / "params.yaml")["train_phase1"], **changes})
    ends: list[float] = []

    def end(_: Row) -> None:
        ends.append(time.monotonic())

    with tempfile.TemporaryDirectory() as name:
        sizes = {"train": images, "val": validation}
        splits = [_split(Path(name), *each, params.features.storage) for each in sizes.items()]
        started = time.monotonic()
        train(
            build_head(params.head, CHANNELS, CLASSES),
            (splits[0], splits[1]),
            phase,
            seed=params.seed,
            first_epoch=0,
            resume=Path(name) / "resume.safetensors",
            on_epoch=end,
        )
    seconds = np.diff([started, *ends]).tolist()
    return {
        "images": images,
        "validation_images": validation,
        "batch_size": batch_size,
        "storage": params.features.storage,
        "first_epoch_s": round(seconds[0], 3),
        "epoch_s": round(median(seconds[1:]), 3),
        "fastest_s": round(min(seconds), 3),
    }


def main() -> int:
    """Measure, print, write; 1 when the promise is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=15777)
    parser.add_argument("--validation", type=int, default=1972)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[JUDGED, 32])
    asked = parser.parse_args()
    results = [measure(asked.images, asked.validation, size) for size in asked.batch_sizes]
    print("| images | batch | first epoch | an epoch | fastest |\n|---|---|---|---|---|")
    for result in results:
        figures = (f"{result[name]:.2f} s" for name in ("first_epoch_s", "epoch_s", "fastest_s"))
        print(f"| {asked.images:,} | {result['batch_size']} | {' | '.join(figures)} |")
    slow = [r for r in results if r["batch_size"] == JUDGED and r["epoch_s"] >= LIMIT_S]
    print(f"{'MISSED' if slow else 'ok'}: an epoch at batch {JUDGED} in under {LIMIT_S} s")
    if vars(asked) == vars(parser.parse_args([])):
        RESULT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
