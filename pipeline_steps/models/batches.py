"""The order of training: which image, which of its views, in which batch, and what is mixed.

Everything is drawn from (seed, epoch), so that an epoch can be drawn again after a restart without
any state being kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline_steps.models.feature_store import Rows
from pipeline_steps.models.features import Views

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


@dataclass(frozen=True)
class Examples:
    """Features and targets of one split.

    Attributes:
        features: [R, ...]; rows are read when a batch asks for them.
        views: which rows belong to which image.
        targets: one-hot labels, float32 [N, C].
        replay: which images an epoch has; None: all of them.
    """

    features: Array | Rows
    views: Views
    targets: Array
    replay: Replay | None = None

    @property
    def epoch_size(self) -> int:
        """Images an epoch."""
        return len(self.targets) if self.replay is None else self.replay.epoch_size

    def epoch_images(self, rng: np.random.Generator) -> Array:
        """Indices of one epoch's images, shuffled."""
        if self.replay is None:
            return rng.permutation(len(self.targets))
        return self.replay.draw(rng)

    def plain(self, batch_size: int, images: Array | None = None) -> Iterator[tuple[Array, Array]]:
        """Batches of plain images: all in the manifest's order, or those of these indices."""
        chosen = np.arange(len(self.targets)) if images is None else images
        for start in range(0, len(chosen), batch_size):
            some = chosen[start : start + batch_size]
            rows = self.views.first[some]
            yield self.features[rows].astype("float32"), self.targets[some]


def one_hot(labels: Array, classes: int) -> Array:
    """Float32 [N, C] from int [N]."""
    return np.eye(classes, dtype="float32")[labels]


def _mix(x: Array, y: Array, alpha: float, rng: np.random.Generator) -> tuple[Array, Array]:
    # Zhang et al., "mixup", 2018, on features instead of pixels (Verma et al., 2019).
    share = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(x))
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]


def epoch_batches(
    examples: Examples, *, batch_size: int, mixup_alpha: float, seed: int, epoch: int
) -> Iterator[tuple[Array, Array]]:
    """Shuffled batches of one epoch: one view of each of its images, float32 features and targets.

    Args:
        examples: the training split.
        batch_size: images a batch; the last one may be smaller.
        mixup_alpha: of Beta(alpha, alpha) for half of the batches; 0 for none.
        seed: of the run.
        epoch: counted from 0 over both phases.
    """
    rng = np.random.default_rng([seed, epoch])
    order = examples.epoch_images(rng)
    drawn = rng.integers(examples.views.count)
    for start in range(0, len(order), batch_size):
        images = order[start : start + batch_size]
        rows = examples.views.first[images] + drawn[images]
        x, y = examples.features[rows].astype("float32"), examples.targets[images]
        mixed = bool(mixup_alpha) and rng.random() < _MIXED_SHARE
        yield _mix(x, y, mixup_alpha, rng) if mixed else (x, y)
