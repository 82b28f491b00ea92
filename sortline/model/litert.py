"""The exported model for devices: LiteRT files, from pixels to calibrated probabilities.

float32.tflite takes float32 [1, S, S, 3], 0 to 255, and gives float32 [1, C]. int8.tflite computes
in 8-bit integers alone, for processors that have nothing else: its input is the pixels as they
leave a decoder, uint8 0 to 255, and its output is probabilities in 256ths. Names, scales, labels
and digests of both stand in facts.json beside them.

The SavedModel decides what is right: float32 agrees with it to 1e-4, or is not written. What int8
costs is measured on the test split (evaluation/scores.py); here, how it differs on validation
images.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from sortline.core.errors import ArtifactError, ExportError
from sortline.core.files import read_json, read_verified, sha256_file, write_json
from sortline.core.quiet import silenced_stderr
from sortline.images.decode import decode_and_resize
from sortline.model.local_model import Served
from sortline.model.saved_model import Exported
from sortline.model.settings import LiteRt
from sortline.training.litert_file import SIGNATURE, flat_of

MAX_DIFFERENCE: Final = 1e-4
_FACTS: Final = "facts.json"
_IMAGE: Final = "image"
_PROBABILITIES: Final = "probabilities"
_MADE_BY: Final = "dvc repro export"
Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Port:
    """An input or output of a file: real value = scale * (stored value - zero_point)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int


