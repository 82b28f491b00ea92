"""On what a phase trains: one device, or several that share each batch.

The training loop asks `current()`; it knows nothing of how devices talk to each other. What trains
on several of them is in distributed_tf.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Figures = dict[str, float]


class Devices(Protocol):
    """One or several devices that train one model."""

    @property
    def chief(self) -> bool:
        """Whether this process writes what training comes to; exactly one of them does."""

    def share_file(self, path: Path) -> None:
        """Give every process the chief's file, or none where the chief has none."""

    def share_weights(self, model: keras.Model) -> None:
        """Give every process the chief's weights and optimizer."""

    def train_on_batch(
        self, model: keras.Model, x: Array, y: Array, sample_weight: Array | None = None
    ) -> Figures:
        """Take one step on a whole batch; its mean loss and accuracy before the step."""

    def agree(self, row: Figures) -> Figures:
        """The chief's figures: decisions that rest on them are the same in every process."""


class OneDevice:
    """The device that Keras takes by itself."""

    chief = True

    def share_file(self, path: Path) -> None:
        """Nothing to do."""

    def share_weights(self, model: keras.Model) -> None:
        """Nothing to do."""

    def train_on_batch(
        self, model: keras.Model, x: Array, y: Array, sample_weight: Array | None = None
    ) -> Figures:
        """Keras's own step."""
        result: Figures = model.train_on_batch(x, y, sample_weight, return_dict=True)
        return result

    def agree(self, row: Figures) -> Figures:
        """They are the only ones."""
        return row


_ONE = OneDevice()
_CURRENT: ContextVar[Devices] = ContextVar("devices")


def current() -> Devices:
    """The devices that this block trains on."""
    return _CURRENT.get(_ONE)


@contextmanager
def use(devices: Devices) -> Iterator[None]:
    """Train on these devices inside the block."""
    token = _CURRENT.set(devices)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def has_accelerator() -> bool:
    """Whether Keras computes on a GPU or a TPU by default; False where it cannot tell (torch)."""
    if keras.backend.backend() not in ("tensorflow", "jax"):
        return False
    return any(not device.startswith("cpu") for device in keras.distribution.list_devices())


def shares(size: int, devices: int) -> int:
    """Rows of a batch that each device gets; what is missing in the last ones is padded."""
    return -(-size // devices)


def share_of(batch: Array, index: int, rows: int) -> Array:
    """Rows of the device `index`, padded by the batch's first row to `rows`."""
    part = batch[index * rows : (index + 1) * rows]
    return np.concatenate([part, np.repeat(batch[:1], rows - len(part), axis=0)])


def weights_of(size: int, index: int, rows: int) -> Array:
    """Float32 [rows]: 1 for a row of the batch, 0 for padding."""
    return (np.arange(index * rows, (index + 1) * rows) < size).astype("float32")
