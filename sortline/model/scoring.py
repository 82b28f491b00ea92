"""Feed raw files to an exported model: the same bytes to the candidate and to the champion."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from sortline.core.errors import DataError
from sortline.core.files import read_verified
from sortline.core.refusal import REFUSED_CLASS_ID
from sortline.model.local_model import Served

_BATCH_FILES = 32


@dataclass(frozen=True)
class Scores:
    """A model's answers to N files, in their order.

    Attributes:
        labels: the model's classes, in the order of its class ids.
        probabilities: float32 [N, C]; all zero for a file that is not an image to the model.
        class_id: int64 [N], `REFUSED_CLASS_ID` for such a file.
    """

    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which files the model answered for [N]."""
        return np.asarray(self.class_id != REFUSED_CLASS_ID)

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """Probability of the predicted class [N]; 0 for a file without an answer."""
        answered = np.maximum(self.class_id, 0)
        return np.asarray(self.probabilities[np.arange(len(answered)), answered])

    def names(self, no_answer: str) -> list[str]:
        """The predicted labels, `no_answer` where there is none [N]."""
        return [
            no_answer if c == REFUSED_CLASS_ID else self.labels[c] for c in self.class_id.tolist()
        ]


def _batches(files: pd.DataFrame, root: Path) -> Iterator[list[bytes]]:
    listed = list(zip(files["path"], files["sha256"], strict=True))
    for start in range(0, len(listed), _BATCH_FILES):
        chunk = listed[start : start + _BATCH_FILES]
        yield [read_verified(root / path, sha256) for path, sha256 in chunk]


def score_files(model: Served, files: pd.DataFrame, root: Path, what: str) -> Scores:
    """Answers of `model` to `files` (columns path, sha256), with a progress bar named `what`.

    Raises:
        DataError: there is no file, or one of them is not what the manifest says.
    """
    if files.empty:
        raise DataError("There is no test image to score. `dvc repro validate` lists the images.")
    probabilities, class_ids = [], []
    with tqdm(total=len(files), unit="img", desc=what) as progress:
        for batch in _batches(files, root):
            answer = model.predict_bytes(batch)
            valid = np.asarray(answer.valid, bool)
            probabilities.append(np.where(valid[:, None], answer.probabilities, np.float32(0.0)))
            class_ids.append(np.where(valid, answer.class_id, REFUSED_CLASS_ID))
            progress.update(len(batch))
    return Scores(
        tuple(model.labels),
        np.concatenate(probabilities).astype(np.float32),
        np.concatenate(class_ids).astype(np.int64),
    )
