"""What the demo backbone is worth: the demo's recipe against a small network from scratch.

    python bench/demo_backbone.py [--data DIR] [--seeds 0 1 2]

Prints, as Markdown, the accuracy on the test split of the generated dataset for each seed, the
mean, and the margin in points. The small network is the one of a Keras tutorial (three convolutions
with pooling, a dense layer, Adam 1e-3), stopped early on the validation split, best weights kept.
The demo backbone is trained as recipes/demo.yaml says, by the steps' own loop. Both see the same
pixels at 96 px, and no augmentation. Ends with 1 if the margin is below ten points. Three seeds
take about half an hour on two idle cores; a seed that was run is kept below .sortline/bench/.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from pipeline_steps.artifacts import sha256_file, sha256_json, write_json
from pipeline_steps.experiment import load_with_recipe
from pipeline_steps.fine_tune_phase2 import frozen_part, trained_part
from pipeline_steps.images.views import PLAIN
from pipeline_steps.models.backbones import cut_below, first_trained, set_trainable_from
from pipeline_steps.models.batches import Examples, one_hot
from pipeline_steps.models.features import Views
from pipeline_steps.models.loop import measure, train
from pipeline_steps.models.network import build_network
from pipeline_steps.models.pretrain_demo import DEMO_WEIGHTS
from pipeline_steps.models.weights import load_pretrained
from pipeline_steps.params import Phase

ROOT = Path(__file__).parents[1]
SIDE_PX = 96
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


def train_small(splits: Splits, seed: int) -> float:
    """Train the small network until it no longer improves; accuracy on the test split."""
    keras.utils.set_random_seed(seed)
    model = build_small(len(np.unique(splits["train"].labels)))
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    stop = keras.callbacks.EarlyStopping("val_loss", patience=4, restore_best_weights=True)
    train, val = splits["train"], splits["val"]
    model.fit(
        train.inputs,
        train.labels,
        validation_data=(val.inputs, val.labels),
        epochs=60,
        batch_size=32,
        callbacks=[stop],
        verbose=2,
    )
    logits = model.predict(splits["test"].inputs, batch_size=128, verbose=0)
    return float((logits.argmax(axis=-1) == splits["test"].labels).mean())


def _examples(split: Split, inputs: Array) -> Examples:
    rows = len(inputs)
    views = Views(
        files=[Path()] * rows,
        sha256=[""] * rows,
        vectors=np.tile(PLAIN, (rows, 1)),
        labels=split.labels,
        first=np.arange(rows),
        count=np.ones(rows, "int64"),
    )
    return Examples(inputs, views, one_hot(split.labels, len(np.unique(split.labels))))


def _mapped(splits: Splits, model: keras.Model) -> dict[str, Examples]:
    def through(inputs: Array) -> Array:
        blocks = np.array_split(inputs, -(-len(inputs) // 256))
        return np.concatenate([model.predict_on_batch(block) for block in blocks])

    return {name: _examples(split, through(split.inputs)) for name, split in splits.items()}


def _train(
    model: keras.Model, data: dict[str, Examples], phase: Phase, seed: int, first: int
) -> float:
    with tempfile.TemporaryDirectory() as folder:
        train(
            model,
            (data["train"], data["val"]),
            phase,
            seed=seed,
            first_epoch=first,
            resume=Path(folder) / "resume.safetensors",
            on_epoch=lambda row: print(row, flush=True),
        )
    return measure(model, data["test"])["accuracy"]


def train_demo(splits: Splits, seed: int) -> tuple[float, float]:
    """Train as recipes/demo.yaml says; accuracy on the test split after each phase."""
    params = load_with_recipe(ROOT, "demo")
    head_phase, (tail_phase,) = params.train_phase1, params.fine_tune_phase2.phases
    if head_phase is None:
        raise SystemExit("recipes/demo.yaml has no phase 1, which this bench trains.")
    classes = len(np.unique(splits["train"].labels))
    network = build_network(params.backbone, params.head, classes, seed)
    backbone = network.get_layer("backbone")
    load_pretrained(backbone, params.backbone, Path(tempfile.gettempdir()))
    backbone.trainable = False
    pooled = keras.Model(network.input, network.get_layer("pooling").output)
    head = network.get_layer("head")
    phase_1 = _train(head, _mapped(splits, pooled), head_phase, seed, 0)
    first = first_trained(backbone, tail_phase.from_layer, params.backbone.architecture)
    cut = cut_below(backbone, first)
    at_cut = _mapped(splits, frozen_part(network, cut))
    set_trainable_from(backbone, first)
    tail = trained_part(network, cut)
    return phase_1, _train(tail, at_cut, tail_phase, seed, head_phase.epochs)


def _kept(name: str, data: Path, train_once: Callable[[], Any]) -> Any:
    """What a run gave; it is not repeated with the same code, recipe, weights and files."""
    files = sorted(path.relative_to(data).as_posix() for path in data.glob("*/*/*"))
    used = [Path(__file__), DEMO_WEIGHTS, ROOT / "recipes/demo.yaml", ROOT / "params.yaml"]
    used = used[:1] if name.startswith("small") else used
    key = sha256_json([files, [sha256_file(file) for file in used]])[:12]
    record = ROOT / f".sortline/bench/demo_backbone/{name}-{key}.json"
    if not record.is_file():
        write_json(record, train_once())
    return json.loads(record.read_text(encoding="utf-8"))


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
    data = arguments.data
    splits = {name: read_split(data / name) for name in ("train", "val", "test")}
    rows = []
    for seed in arguments.seeds:
        head, tuned = _kept(f"demo-{seed}", data, partial(train_demo, splits, seed))
        print(f"seed {seed}: demo {head:.4f}, {tuned:.4f}", flush=True)
        small = _kept(f"small-{seed}", data, partial(train_small, splits, seed))
        print(f"seed {seed}: small {small:.4f}", flush=True)
        rows.append((seed, small, head, tuned))
    margin = print_table(rows)
    print(f"margin {margin:+.1f} points, required {REQUIRED_POINTS:+.1f}")
    return 0 if margin >= REQUIRED_POINTS else 1


if __name__ == "__main__":
    sys.exit(main())
