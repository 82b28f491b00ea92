"""Features that an accelerator keeps while it trains, so that no batch has to be brought to it."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy.typing as npt

from sortline.training.feature_store import Rows

Array = npt.NDArray[Any]
_CHUNK = 1024  # Rows on their way to the device: the host never holds all of them.


class HeldRows:
    """The rows of a split in the memory of Keras's default device, in their storage type.

    Args:
        rows: of the feature cache; they are all read now.
    """

    def __init__(self, rows: Rows) -> None:
        starts = range(0, len(rows), _CHUNK)
        parts = [keras.ops.convert_to_tensor(rows[start : start + _CHUNK]) for start in starts]
        self._held = keras.ops.concatenate(parts)

    def batches(self, rows: Array, batch_size: int) -> Iterator[Any]:
        """Float32 tensors [n, ...] in the order of `rows`, which are indices [R]."""
        for start in range(0, len(rows), batch_size):
            some = keras.ops.take(self._held, rows[start : start + batch_size], axis=0)
            yield keras.ops.cast(some, "float32")
