"""The exported model for devices: LiteRT files, from pixels to calibrated probabilities.

float32.tflite takes float32 [1, S, S, 3], 0 to 255, and gives float32 [1, C]. int8.tflite computes
in 8-bit integers alone, for processors that have nothing else: its input is the pixels as they
leave a decoder, uint8 0 to 255, and its output is probabilities in 256ths. Names, scales, labels
and digests of both stand in facts.json beside them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from sortline.core.errors import ArtifactError
from sortline.core.files import read_json, read_verified
from sortline.core.quiet import silenced_stderr
from sortline.images.decode import decode_and_resize
from sortline.training.litert_file import SIGNATURE

FACTS: Final = "facts.json"
IMAGE: Final = "image"
PROBABILITIES: Final = "probabilities"
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
        threads: that one call uses.
    """

    def __init__(self, flat: bytes, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with silenced_stderr():
            interpreter = Interpreter(model_content=flat, num_threads=threads)
            self._runner = interpreter.get_signature_runner(SIGNATURE)
            self.input = _port(IMAGE, self._runner.get_input_details()[IMAGE])
            self.output = _port(PROBABILITIES, self._runner.get_output_details()[PROBABILITIES])
            self.run(np.zeros(self.input.shape, self.input.dtype))  # It says hello.

    def stored(self, pixels: Pixels) -> npt.NDArray[Any]:
        """An image [S, S, 3], 0 to 255, as the file takes it: [1, S, S, 3]."""
        if self.input.dtype == "float32":
            return pixels[np.newaxis]
        limits = np.iinfo(self.input.dtype)
        raw = np.rint(pixels / self.input.scale) + self.input.zero_point
        return np.asarray(raw.clip(limits.min, limits.max), self.input.dtype)[np.newaxis]

    def run(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """One call, from and to what the file's own types hold."""
        answer: npt.NDArray[Any] = self._runner(**{IMAGE: stored})[PROBABILITIES]
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
    facts = read_json(folder / FACTS, _MADE_BY)
    try:
        listed = {kind: (each["file"], each["sha256"]) for kind, each in facts["files"].items()}
        digest = facts["model_digest"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{folder / FACTS} lacks {error}. Run `{_MADE_BY}` again.") from error
    if digest != model_digest:
        raise ArtifactError(
            f"{folder} is of the model {str(digest)[:12]}, not of {model_digest[:12]}, which is"
            f" exported now. Run `{_MADE_BY}`."
        )
    return {
        kind: read_verified(folder / name, sha256, was="exported", command=_MADE_BY)
        for kind, (name, sha256) in listed.items()
    }
