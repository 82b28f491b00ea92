"""Augmentations beside the built-in ones: every file of plugins/augmentations/ adds one.

    @augmentation("erase", setting=Annotated[float, Field(gt=0.0, le=0.5)], fields=("y", "x"))
    class Erase:
        def draw(self, numbers: np.ndarray, side: float) -> np.ndarray:
            return numbers * (1.0 - side)

        def apply(self, pixels: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor: ...

`augment.NAME` in params.yaml turns it on with its setting; without it, or with null, it is off. How
a view is drawn of it does not depend on the other augmentations, and turning it on leaves what
those draw as it was. It is applied after geometry and colour, in the order of the names.

Flip, crop, rotation, shift and the colours are built in: views.py does them in one reading of the
picture and one pass over its colours.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from sortline.core.files import sha256_file
from sortline.core.registry import Registry

if TYPE_CHECKING:  # Settings are checked by this registry, and these take seconds to import.
    import numpy as np
    import tensorflow as tf

SCANNED_FOR: Final = "augment.*"
_BETWEEN: Final = "."  # In the name of a column of views.parquet: erase.y


class Effect(Protocol):
    """What an augmentation draws for a view, beside what it does with it."""

    def draw(self, numbers: "np.ndarray", setting: Any) -> "np.ndarray":
        """The values of the fields, float64 [fields, N]; 0.0 in all of them changes nothing.

        Args:
            numbers: random ones in [0, 1), float64 [fields, N].
            setting: `augment.NAME` of params.yaml.
        """

    def apply(self, pixels: "tf.Tensor", *values: "tf.Tensor") -> "tf.Tensor":
        """Float32 [S, S, 3] in 0..255 to the same, by TensorFlow's operations, nothing random.

        Args:
            pixels: of the view.
            values: a scalar float32 for each field.
        """


@dataclass(frozen=True)
class Augmentation:
    """A registered augmentation.

    Attributes:
        setting: the type of `augment.NAME`, with its range.
        fields: what is drawn for a view; each is a column of views.parquet, NAME.FIELD.
        effect: draws, and applies.
        code: SHA-256 of the file that registers it: rows computed by another file are not used.
    """

    setting: Any
    fields: tuple[str, ...]
    effect: Effect
    code: str


AUGMENTATIONS: Final = Registry[Augmentation](__name__)
E = TypeVar("E", bound=type[Any])


def augmentation(name: str, *, setting: Any, fields: tuple[str, ...]) -> Callable[[E], E]:
    """Register a class as an `Effect`; see `Augmentation`."""

    def mark(effect: E) -> E:
        code = sha256_file(Path(inspect.getfile(effect)))
        AUGMENTATIONS.add(name, Augmentation(setting, fields, effect(), code), effect.__module__)
        return effect

    return mark


def columns(names: Sequence[str]) -> list[str]:
    """The columns that augmentations add to views.parquet, in their order."""
    return [f"{name}{_BETWEEN}{field}" for name in names for field in AUGMENTATIONS[name].fields]


def names_in(listed: Sequence[str]) -> tuple[str, ...]:
    """The augmentations that have a column among these, sorted."""
    return tuple(sorted({name.split(_BETWEEN)[0] for name in listed if _BETWEEN in name}))


def draw(seeds: "np.ndarray", settings: Mapping[str, Any]) -> "dict[str, np.ndarray]":
    """Values by column, float64 [N] each, for the augmentations that have a setting.

    Args:
        seeds: of the views, int64 [N].
        settings: by name.
    """
    from sortline.images.draws import uniforms

    drawn: dict[str, np.ndarray] = {}
    for name in sorted(settings):
        entry = AUGMENTATIONS[name]
        # A stream of its own: another augmentation more, or less, changes nothing of it.
        stream = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
        numbers = uniforms(seeds ^ stream, len(entry.fields))
        values = entry.effect.draw(numbers, settings[name])
        drawn |= dict(zip(columns([name]), values, strict=True))
    return drawn


def view_names(vectors: "np.ndarray", added: Sequence[str]) -> list[bytes]:
    """Bytes that name each view of vectors float32 [R, K], whose last fields are of `added`.

    Where those are 0, the name is that of the view without them, whose rows may be computed.
    """
    import numpy as np

    width = len(columns(added))
    views = np.ascontiguousarray(vectors, "<f4")
    built_in, others = views[:, : views.shape[1] - width], views[:, views.shape[1] - width :]
    seal = "".join(f"{name} {AUGMENTATIONS[name].code}\n" for name in added).encode()
    return [
        first.tobytes() + (seal + rest.tobytes() if rest.any() else b"")
        for first, rest in zip(built_in, others, strict=True)
    ]
