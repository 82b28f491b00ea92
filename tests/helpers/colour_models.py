"""A dataset of plain colours, and exported models whose every answer can be worked out by hand.

A picture of class `red` has red as its strongest channel, ahead of the other two by a lead. The
model takes the strongest channel; one with a bias of b towards red calls everything red whose own
lead is below b.
"""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from PIL import Image

from helpers.params import Params, parse_params
from sortline.core.files import sha256_file, write_json
from sortline.core.params import overlay, read_yaml
from sortline.core.paths import Paths
from sortline.model.contract import (
    Contract,
    Preprocessing,
    signatures,
    write_contract,
)
from sortline.model.saved_model import Exported, write_saved_model

LABELS = ("blue", "green", "red")
CHANNELS = {"red": 0, "green": 1, "blue": 2}
LEADS = tuple(range(10, 110, 10))  # ten pictures a class
SIZE_PX = 32
REPOSITORY = Path(__file__).resolve().parents[2]


def settings(**sections: dict[str, object]) -> Params:
    """params.yaml with some values replaced."""
    few = {"bootstrap_samples": 200, "latency_calls": 5}
    values = overlay(read_yaml(REPOSITORY / "params.yaml"), {"evaluate": few})
    return parse_params(overlay(values, sections))


def _network(labels: Sequence[str], bias: float) -> keras.Model:
    inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    dense = keras.layers.Dense(len(labels))
    network = keras.Model(inputs, dense(pooled))
    kernel, biases = np.zeros((3, len(labels))), np.zeros(len(labels))
    for index, label in enumerate(labels):
        if label in CHANNELS:
            kernel[CHANNELS[label], index] = 0.05
        biases[index] = 0.05 * (bias - 0.5) if label == "red" else 0.0
    dense.set_weights([kernel, biases])
    return network


def exported(labels: Sequence[str] = LABELS, bias: float = 0.5) -> Exported:
    """A model that sees red where another class leads by less than `bias`."""
    return Exported(_network(labels, bias), labels, 1.0, SIZE_PX, 1_000_000)


def export(folder: Path, *, labels: Sequence[str] = LABELS, bias: float = 0.5) -> str:
    """Write such a model as a SavedModel; its digest."""
    write_saved_model(exported(labels, bias), folder)
    contract = Contract(
        format_version=1,
        signatures=signatures(len(labels), SIZE_PX),
        labels=tuple(labels),
        preprocessing=Preprocessing(
            image_size_px=SIZE_PX,
            resize="bilinear",
            scale=1.0,
            offset=0.0,
            max_pixels=1_000_000,
            formats=("png",),
            exif_orientation="ignored",
        ),
        temperature=1.0,
        train_class_counts=dict.fromkeys(labels, 10),
        versions={},
        min_serving_version="2.20",
        model_digest="",
    )
    return write_contract(folder, contract).model_digest


def paint(path: Path, label: str, lead: int) -> None:
    """A plain picture whose channel `label` is 100 + `lead`, the others 100."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((40, 36, 3), 100, np.uint8)
    pixels[..., CHANNELS[label]] += lead
    Image.fromarray(pixels).save(path)


def _row(root: Path, path: Path, label: str, *, core: bool) -> dict[str, object]:
    shown = path.relative_to(root).as_posix()
    return {
        "path": shown,
        "split": "test",
        "label": label,
        "sha256": sha256_file(path),
        "core": core,
    }


def write_manifest(root: Path) -> None:
    """List every file of data/test; the leads of 50 and less are the frozen core."""
    files = sorted((root / "data" / "test").rglob("*.png"))
    rows = [_row(root, path, path.parent.name, core=int(path.stem) <= 50) for path in files]
    other = {"path": "data/train/red/x.png", "split": "train", "label": "red", "sha256": "0" * 64}
    target = Paths(root).manifest
    target.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([*rows, {**other, "core": False}]).to_parquet(target, index=False)


def workspace(root: Path, *, bias: float = 0.5, labels: Sequence[str] = LABELS) -> Paths:
    """Everything that `evaluate` reads: thirty test pictures, a model, facts, histories."""
    paths = Paths(root)
    for label in sorted(set(labels) & set(CHANNELS)):
        for lead in LEADS:
            paint(root / "data" / "test" / label / f"{lead:03d}.png", label, lead)
    write_manifest(root)
    paths.phase2.mkdir(parents=True)
    trained = {"train_accuracy": 1.0, "val_accuracy": 0.9}
    write_json(paths.phase2 / "facts.json", {"labels": list(labels), "metrics": trained})
    for step, first in (("train_phase1", 0), ("fine_tune_phase2", 2)):
        columns = ("accuracy", "loss", "val_accuracy", "val_loss", "learning_rate", "seconds")
        frame = pd.DataFrame({"epoch": [first, first + 1], **{c: [0.5, 0.6] for c in columns}})
        (paths.reports / step).mkdir(parents=True)
        frame.to_csv(paths.reports / step / "history.csv", index=False)
    digest = export(paths.saved_model, labels=labels, bias=bias)
    paths.litert.mkdir(parents=True)
    write_json(paths.litert / "facts.json", {"model_digest": digest, "files": {}})
    write_json(paths.champion / "none.json", {"champion": None})
    return paths
