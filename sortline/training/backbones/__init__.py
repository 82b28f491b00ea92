"""Backbones: every file of this folder and of plugins/backbones/ adds one, or some.

    @backbone("tiny", pixels=Pixels(1 / 255, 0.0), cut="conv2")
    def tiny(size_px: int, alpha: float) -> keras.Model:
        inputs = keras.Input((size_px, size_px, 3))
        ...

A backbone is a network without its classifier: a functional Keras model from scaled pixels,
float32 [N, S, S, channels], to a map of features [N, h, w, C], with random weights. Recipes name
its layers, or number them as Keras does (`layers[0]` is the input). `backbone.architecture` chooses
one by its name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sortline.core.registry import Registry

if TYPE_CHECKING:  # Settings are checked by this registry, and Keras takes seconds to import.
    import keras

SCANNED_FOR: Final = "backbone.architecture"

Channels = Literal["rgb", "bgr", "grey"]
Numbers = float | tuple[float, float, float]
Build = Callable[[int, float], "keras.Model"]
"""From the side of the images, in pixels, and the width multiplier to the model."""


@dataclass(frozen=True)
class Pixels:
    """How pixels in 0..255 enter a backbone: in this order of channels, times scale, plus offset.

    Attributes:
        scale: one number, or one a channel.
        offset: one number, or one a channel.
        channels: what the backbone sees of an image.
    """

    scale: Numbers
    offset: Numbers
    channels: Channels = "rgb"


# By mean and standard deviation of ImageNet's training images, of 1: torchvision's normalisation.
PYTORCH_PIXELS: Final = Pixels(
    scale=(1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    offset=(-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
)


@dataclass(frozen=True)
class Published:
    """Files of pretrained weights that somebody has published.

    Attributes:
        file: name in the folder SORTLINE_WEIGHTS_DIR, with {alpha} and {size}.
        keras_file: name in Keras's cache and at `address`; None where Keras publishes none.
        address: folder from which Keras downloads.
        alphas: widths for which there are files.
        sizes_px: image sizes for which there are files; of others, 224's are taken.
        layout: the model whose weights the file holds, when that is more than the backbone.
    """

    file: str
    keras_file: str | None = None
    address: str = ""
    alphas: tuple[float, ...] = (1.0,)
    sizes_px: tuple[int, ...] = (224,)
    layout: Callable[[], "keras.Model"] | None = None


@dataclass(frozen=True)
class Architecture:
    """What the pipeline has to know of a family of backbones.

    Attributes:
        build: makes one.
        pixels: how pixels enter it.
        cut: the layer from which it is fine-tuned unless a recipe names another.
        has_widths: `backbone.alpha` makes it wider or narrower; others take 1.0 alone.
        min_size_px: side of the smallest image that it can be built for.
        published: its pretrained weights; None: there are none.
    """

    build: Build
    pixels: Pixels
    cut: str
    has_widths: bool
    min_size_px: int
    published: Published | None


BACKBONES: Final = Registry[Architecture](__name__)


def backbone(
    name: str,
    *,
    pixels: Pixels,
    cut: str,
    has_widths: bool = False,
    min_size_px: int = 32,
    published: Published | None = None,
) -> Callable[[Build], Build]:
    """Register what builds a backbone; see `Architecture`."""

    def mark(build: Build) -> Build:
        entry = Architecture(build, pixels, cut, has_widths, min_size_px, published)
        BACKBONES.add(name, entry, build.__module__)
        return build

    return mark
