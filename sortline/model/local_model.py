"""An exported model, loaded into this process: what evaluation, the gate and `predict` ask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from sortline.core.errors import ArtifactError
from sortline.core.files import read_verified
from sortline.model.contract import (
    PREDICT_TENSOR,
    SERVING_DEFAULT,
    Contract,
    read_contract,
    verify,
)

_BATCH_ITEMS = 32


@dataclass(frozen=True)
class Predictions:
    """Answers to N items, in their order; see `contract.signatures` for invalid ones.

    Attributes:
        probabilities: [N, C].
        class_id: [N].
        label: [N].
        valid: [N].
    """

    probabilities: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    label: npt.NDArray[np.str_]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Served:
    """The two signatures of an exported model, called as a server would call them.

    Any number of items is taken; they go through the graph 32 at a time, so that memory is bounded.
    """

    contract: Contract
    # The loaded object owns the variables: signatures alone do not keep them alive.
    loaded: Any

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of class ids."""
        return self.contract.labels

    def variables(self) -> dict[str, npt.NDArray[np.float32]]:
        """The network's weights by their path in Keras, e.g. `Conv1/kernel`."""
        listed = self.loaded.signatures[PREDICT_TENSOR].variables
        return {variable.name.removesuffix(":0"): variable.numpy() for variable in listed}

    def predict_bytes(self, images: Sequence[bytes]) -> Predictions:
        """Classify files by their bytes (signature `serving_default`)."""
        call = self.loaded.signatures[SERVING_DEFAULT]
        return _joined(
            [call(image_bytes=tf.constant(part, tf.string)) for part in _parts(list(images))]
        )

    def predict_tensor(self, images: npt.NDArray[np.float32]) -> Predictions:
        """Classify decoded images [N, S, S, 3], 0 to 255 (signature `predict_tensor`)."""
        call = self.loaded.signatures[PREDICT_TENSOR]
        return _joined([call(image=tf.constant(part, tf.float32)) for part in _parts(images)])


def _parts(items: Any) -> Iterator[Any]:
    # At least one part, even of no items: the graph answers that with its own empty shapes.
    for start in range(0, max(1, len(items)), _BATCH_ITEMS):
        yield items[start : start + _BATCH_ITEMS]


def _joined(answers: Sequence[dict[str, tf.Tensor]]) -> Predictions:
    def column(name: str) -> npt.NDArray[Any]:
        return np.concatenate([answer[name].numpy() for answer in answers])

    label = np.array([name.decode() for name in column("label")], np.str_)
    return Predictions(column("probabilities"), column("class_id"), label, column("valid"))


def load_model(folder: Path) -> Served:
    """Load an exported model after checking that it is what was exported.

    Raises:
        ArtifactError: the folder is no SavedModel of ours, was changed, or cannot be loaded.
    """
    contract = read_contract(folder)
    verify(folder)
    if missing := {SERVING_DEFAULT, PREDICT_TENSOR} - contract.signatures.keys():
        raise ArtifactError(
            f"{folder} has no signature {', '.join(sorted(missing))}. Run `dvc repro export` again."
        )
    try:
        loaded = tf.saved_model.load(str(folder))
    except (tf.errors.OpError, ValueError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        needed = f"it needs TensorFlow {contract.min_serving_version} or later"
        raise ArtifactError(
            f"{folder} cannot be loaded by TensorFlow {tf.__version__} ({needed}): {first}"
        ) from error
    return Served(contract, loaded)


def evenly_spaced(files: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most so many rows, evenly spaced: sorted by path, they cover the classes."""
    count = min(count, len(files))
    return files.iloc[np.linspace(0, len(files) - 1, count).astype(int)]


def file_batches(files: pd.DataFrame, root: Path) -> Iterator[list[bytes]]:
    """Bytes of the files (columns path, sha256), as many at a time as go through the graph.

    Raises:
        DataError: a file is missing, or is not the validated one.
    """
    for part in _parts(list(zip(files["path"], files["sha256"], strict=True))):
        yield [read_verified(root / path, sha256) for path, sha256 in part]