class Interpreted:
    """A file in an interpreter, which takes one image at a time; not for several threads.

    Args:
        flat: the bytes of a file that `flat_of` gave.
        threads: that one call uses; None: as many as TensorFlow takes.
    """

    def __init__(self, flat: bytes, threads: int | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.size_bytes = len(flat)
        with silenced_stderr():
            interpreter = Interpreter(
                model_content=flat, num_threads=threads or len(os.sched_getaffinity(0))
            )
            self._runner = interpreter.get_signature_runner(SIGNATURE)
            self.input = _port(_IMAGE, self._runner.get_input_details()[_IMAGE])
            self.output = _port(_PROBABILITIES, self._runner.get_output_details()[_PROBABILITIES])
            self.run(
                np.zeros(self.input.shape, self.input.dtype)
            )  # The first call prints a line: take it now.

    def stored(self, pixels: Pixels) -> npt.NDArray[Any]:
        """An image [S, S, 3], 0 to 255, as the file takes it: [1, S, S, 3]."""
        if self.input.dtype == "float32":
            return pixels[np.newaxis]
        limits = np.iinfo(self.input.dtype)
        raw = np.rint(pixels / self.input.scale) + self.input.zero_point
        return np.asarray(raw.clip(limits.min, limits.max), self.input.dtype)[np.newaxis]

    def run(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """One call, from and to what the file's own types hold."""
        answer: npt.NDArray[Any] = self._runner(**{_IMAGE: stored})[_PROBABILITIES]
        return answer

    def probabilities(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Probabilities [C] of an image [S, S, 3], 0 to 255."""
        raw = self.run(self.stored(pixels))[0]
        if self.output.dtype == "float32":
            return np.asarray(raw, np.float32)
        real = self.output.scale * (raw.astype(np.float32) - self.output.zero_point)
        return np.asarray(real, np.float32)


def chosen(
    probabilities: npt.NDArray[np.float32], threshold: float | None
) -> npt.NDArray[np.int64]:
    """Class ids [N] that the SavedModel's graph would choose of probabilities [N, C]."""
    best = probabilities.argmax(1) if threshold is None else probabilities[:, 1] >= threshold
    return np.asarray(best, np.int64)


def _port(name: str, details: Any) -> Port:
    scale, zero_point = details["quantization"]
    real = not scale  # Zero stands for numbers that are not scaled.
    return Port(
        name,
        np.dtype(details["dtype"]).name,
        tuple(int(side) for side in details["shape"]),
        1.0 if real else float(scale),
        0 if real else int(zero_point),
    )


def read_pixels(files: pd.DataFrame, root: Path, size_px: int) -> Iterator[Pixels]:
    """Images [S, S, 3], 0 to 255, of the files (columns path, sha256), as the graph decodes them.

    Raises:
        DataError: a file is missing, or is not the validated one.
    """
    decode = tf.function(
        lambda data: decode_and_resize(data, size_px),
        input_signature=[tf.TensorSpec([], tf.string)],
    )
    for path, sha256 in zip(files["path"], files["sha256"], strict=True):
        yield decode(tf.constant(read_verified(root / path, sha256))).numpy()


def read_litert(folder: Path, model_digest: str) -> dict[str, bytes]:
    """The files by kind, as facts.json names them.

    Raises:
        ArtifactError: they are of another model than this digest's.
        DataError: one is missing, or has changed.
    """
    facts = read_json(folder / _FACTS, _MADE_BY)
    try:
        listed = {kind: (entry["file"], entry["sha256"]) for kind, entry in facts["files"].items()}
        digest = facts["model_digest"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{folder / _FACTS} lacks {error}. Run `{_MADE_BY}` again.") from error
    if digest != model_digest:
        raise ArtifactError(
            f"{folder} is of the model {str(digest)[:12]}, not of {model_digest[:12]}, which is"
            f" exported now. Run `{_MADE_BY}`."
        )
    return {
        kind: read_verified(folder / name, sha256, was="exported", command=_MADE_BY)
        for kind, (name, sha256) in listed.items()
    }


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
        return {_PROBABILITIES: tf.nn.softmax(logits / exported.temperature)}

    spec = tf.TensorSpec((1, size_px, size_px, 3), tf.float32, _IMAGE)
    seen = list(_calibration(images, size_px)) if kind == "int8" else None
    return flat_of(exported.network, serve, spec, seen)


def _facts(
    flat: bytes, file: Path, pixels: Pixels, expected: Pixels, threshold: float | None
) -> Facts:
    """Compare a file with the probabilities [N, C] that its SavedModel gives of pixels [N, ...].

    Raises:
        ExportError: it gives no numbers, or is float32 and disagrees.
    """
    interpreted = Interpreted(flat, threads=1)
    probabilities = np.stack([interpreted.probabilities(image) for image in pixels])
    difference = float(np.abs(probabilities - expected).max())
    if not np.isfinite(probabilities).all():
        raise ExportError(
            f"{file.name} gives probabilities that are no numbers. Leave it out of export.litert."
        )
    if interpreted.output.dtype == "float32" and difference > MAX_DIFFERENCE:
        raise ExportError(
            f"{file.name} and the SavedModel differ by up to {difference:.1e} in a"
            f" probability; at most {MAX_DIFFERENCE:.0e} is allowed. Leave float32 out of"
            " export.litert, or raise export.temperature if it is very small."
        )
    agrees = chosen(probabilities, threshold) == chosen(expected, threshold)
    return Facts(
        file=file.name,
        sha256=sha256_file(file),
        size_bytes=len(flat),
        input=interpreted.input,
        output=interpreted.output,
        max_difference=difference,
        agreement=float(agrees.mean()),
    )


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
    facts: dict[str, Facts] = {}
    if kinds:
        pixels = np.stack(list(read_pixels(images.parity, images.root, exported.image_size_px)))
        expected = served.predict_tensor(pixels).probabilities
    for kind in kinds:
        flat, file = convert(exported, kind, images), folder / f"{kind}.tflite"
        file.write_bytes(flat)
        facts[kind] = _facts(flat, file, pixels, expected, served.contract.threshold)
    about = {
        "model_digest": served.contract.model_digest,
        "labels": list(served.labels),
        "resize": served.contract.preprocessing.resize,
        "files": {kind: asdict(file_facts) for kind, file_facts in facts.items()},
    }
    write_json(folder / _FACTS, about)
    return facts
