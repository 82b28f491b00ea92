"""What the demo backbone is worth: the demo's recipe against a small network from scratch.

    python bench/demo_backbone.py [--data DIR] [--seeds 0 1 2]

Prints, as Markdown, the accuracy on the test split of the generated dataset for each seed, the
mean, and the margin in points. The small network is the one of a Keras tutorial (three convolutions
with pooling, a dense layer, Adam 1e-3), stopped early on the validation split, best weights kept.
The demo backbone is trained as recipes/demo.yaml says: the head on a frozen backbone, then all from
layer 100 with BatchNorm still. Both see the same pixels at 96 px, and no augmentation. Ends with 1
if the margin is below ten points. Three seeds take about half an hour on two idle cores.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from pipeline_steps.models.backbones import cut_below, head_of, set_trainable_from, tail_of
from pipeline_steps.models.pretrain_demo import DEMO_WEIGHTS, Recipe
from pipeline_steps.models.weights import load_weights

SIDE_PX = 96
FROM_LAYER = 100
REQUIRED_POINTS = 10.0

Array = NDArray[Any]


@dataclass(frozen=True)
class Split:
    """Inputs [N, ...] and labels int64 [N]."""

    inputs: Array
    labels: Array


Splits = dict[str, Split]


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def read_split(folder: Path) -> Split:
    """Read a split as uint8 [N, 96, 96, 3]; classes in alphabetical order."""
    names = sorted(path.name for path in folder.iterdir())
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    labels = np.array([names.index(path.parent.name) for path in files])
    pixels = [_pixels(path) for path in tqdm(files, desc=folder.name, unit="image")]
    return Split(np.stack(pixels), labels)


def build_small(classes: int) -> keras.Model:
    """Build the network of the tutorial, from pixels in 0..255 to logits."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((SIDE_PX, SIDE_PX, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(128, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(classes),
        ]
    )


def _fit(
    model: keras.Model, splits: Splits, *, epochs: int, rate: float, batch: int, patience: int
) -> None:
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    stop = keras.callbacks.EarlyStopping(
        "val_loss", patience=patience, restore_best_weights=True, verbose=1
    )
    train, val = splits["train"], splits["val"]
    model.fit(
        train.inputs,
        train.labels,
        validation_data=(val.inputs, val.labels),
        epochs=epochs,
        batch_size=batch,
        callbacks=[stop],
        verbose=2,
    )


def accuracy(model: keras.Model, split: Split) -> float:
    """Share of right answers."""
    logits = model.predict(split.inputs, batch_size=128, verbose=0)
    return float((logits.argmax(axis=-1) == split.labels).mean())


def train_small(splits: Splits, classes: int) -> float:
    """Train the small network until it no longer improves; accuracy on the test split."""
    model = build_small(classes)
    _fit(model, splits, epochs=60, rate=1e-3, batch=32, patience=4)
    return accuracy(model, splits["test"])


def _mapped(splits: Splits, model: keras.Model, *, scale: bool) -> Splits:
    def through(inputs: Array) -> Array:
        blocks = np.array_split(inputs, -(-len(inputs) // 256))
        scaled = (block / np.float32(127.5) - 1 if scale else block for block in blocks)
        return np.concatenate([model.predict_on_batch(block) for block in scaled])

    return {name: Split(through(split.inputs), split.labels) for name, split in splits.items()}


def _build_head(channels: int, classes: int) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((None, None, channels)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(classes),
        ]
    )


def build_demo_backbone() -> keras.Model:
    """Build the backbone that ships with the package, its weights loaded."""
    backbone = keras.applications.MobileNetV2(
        input_shape=(SIDE_PX, SIDE_PX, 3), alpha=Recipe().alpha, include_top=False, weights=None
    )
    load_weights(backbone, DEMO_WEIGHTS)
    return backbone


def train_demo(splits: Splits, classes: int) -> tuple[float, float]:
    """Train as recipes/demo.yaml does; accuracy on the test split after each phase."""
    backbone = build_demo_backbone()
    cut = cut_below(backbone, FROM_LAYER)
    at_cut = _mapped(splits, head_of(backbone, cut), scale=True)
    tail = tail_of(backbone, cut)
    head = _build_head(backbone.output.shape[-1], classes)
    at_end = _mapped(at_cut, tail, scale=False)
    _fit(head, at_end, epochs=10, rate=1e-3, batch=128, patience=4)
    phase_1 = accuracy(head, at_end["test"])
    set_trainable_from(backbone, FROM_LAYER)
    network = keras.Sequential([tail, head])
    _fit(network, at_cut, epochs=5, rate=2e-4, batch=128, patience=4)
    return phase_1, accuracy(network, at_cut["test"])


def _timed(train: Callable[[Splits, int], Any], splits: Splits, seed: int) -> tuple[Any, float]:
    keras.utils.set_random_seed(seed)
    started = time.monotonic()
    result = train(splits, len(np.unique(splits["train"].labels)))
    return result, time.monotonic() - started


def print_table(rows: Sequence[tuple[int, float, float, float]]) -> float:
    """Print (seed, small, phase 1, phase 2) in percent, and return the margin in points."""
    print("| seed | small network | demo, head only | demo, fine-tuned | margin |")
    print("|---|---|---|---|---|")
    means = [mean(row[column] for row in rows) for column in (1, 2, 3)]
    named = [(str(seed), small, head, tuned) for seed, small, head, tuned in rows]
    for name, small, head, tuned in (*named, ("mean", means[0], means[1], means[2])):
        print(
            f"| {name} | {100 * small:.1f} % | {100 * head:.1f} % | {100 * tuned:.1f} % "
            f"| {100 * (tuned - small):+.1f} |"
        )
    return 100 * (means[2] - means[0])


def main() -> int:
    """Train both on every seed and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    splits = {name: read_split(arguments.data / name) for name in ("train", "val", "test")}
    rows = []
    for seed in arguments.seeds:
        (head, tuned), demo_s = _timed(train_demo, splits, seed)
        print(f"seed {seed}: demo {head:.4f}, {tuned:.4f} in {demo_s:.0f} s", flush=True)
        small, small_s = _timed(train_small, splits, seed)
        print(f"seed {seed}: small {small:.4f} in {small_s:.0f} s", flush=True)
        rows.append((seed, small, head, tuned))
    margin = print_table(rows)
    print(f"margin {margin:+.1f} points, required {REQUIRED_POINTS:+.1f}")
    return 0 if margin >= REQUIRED_POINTS else 1


if __name__ == "__main__":
    sys.exit(main())
