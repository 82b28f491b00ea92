"""Other problems than waste that the generator draws, by name.

Each is small enough to be drawn in a minute or two, and differs from the ten classes of waste in
what makes transfer learning easy or hard: the number of classes, the images a class, the domain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final

from PIL import Image

from sortline.core.errors import DataError
from sortline.core.params import Split
from sortline.synthetic.birds import SPECIES, THIRTY_SPECIES, bird_photograph
from sortline.synthetic.numerals import NUMERALS, numeral
from sortline.synthetic.radiographs import FINDINGS, radiograph


@dataclass(frozen=True)
class Problem:
    """A dataset that can be drawn.

    Attributes:
        about: in one line, for a person.
        classes: in alphabetical order.
        per_class: pictures of each class in a split.
        draw: a picture of a class, from a source of chance.
        suffix: of the files: `.jpg`, or `.png` where each pixel counts.
    """

    about: str
    classes: tuple[str, ...]
    per_class: Mapping[Split, int]
    draw: Callable[[str, Random], Image.Image]
    suffix: str = ".jpg"


PROBLEMS: Final[Mapping[str, Problem]] = MappingProxyType(
    {
        "birds30": Problem(
            "30 species of birds",
            THIRTY_SPECIES,
            {"train": 100, "val": 15, "test": 15},
            bird_photograph,
        ),
        "birds400": Problem(
            "400 species of birds, few pictures of each",
            SPECIES,
            {"train": 12, "val": 3, "test": 3},
            bird_photograph,
        ),
        "xray2": Problem(
            "grey radiographs, clear or with an infiltrate",
            FINDINGS,
            {"train": 600, "val": 100, "test": 100},
            radiograph,
        ),
        "digits": Problem(
            "handwritten digits, grey, 28 x 28 px",
            NUMERALS,
            {"train": 500, "val": 80, "test": 80},
            numeral,
            ".png",
        ),
    }
)
"""The problems by name."""


def problem_named(name: str) -> Problem:
    """The problem of a name.

    Raises:
        DataError: there is none; the message lists those there are.
    """
    if name not in PROBLEMS:
        raise DataError(f"Problem {name!r} cannot be drawn. Use {', '.join(['waste', *PROBLEMS])}.")
    return PROBLEMS[name]
