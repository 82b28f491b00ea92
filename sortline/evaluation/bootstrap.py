"""How sure the figures are: percentile bootstrap over images (Efron 1979), vectorised.

A metric that depends on an image only through the cell in which it falls needs no images to be
redrawn: the cells' counts in a sample of N images drawn with replacement are multinomial, with the
observed shares. 2,000 samples of 2,000 images are then one call of a fraction of a second.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sortline.evaluation.metrics import Floats, Ints, accuracy, macro_f1

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """The candidate's accuracy minus the champion's, on the same images.

    `lower` is the one-sided 95 % bound: the 5th percentile over the samples. `won` and `lost` count
    the images that only the candidate, or only the champion, gets right.
    """

    observed: float
    lower: float
    won: int
    lost: int
    images: int

    def within(self, margin: float) -> bool:
        """Whether the candidate is, with 95 % confidence, at most `margin` worse."""
        return self.lower >= -margin - 1e-12  # a bound of exactly -margin, after rounding


def resample(cells: Ints, samples: int, seed: int) -> Ints:
    """Counts [samples, *cells.shape] in bootstrap samples of the images counted in `cells`."""
    images = int(cells.sum())
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.multinomial(images, cells.ravel() / images, size=samples)
    return drawn.reshape(samples, *cells.shape).astype(np.int64)


def _interval(values: Floats) -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def intervals(counts: Ints, samples: int, seed: int) -> dict[str, tuple[float, float]]:
    """95 % intervals of accuracy and macro-F1 from the counts [C, C + 1] of `confusion_counts`."""
    drawn = resample(counts, samples, seed)
    return {"accuracy": _interval(accuracy(drawn)), "macro_f1": _interval(macro_f1(drawn))}


def paired_difference(
    candidate: npt.ArrayLike, champion: npt.ArrayLike, samples: int, seed: int
) -> Difference:
    """Compare two models by which of the same images [N] each gets right.

    Raises:
        ValueError: the two do not pair up, or there is no image.
    """
    won, lost, images = _paired(candidate, champion)
    differences = _differences(won, lost, images, samples, seed)
    lower = float(np.quantile(differences, 1.0 - CONFIDENCE))
    return Difference((won - lost) / images, lower, won, lost, images)


def paired_interval(
    ours: npt.ArrayLike, theirs: npt.ArrayLike, samples: int, seed: int
) -> tuple[float, float]:
    """95 % interval of our accuracy minus theirs, on the same images [N].

    Raises:
        ValueError: the two do not pair up, or there is no image.
    """
    return _interval(_differences(*_paired(ours, theirs), samples, seed))


def _paired(ours: npt.ArrayLike, theirs: npt.ArrayLike) -> tuple[int, int, int]:
    """How many images only we get right, how many only they, and how many there are."""
    mine, other = np.asarray(ours, bool), np.asarray(theirs, bool)
    if mine.shape != other.shape or mine.size == 0:
        raise ValueError(f"{mine.shape} and {other.shape} images do not pair up")
    return int((mine & ~other).sum()), int((other & ~mine).sum()), int(mine.size)


def _differences(won: int, lost: int, images: int, samples: int, seed: int) -> Floats:
    drawn = resample(np.array([won, lost, images - won - lost]), samples, seed)
    return (drawn[:, 0] - drawn[:, 1]) / images


def wilson(hits: int, images: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): for a class of few images, where bootstraps fail."""
    if images == 0:
        return 0.0, 1.0
    z, share = 1.959964, hits / images
    centre = share + z * z / (2 * images)
    spread = z * math.sqrt(share * (1 - share) / images + z * z / (4 * images * images))
    whole = 1 + z * z / images
    return max(0.0, (centre - spread) / whole), min(1.0, (centre + spread) / whole)
