"""What a classifier says of images that it did not learn from."""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sortline.core.errors import DataError
from sortline.experiments.settings import LabelAudit

Array = npt.NDArray[np.float64]
_MAX_ITERATIONS = 400


def _folds(labels: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], folds: int) -> int:
    """As many folds as asked for, but no more than the rarest class has groups of duplicates."""
    rarest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    if rarest < 2:
        raise DataError(
            "A class has fewer than two images that are not duplicates: no classifier can judge"
            " it from others. Add images of it, or take it out of the dataset."
        )
    return min(folds, rarest)


def out_of_fold(
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    groups: Sequence[int],
    settings: LabelAudit,
    seed: int,
) -> Array:
    """Probabilities of the classes, each image's from a classifier that never saw it.

    The classifier is a logistic regression on standardised features. Duplicates are in one fold:
    else an image would be judged by a copy of itself.

    Args:
        features: pooled features, [N, D].
        labels: class ids from 0, [N]; every class occurs.
        groups: equal for images that are duplicates of each other, [N].
        settings: folds and regularisation.
        seed: of the folds.

    Returns:
        [N, C], each row sums to 1.

    Raises:
        DataError: a class has fewer than two images that are no duplicates.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    together = np.asarray(groups)
    count = _folds(labels, together, settings.folds)
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    found = np.zeros((len(labels), int(labels.max()) + 1))
    for train, held_out in folds.split(features, labels, together):
        inverse = settings.inverse_regularisation
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=inverse, max_iter=_MAX_ITERATIONS)
        )
        with warnings.catch_warnings():
            # Not quite converged is good enough for a suspicion.
            warnings.filterwarnings("ignore", message="lbfgs failed to converge")
            model.fit(features[train], labels[train])
        found[np.ix_(held_out, model[-1].classes_)] = model.predict_proba(features[held_out])
    return found
