"""Writes the LiteRT files of a model, and proves what they are.

The SavedModel decides what is right: float32 agrees with it to 1e-4, or is refused. What int8 costs
is measured on the test split (litert_scores.py); here, how it differs on validation images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import tensorflow as tf

from sortline.core.errors import ExportError
from sortline.core.files import sha256_file, write_json
from sortline.model.litert import (
    FACTS,
    IMAGE,
    PROBABILITIES,
    Interpreted,
    Pixels,
    Port,
    chosen,
    read_pixels,
)
from sortline.model.local_model import Served
from sortline.model.saved_model import Exported
from sortline.model.settings import LiteRt
from sortline.training.litert_file import flat_of

MAX_DIFFERENCE: Final = 1e-4


@dataclass(frozen=True)
class Facts:
    """What facts.json says of one file.

    Attributes:
        file: its name.
        sha256: of its bytes, in hex.
        size_bytes: of the file.
        input: the image.
        output: the probabilities, in the order of labels.
        max_difference: of a probability to the SavedModel's, on validation images.
        agreement: share of those images for which both name the same class.
    """

    file: str
    sha256: str
    size_bytes: int
    input: Port
    output: Port
    max_difference: float
    agreement: float


@dataclass(frozen=True)
class Sources:
    """Images for the files: those that calibrate int8, and those on which all are compared.

    Attributes:
        root: where their paths begin.
        calibration: rows with path and sha256.
        parity: rows with path and sha256.
    """

    root: Path
    calibration: pd.DataFrame
    parity: pd.DataFrame


def _calibration(images: Sources, size_px: int) -> Iterator[Pixels]:
    for index, pixels in enumerate(read_pixels(images.calibration, images.root, size_px)):
        if index == 0:
            # The input's range is what is seen of it: with both ends there, its scale is 1.
            pixels[0, 0], pixels[0, 1] = 0.0, 255.0
        yield pixels[np.newaxis]


def convert(exported: Exported, kind: LiteRt, images: Sources) -> bytes:
    """The bytes of a file of this kind.

    Raises:
        DataError: an image for the calibration is missing, or is not the validated one.
    """
    size_px = exported.image_size_px

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = exported.network(image, training=False)
        return {PROBABILITIES: tf.nn.softmax(logits / exported.temperature)}

    spec = tf.TensorSpec((1, size_px, size_px, 3), tf.float32, IMAGE)
    seen = list(_calibration(images, size_px)) if kind == "int8" else None
    return flat_of(exported.network, serve, spec, seen)


def _described(
    flat: bytes, file: Path, pixels: Pixels, wanted: Pixels, threshold: float | None
) -> Facts:
    interpreted = Interpreted(flat, 1)
    found = np.stack([interpreted.probabilities(each) for each in pixels])
    if not np.isfinite(found).all():
        raise ExportError(
            f"{file.name} gives probabilities that are no numbers. Leave it out of export.litert."
        )
    return Facts(
        file=file.name,
        sha256=sha256_file(file),
        size_bytes=len(flat),
        input=interpreted.input,
        output=interpreted.output,
        max_difference=float(np.abs(found - wanted).max()),
        agreement=float((chosen(found, threshold) == chosen(wanted, threshold)).mean()),
    )


def _refuse_difference(facts: Facts) -> None:
    if facts.max_difference > MAX_DIFFERENCE:
        raise ExportError(
            f"{facts.file} and the SavedModel differ by up to {facts.max_difference:.1e} in a"
            f" probability; at most {MAX_DIFFERENCE:.0e} is allowed. Leave float32 out of"
            " export.litert, or raise export.temperature if it is very small."
        )


def _write_files(
    exported: Exported, served: Served, kinds: Sequence[LiteRt], images: Sources, folder: Path
) -> dict[str, Facts]:
    pixels = np.stack(list(read_pixels(images.parity, images.root, exported.image_size_px)))
    wanted = served.predict_tensor(pixels).probabilities
    facts: dict[str, Facts] = {}
    for kind in kinds:
        flat, file = convert(exported, kind, images), folder / f"{kind}.tflite"
        file.write_bytes(flat)
        facts[kind] = _described(flat, file, pixels, wanted, served.contract.threshold)
        if kind == "float32":
            _refuse_difference(facts[kind])
    return facts


def write_litert(
    exported: Exported, served: Served, kinds: Sequence[LiteRt], images: Sources, folder: Path
) -> dict[str, Facts]:
    """Write the files and facts.json into a folder; no kinds give facts.json alone.

    Args:
        exported: what is converted.
        served: its SavedModel, reloaded.
        kinds: which files.
        images: see `Sources`.
        folder: an empty one.

    Raises:
        ExportError: float32 disagrees with the SavedModel, or a file gives no numbers.
        DataError: an image is missing, or is not the validated one.
    """
    facts = _write_files(exported, served, kinds, images, folder) if kinds else {}
    about = {
        "model_digest": served.contract.model_digest,
        "labels": list(served.labels),
        "resize": served.contract.preprocessing.resize,
        "files": {kind: asdict(each) for kind, each in facts.items()},
    }
    write_json(folder / FACTS, about)
    return facts
