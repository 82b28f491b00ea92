"""A trained network's logits for the validation split, kept beside its weights.

Training has computed them from features that are there already; the export fits its temperature to
them instead of decoding every image and running the whole network once more.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sortline.core.errors import DataError, ExportError
from sortline.core.files import require

NAME = "validation.parquet"
_MADE_BY = "dvc repro fine_tune_phase2"


def write_logits(folder: Path, sha256: Sequence[str], logits: npt.NDArray[np.float32]) -> None:
    """Write float32 [N, C] with the SHA-256 of the N images into `folder`."""
    rows = {"sha256": list(sha256), "logits": list(logits.astype("float32"))}
    pd.DataFrame(rows).to_parquet(folder / NAME, index=False)


def read_logits(folder: Path, sha256: Sequence[str]) -> npt.NDArray[np.float32]:
    """Logits [N, C] of these N images, in their order.

    Raises:
        ArtifactError: the file is missing.
        DataError: an image is not among those that training saw.
        ExportError: a logit is not finite.
    """
    table = pd.read_parquet(require(folder / NAME, _MADE_BY))
    logits = dict(zip(table["sha256"], table["logits"], strict=True))
    if missing := [digest for digest in sha256 if digest not in logits]:
        raise DataError(
            f"{len(missing)} validation images are not those that training saw, first"
            f" {missing[0][:12]}. Run `dvc repro`."
        )
    stacked = np.stack([logits[digest] for digest in sha256])
    if not np.isfinite(stacked).all():
        raise ExportError(
            "The network's logits are not finite on the validation split: its training diverged."
            " Lower fine_tune_phase2.learning_rate and run `dvc repro`."
        )
    return stacked
