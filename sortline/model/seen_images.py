"""Which images a model was trained on, in its own folder: a later training tells the new ones.

`assets.extra/training_images.txt` has a line an image: the first digits of its SHA-256, sorted.
"""

from collections.abc import Iterable
from pathlib import Path

SEEN = "assets.extra/training_images.txt"
_DIGITS = 16  # 64 bits: among a million images, two agree once in some thirty million datasets.


def write_seen(folder: Path, sha256: Iterable[str]) -> None:
    """Write the list into the exported model in `folder`, which is being put together."""
    lines = sorted({each[:_DIGITS] for each in sha256})
    (folder / SEEN).parent.mkdir(exist_ok=True)
    (folder / SEEN).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def are_new(folder: Path, sha256: Iterable[str]) -> list[bool] | None:
    """For each image whether the model in `folder` has not seen it; None when it does not say."""
    try:
        seen = frozenset((folder / SEEN).read_text(encoding="ascii").split())
    except FileNotFoundError:  # Exported by a Sortline that did not write it.
        return None
    return [each[:_DIGITS] not in seen for each in sha256]
