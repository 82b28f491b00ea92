"""What recipes there are: a line each, what they cost where it was measured, when to use which."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sortline.experiments.records import Record

WHEN = (
    "Few images: a frozen backbone with a small head; it has little to learn by heart.",
    "Many images: fine-tune a tail, or everything, at a small rate; views help before depth does.",
    "Domain unlike ImageNet (radiographs, microscopy): let more layers train.",
    "Few or many classes: a head learns ten classes from features alone; hundreds of classes that"
    " differ in details gain most from fine-tuning.",
    "From scratch: only as the baseline that shows what transfer learning buys.",
)
"""Which kind of regime to try first; `sortline compare` says whether it holds for your images."""


@dataclass(frozen=True)
class Listed:
    """A recipe as it is listed.

    Attributes:
        name: of its file, without the suffix.
        about: its first comment.
        cost: measured, in words; `not measured` else.
    """

    name: str
    about: str
    cost: str


def about(path: Path) -> str:
    """The first sentence of the comment at a recipe's top."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    text = " ".join(lines)
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]


def cost(records: Sequence[Record]) -> str:
    """What runs of a recipe took, from those on the dataset with the most images."""
    if not records:
        return "not measured"
    most = max(sum(each.images.values()) for each in records)
    same = [each for each in records if sum(each.images.values()) == most]
    seconds, accuracy = median(r.seconds for r in same), median(r.accuracy for r in same)
    limits = {each.epoch_limit for each in same} - {None}
    cut = f", at most {max(limit for limit in limits if limit)} epochs a phase" if limits else ""
    return f"{seconds:,.0f} s, {accuracy:.1%} on {most:,} images{cut}"


def listed(root: Path, records: Iterable[Record]) -> list[Listed]:
    """Every recipe of `recipes/`, by name."""
    known = list(records)
    return [
        Listed(path.stem, about(path), cost([each for each in known if each.recipe == path.stem]))
        for path in sorted((root / "recipes").glob("*.yaml"))
    ]
