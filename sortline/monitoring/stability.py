"""How far a distribution has moved: the population stability index.

index = sum over bins of (window - reference) * ln(window / reference), with shares of either. It
comes from credit scoring (Siddiqi, "Credit Risk Scorecards", Wiley 2006), and so do the customary
limits: below 0.1 little has changed, from 0.25 on the population is another one. Without any change
it is about chi-squared with B - 1 degrees of freedom times (1 / window + 1 / reference), for B bins
and so many rows (Yurdakul, "Statistical Properties of Population Stability Index", 2018): chance
alone gives a small window a large index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from sortline.evaluation.metrics import Floats, Ints

LITTLE: Final = 0.1
LARGE: Final = 0.25
Shift = Literal["little", "moderate", "large"]
# Added to every bin's count: an empty bin would make the index infinite, and a fixed tiny share in
# its place would make the index a matter of that share. Half a row is Jeffreys' prior, the estimate
# of Krichevsky and Trofimov (1981): it vanishes as rows come.
PRIOR: Final = 0.5


@dataclass(frozen=True)
class Bin:
    """A bin of an index.

    Attributes:
        name: for people.
        reference: its share there, as counted.
        window: its share there, as counted; 0 in an empty window.
        part: what it adds to the index.
    """

    name: str
    reference: float
    window: float
    part: float


@dataclass(frozen=True)
class Index:
    """A population stability index: 0 for equal shares, without an upper bound."""

    index: float
    shift: Shift
    bins: tuple[Bin, ...]


def _smoothed(counts: Ints) -> Floats:
    return np.asarray((counts + PRIOR) / (counts.sum() + PRIOR * counts.size))


def stability(reference: npt.ArrayLike, window: npt.ArrayLike, names: Sequence[str]) -> Index:
    """Compare the counts of bins [B] in a reference with those in a window.

    Raises:
        ValueError: the three do not have the same bins.
    """
    before, now = np.asarray(reference, np.int64), np.asarray(window, np.int64)
    if not before.shape == now.shape == (len(names),) or not names:
        raise ValueError(f"counts {before.shape} and {now.shape} are not of the same bins")
    was, is_now = _smoothed(before), _smoothed(now)
    parts = (is_now - was) * np.log(is_now / was)
    shares = (before / max(1, before.sum()), now / max(1, now.sum()), parts)
    bins = (Bin(*row) for row in zip(names, *(each.tolist() for each in shares), strict=True))
    index = float(parts.sum())
    shift: Shift = "little" if index < LITTLE else "moderate" if index < LARGE else "large"
    return Index(index, shift, tuple(bins))


def quantile_edges(values: npt.ArrayLike, bins: int) -> Floats:
    """Inner edges, at most `bins` - 1, between bins (a, b] of equal numbers of these values [N].

    Where many values are the same, there are fewer: no bin is empty.
    """
    found = np.asarray(values, np.float64)
    if found.size == 0:
        return np.zeros(0)
    inner = np.quantile(found, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.unique(inner[inner < found.max()])


def counts_between(values: npt.ArrayLike, edges: Floats) -> Ints:
    """How many of the values [N] lie in each of the bins [E + 1] that the inner edges [E] make."""
    at = np.searchsorted(edges, np.asarray(values, np.float64), side="left")
    return np.bincount(at, minlength=edges.size + 1).astype(np.int64)
