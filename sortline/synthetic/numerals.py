"""Handwritten digits: pen strokes with an unsteady hand, white on black, 28 x 28 px."""

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from sortline.synthetic.geometry import Point, curve, ellipse, turned
from sortline.synthetic.lines import pen_line
from sortline.synthetic.textures import patch

_SIDE_PX: Final = 28
_SCALE: Final = 8  # Strokes are drawn this much larger, and averaged down.
_SHEET: Final = _SIDE_PX * _SCALE
_HAND: Final = 9  # How far a point of a stroke strays, of a sheet of 200.

Strokes = tuple[tuple[Point, ...], ...]

_ROUND: Final = (
    (100, 22),
    (58, 36),
    (44, 100),
    (60, 164),
    (100, 178),
    (140, 164),
    (156, 100),
    (142, 36),
    (96, 22),
)
_WRITTEN: Final[Mapping[str, tuple[Strokes, ...]]] = MappingProxyType(
    {
        "0": ((_ROUND,),),
        "1": (
            (((100, 22), (100, 178)),),
            (((72, 56), (106, 22), (106, 178)),),
            (((72, 56), (106, 22), (106, 178)), ((70, 178), (142, 178))),
        ),
        "2": (
            (((54, 60), (70, 24), (120, 18), (148, 56), (120, 106), (50, 178), (154, 176)),),
            (((52, 58), (96, 14), (154, 50), (110, 120), (58, 172), (50, 146), (156, 178)),),
        ),
        "3": (
            (
                ((56, 36), (108, 16), (148, 52), (124, 92), (86, 96)),
                ((86, 96), (138, 100), (154, 144), (108, 182), (50, 160)),
            ),
            (
                ((54, 24), (146, 24), (92, 88)),
                ((92, 88), (150, 100), (150, 164), (96, 182), (50, 160)),
            ),
        ),
        "4": (
            (((118, 20), (44, 122), (160, 122)), ((124, 74), (124, 180))),
            (((58, 22), (50, 100), (146, 102)), ((142, 22), (138, 180))),
        ),
        "5": (
            (
                ((146, 24), (66, 24), (60, 88)),
                ((60, 88), (116, 76), (152, 120), (128, 172), (52, 168)),
            ),
            (
                ((66, 28), (62, 90), (124, 84), (150, 132), (116, 180), (52, 164)),
                ((66, 28), (148, 24)),
            ),
        ),
        "6": (
            (
                (
                    (134, 20),
                    (76, 64),
                    (48, 136),
                    (84, 182),
                    (142, 170),
                    (142, 116),
                    (92, 106),
                    (56, 142),
                ),
            ),
        ),
        "7": (
            (((48, 26), (152, 26), (92, 180)),),
            (((48, 30), (152, 24), (100, 180)), ((74, 102), (140, 98))),
        ),
        "8": (
            (
                (
                    (100, 96),
                    (56, 66),
                    (76, 18),
                    (130, 20),
                    (144, 66),
                    (100, 98),
                    (46, 136),
                    (70, 180),
                    (134, 180),
                    (152, 134),
                    (100, 94),
                ),
            ),
        ),
        "9": (
            (
                (
                    (142, 56),
                    (102, 20),
                    (54, 46),
                    (64, 94),
                    (116, 98),
                    (144, 50),
                    (138, 120),
                    (124, 180),
                ),
            ),
            (
                ((146, 60), (100, 18), (56, 50), (76, 98), (144, 72)),
                ((146, 40), (146, 120), (88, 182)),
            ),
        ),
    }
)

NUMERALS: Final = tuple(_WRITTEN)
"""The ten classes."""


def _unsteady(rng: Random, stroke: tuple[Point, ...]) -> list[Point]:
    return [(x + rng.randint(-_HAND, _HAND), y + rng.randint(-_HAND, _HAND)) for x, y in stroke]


def _placed(points: list[Point], width: int, height: int, slant: int, at: Point) -> list[Point]:
    """From a sheet of 200 to the page: scaled in percent, slanted, about a centre."""
    return [
        (
            at[0] + ((x - 100) * width - (y - 100) * slant) * _SHEET // 20_000,
            at[1] + (y - 100) * height * _SHEET // 20_000,
        )
        for x, y in points
    ]


def _stroked(page: Image.Image, points: list[Point], width: int, ink: int) -> None:
    pen = ImageDraw.Draw(page)
    pen_line(pen, points, width, ink)
    for x, y in points:
        pen.polygon(ellipse(x, y, width // 2, width // 2), fill=ink)


def numeral(name: str, rng: Random) -> Image.Image:
    """Write a digit.

    Args:
        name: `0` to `9`.
        rng: the only source of chance; equal states give equal pixels.

    Returns:
        A grey picture (mode L) of 28 x 28 px, light on dark.
    """
    page = Image.new("L", (_SHEET, _SHEET), 0)
    width, ink = rng.randint(9, 27), rng.randint(190, 255)
    shape = rng.randint(52, 84), rng.randint(68, 92), rng.randint(-8, 26)
    turn, drift = rng.randint(-16, 16), _SHEET // 10
    at = _SHEET // 2 + rng.randint(-drift, drift), _SHEET // 2 + rng.randint(-drift, drift)
    for stroke in rng.choice(_WRITTEN[name]):
        line = curve(_unsteady(rng, stroke), 2)
        _stroked(page, turned(_placed(line, *shape, at), turn, at), width, ink)
    small = page.reduce(_SCALE)
    if rng.randint(0, 2) == 0:
        small = small.filter(ImageFilter.BoxBlur(1))
    noise = rng.choice((24, 40, 60, 90))
    grain = patch(rng, "fine", small.size).point([level * noise // 255 for level in range(256)])
    return ImageChops.add(small, grain, 1, -noise // 3)
