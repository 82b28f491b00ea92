"""The order of training: which image, which of its views, in which batch, and what is mixed.

Everything is drawn from (seed, epoch), so that an epoch can be drawn again after a restart without
any state being kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from sortline.core.errors import ParamsError
from sortline.training.feature_store import Rows
from sortline.training.features import Views

Array = npt.NDArray[Any]
_MIXED_SHARE = 0.5  # Of the batches; the others are seen as they are.


@dataclass(frozen=True)
class Replay:
    """All new images in every epoch, and some of those that the network has learnt from before.

    Without the old ones it would forget them (Robins, "Catastrophic forgetting, rehearsal and
    pseudorehearsal", 1995).

    Attributes:
        new: bool [N].
        old_for_each_new: how many old images an epoch has for each new one, drawn anew.
    """

    new: Array
    old_for_each_new: float

    @property
    def epoch_size(self) -> int:
        """Images an epoch, old and new."""
        new = int(self.new.sum())
        return new + min(len(self.new) - new, round(new * self.old_for_each_new))

    def draw(self, rng: np.random.Generator) -> Array:
        """Indices of one epoch's images, shuffled."""
        new, old = np.flatnonzero(self.new), np.flatnonzero(~self.new)
        drawn = rng.choice(old, self.epoch_size - len(new), replace=False)
        return rng.permutation(np.concatenate([new, drawn]))


class Streamed(Protocol):
    """Rows that are better read in the order of an epoch than batch by batch."""

    def batches(self, rows: Array, batch_size: int) -> Iterator[Any]:
        """Float32 [n, ...], on the host or a device, in the order of `rows`, indices [R]."""


@dataclass(frozen=True)
class Examples:
    """Features and targets of one split.

    Attributes:
        features: [R, ...]; rows are read when a batch asks for them.
        views: which rows belong to which image.
        targets: one-hot labels, float32 [N, C], or class ids, int64 [N]: the loss follows.
        class_weights: of each class's share in the loss, float32 [C]; None: all alike.
        sampled: whether images are drawn so that every class comes equally often.
        replay: which images an epoch has; None: all of them.
    """

    features: Array | Rows | Streamed
    views: Views
    targets: Array
    class_weights: Array | None = None
    sampled: bool = False
    replay: Replay | None = None

    @property
    def epoch_size(self) -> int:
        """Images an epoch."""
        return len(self.targets) if self.replay is None else self.replay.epoch_size

    def replayed(self, new: frozenset[str], old_for_each_new: float) -> "Examples":
        """The same split, of which an epoch has the images of these SHA-256, and some others.

        Raises:
            ParamsError: it samples already.
        """
        if self.sampled:
            raise ParamsError(
                "train.warm_replay and objective.balance sampling both draw an epoch: set"
                " warm_replay to null, or objective.balance: none or class_weights."
            )
        is_new = np.array([self.views.sha256[row] in new for row in self.views.first])
        return replace(self, replay=Replay(is_new, old_for_each_new))

    def epoch_images(self, rng: np.random.Generator) -> Array:
        """Indices of one epoch's images, shuffled; several times the same one where it samples."""
        if self.replay is not None:
            return self.replay.draw(rng)
        if not self.sampled:
            return rng.permutation(len(self.targets))
        labels = self.views.labels
        weights = balanced_weights(labels, int(labels.max()) + 1)[labels].astype("float64")
        return rng.choice(len(labels), len(labels), p=weights / weights.sum())

    def plain(self, batch_size: int, images: Array | None = None) -> Iterator[tuple[Array, Array]]:
        """Batches of plain images: all in the manifest's order, or those of these indices."""
        chosen = np.arange(len(self.targets)) if images is None else images
        for start, x in self.read(self.views.first[chosen], batch_size):
            yield x, self.targets[chosen[start : start + len(x)]]

    def read(self, rows: Array, batch_size: int) -> Iterator[tuple[int, Array]]:
        """Float32 features of the rows in their order, each batch with its place in them."""
        if not isinstance(self.features, np.ndarray | Rows):
            batches = self.features.batches(rows, batch_size)
            yield from ((index * batch_size, x) for index, x in enumerate(batches))
            return
        for start in range(0, len(rows), batch_size):
            yield start, self.features[rows[start : start + batch_size]].astype("float32")

    def weights_of(self, targets: Array) -> Array | None:
        """Weight of each image of a batch in the loss, float32 [n]; None: all alike.

        An image that is mixed of two has a mixed weight.
        """
        if self.class_weights is None:
            return None
        ids = targets.ndim == 1
        return np.asarray(self.class_weights[targets] if ids else targets @ self.class_weights)


def one_hot(labels: Array, classes: int) -> Array:
    """Float32 [N, C] from int [N]."""
    return np.eye(classes, dtype="float32")[labels]


def balanced_weights(labels: Array, classes: int) -> Array:
    """Float32 [C]: images over classes times the class's images, so that all classes weigh alike.

    A class without images weighs nothing. The mean over all images is 1.
    """
    counts = np.bincount(labels, minlength=classes)
    present = max(1, int((counts > 0).sum()))
    return np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0).astype(
        "float32"
    )


def _taken(x: Any, rows: Array) -> Any:
    return x[rows] if isinstance(x, np.ndarray) else keras.ops.take(x, rows, axis=0)


def _mix(x: Array, y: Array, alpha: float, rng: np.random.Generator) -> tuple[Array, Array]:
    # Zhang et al., "mixup", 2018, on features instead of pixels (Verma et al., 2019).
    share = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(x))
    return share * x + (1 - share) * _taken(x, other), share * y + (1 - share) * y[other]


def epoch_batches(
    examples: Examples, *, batch_size: int, mixup_alpha: float, seed: int, epoch: int
) -> Iterator[tuple[Array, Array]]:
    """Shuffled batches of one epoch: one view of each of its images, float32 features and targets.

    Args:
        examples: the training split.
        batch_size: images a batch; the last one may be smaller.
        mixup_alpha: of Beta(alpha, alpha) for half of the batches; 0 for none.
        seed: of the run.
        epoch: counted from 0 over all phases.
    """
    rng = np.random.default_rng([seed, epoch])
    order = examples.epoch_images(rng)
    drawn = rng.integers(examples.views.count)
    rows = examples.views.first[order] + drawn[order]
    for start, x in examples.read(rows, batch_size):
        y = examples.targets[order[start : start + len(x)]]
        mixed = bool(mixup_alpha) and rng.random() < _MIXED_SHARE
        yield _mix(x, y, mixup_alpha, rng) if mixed else (x, y)
