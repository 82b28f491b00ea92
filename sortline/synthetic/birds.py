"""Birds of 400 species: 20 builds in 20 plumages, perched, from the side.

A build says how a bird is made (body, neck, bill, legs, tail, crest), a plumage how it is coloured.
Individuals differ in size, posture and shade; males and females do not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Final

from PIL import Image

from sortline.synthetic.colours import BLACK, WHITE, Colour, hsv, mixed, scaled
from sortline.synthetic.geometry import Point, blob, curve, ellipse, polar, smooth
from sortline.synthetic.landscapes import LANDSCAPES
from sortline.synthetic.scene import portrait
from sortline.synthetic.sprite import Sprite


@dataclass(frozen=True)
class Build:
    """How a bird is made; lengths in px of a sheet of 200.

    Attributes:
        body: half length and half height.
        lean: of the body's axis, in degrees: 0 lies flat, 60 sits upright.
        neck: how far the head stands off the body.
        head: radius.
        bill: length and depth at its root.
        hook: how far the bill's tip bends down; below 0, up.
        legs: length.
        tail: length and width at its end.
        crest: length of the feathers on the head.
    """

    body: tuple[int, int]
    lean: int
    neck: int
    head: int
    bill: tuple[int, int]
    hook: int
    legs: int
    tail: tuple[int, int]
    crest: int = 0


@dataclass(frozen=True)
class Plumage:
    """How a bird is coloured: hue, saturation and value of each part, and a marking."""

    back: tuple[int, int, int]
    belly: tuple[int, int, int]
    head: tuple[int, int, int]
    bill: tuple[int, int, int]
    marking: str


BUILDS: Final[Mapping[str, Build]] = MappingProxyType(
    {
        "crow": Build((52, 30), 18, 14, 23, (28, 16), 3, 30, (46, 18)),
        "dove": Build((50, 33), 12, 20, 17, (15, 7), 2, 20, (44, 22)),
        "duck": Build((58, 32), 4, 24, 22, (30, 13), -3, 12, (20, 14)),
        "eagle": Build((50, 34), 48, 10, 23, (24, 20), 14, 26, (44, 26)),
        "egret": Build((42, 24), 26, 56, 14, (42, 8), 0, 52, (20, 12), 14),
        "finch": Build((44, 33), 28, 6, 24, (17, 18), 1, 20, (32, 12)),
        "flamingo": Build((40, 26), 16, 62, 15, (26, 12), 22, 62, (16, 14)),
        "hoopoe": Build((44, 27), 22, 12, 18, (44, 7), 9, 20, (40, 16), 36),
        "hummingbird": Build((32, 18), 46, 6, 16, (52, 4), 2, 8, (32, 12)),
        "kingfisher": Build((40, 29), 42, 4, 26, (48, 13), 0, 10, (22, 12), 12),
        "owl": Build((48, 38), 72, 2, 36, (10, 10), 8, 14, (24, 22), 12),
        "parrot": Build((52, 26), 56, 6, 25, (17, 22), 17, 16, (66, 14)),
        "pelican": Build((54, 34), 14, 38, 20, (58, 20), 5, 20, (18, 18)),
        "pheasant": Build((48, 28), 14, 24, 16, (16, 9), 3, 26, (76, 8)),
        "quail": Build((44, 36), 14, 8, 19, (12, 9), 3, 18, (14, 14), 22),
        "sandpiper": Build((42, 22), 6, 16, 15, (38, 5), 1, 40, (20, 9)),
        "swallow": Build((46, 20), 10, 6, 18, (10, 7), 1, 10, (64, 34)),
        "swan": Build((58, 30), 4, 62, 16, (22, 11), 2, 8, (22, 16)),
        "toucan": Build((44, 28), 40, 8, 24, (58, 26), 9, 16, (44, 14)),
        "wren": Build((36, 32), 20, 2, 24, (19, 6), 2, 20, (26, 14)),
    }
)
"""The twenty builds by name."""

PLUMAGES: Final[Mapping[str, Plumage]] = MappingProxyType(
    {
        "amber": Plumage((38, 190, 205), (46, 110, 235), (32, 200, 150), (30, 60, 60), "plain"),
        "ashy": Plumage((210, 14, 120), (210, 8, 190), (210, 16, 90), (40, 30, 50), "plain"),
        "azure": Plumage((208, 200, 210), (30, 150, 225), (212, 210, 170), (220, 30, 40), "plain"),
        "banded": Plumage((24, 120, 110), (40, 20, 235), (24, 110, 90), (40, 120, 160), "band"),
        "barred": Plumage((28, 110, 130), (36, 60, 210), (28, 100, 150), (50, 120, 190), "bars"),
        "bronze": Plumage((90, 130, 100), (28, 150, 120), (160, 120, 80), (30, 40, 70), "plain"),
        "capped": Plumage((220, 30, 150), (40, 12, 236), (0, 0, 24), (30, 200, 220), "cap"),
        "cinnamon": Plumage((18, 170, 165), (26, 90, 215), (16, 180, 140), (30, 40, 60), "wing"),
        "cobalt": Plumage((226, 220, 170), (226, 120, 210), (228, 220, 130), (0, 0, 30), "band"),
        "crimson": Plumage((354, 215, 195), (2, 170, 215), (352, 220, 170), (42, 170, 210), "wing"),
        "dusky": Plumage((260, 26, 66), (260, 16, 96), (260, 30, 50), (40, 150, 200), "wing"),
        "emerald": Plumage((140, 190, 150), (130, 110, 200), (146, 200, 120), (6, 190, 190), "cap"),
        "golden": Plumage((48, 215, 235), (50, 150, 245), (46, 215, 235), (20, 140, 110), "wing"),
        "ivory": Plumage((44, 14, 245), (44, 8, 250), (44, 20, 240), (32, 210, 225), "plain"),
        "masked": Plumage((70, 90, 150), (54, 90, 230), (54, 120, 225), (0, 0, 40), "mask"),
        "olive": Plumage((66, 130, 120), (58, 100, 190), (64, 140, 100), (20, 100, 130), "bars"),
        "pied": Plumage((0, 0, 34), (0, 0, 245), (0, 0, 30), (46, 60, 70), "wing"),
        "rosy": Plumage((344, 90, 225), (348, 60, 240), (342, 120, 210), (350, 60, 70), "plain"),
        "spotted": Plumage((30, 130, 100), (40, 30, 235), (30, 120, 90), (44, 150, 170), "spots"),
        "violet": Plumage((278, 160, 150), (290, 80, 200), (272, 170, 120), (46, 190, 220), "mask"),
    }
)
"""The twenty plumages by name."""

SPECIES: Final = tuple(sorted(f"{plumage}_{build}" for plumage in PLUMAGES for build in BUILDS))
"""All 400, `<plumage>_<build>`."""

# Every build once and ten of them twice, each time in another plumage.
THIRTY_SPECIES: Final = tuple(
    sorted(
        f"{tuple(PLUMAGES)[(7 * place + 3 * (place // 20)) % 20]}_{tuple(BUILDS)[place % 20]}"
        for place in range(30)
    )
)
"""Thirty of them, in which every build occurs."""


def _shade(rng: Random, colour: tuple[int, int, int]) -> Colour:
    """A part's colour in one individual."""
    hue, saturation, value = colour
    near = hue + rng.randint(-7, 7), saturation + rng.randint(-18, 18), value + rng.randint(-18, 18)
    return hsv(near[0], max(0, min(255, near[1])), max(12, min(255, near[2])))


def _grown(rng: Random, length: int) -> int:
    return max(1, length * rng.randint(90, 110) // 100)


def _bill(sprite: Sprite, build: Build, at: Point, colour: Colour, rng: Random) -> None:
    (x, y), (length, depth) = at, build.bill
    length, droop = _grown(rng, length), build.hook
    upper = curve([(x, y - depth // 2), (x - length * 2 // 3, y - depth // 3), (x - length, y)], 2)
    lower = [(x - length, y + droop), (x - length * 2 // 3, y + depth // 3), (x, y + depth // 2)]
    sprite.fill([*upper, *lower], colour)
    sprite.stroke([(x, y + 1), (x - length * 3 // 4, y + 1)], 2, scaled(colour, 60))


def _marked_body(sprite: Sprite, marking: str, back: Colour, rng: Random) -> None:
    """Bars or spots over what is drawn so far, or a band across the breast."""
    dark = scaled(back, 48)
    with sprite.clipped():
        if marking == "bars":
            for x in range(40 + rng.randint(0, 6), 180, 12):
                sprite.stroke(curve([(x, 60), (x + 10, 110), (x - 4, 170)]), 4, dark)
        if marking == "spots":
            for _ in range(34):
                sprite.fill(ellipse(rng.randint(48, 160), rng.randint(66, 168), 4, 4), dark)
        if marking == "band":
            sprite.stroke(curve([(44, 74), (66, 118), (92, 160)]), 13, dark)


def _marked_head(sprite: Sprite, marking: str, at: Point, radius: int) -> None:
    x, y = at
    if marking == "cap":
        top = [polar(x, y, radius, turn) for turn in range(185, 356, 15)]
        sprite.fill(top, BLACK)
    if marking == "mask":
        sprite.fill(ellipse(x - radius // 4, y - radius // 6, radius * 4 // 5, radius // 3), BLACK)


def _head(sprite: Sprite, build: Build, plumage: Plumage, at: Point, rng: Random) -> None:
    (x, y), radius = at, _grown(rng, build.head)
    colour = _shade(rng, plumage.head)
    for step in range(3 if build.crest else 0):
        tip = polar(x + radius // 2, y - radius // 2, build.crest, 250 + 28 * step)
        sprite.stroke([(x + radius // 4, y - radius // 2), tip], 6, scaled(colour, 115))
    _bill(sprite, build, (x - radius * 4 // 5, y + radius // 8), _shade(rng, plumage.bill), rng)
    sprite.fill(ellipse(x, y, radius, radius * 15 // 16), colour)
    _marked_head(sprite, plumage.marking, (x, y), radius)
    eye = x - radius // 3, y - radius // 6
    sprite.fill(ellipse(*eye, 5, 5), WHITE if plumage.marking in ("cap", "mask") else BLACK)
    sprite.fill(ellipse(*eye, 3, 3), BLACK)


def _legs(sprite: Sprite, build: Build, base: Point, rng: Random) -> None:
    colour = hsv(rng.randint(14, 44), 120, 110)
    for side in (-7, 9):
        foot = base[0] + side + rng.randint(-2, 6), base[1] + build.legs
        sprite.stroke([(base[0] + side, base[1] - 6), foot, (foot[0] - 10, foot[1] + 3)], 4, colour)


def _tail(sprite: Sprite, build: Build, root: Point, lean: int, colour: Colour) -> None:
    length, width = build.tail
    ends = [polar(*root, length, lean + fan) for fan in (-width // 2, width // 2)]
    x, y = root
    sprite.fill(
        [(x, y - 12), ends[0], polar(x, y, length * 7 // 8, lean), ends[1], (x, y + 12)], colour
    )


def _wing(sprite: Sprite, build: Build, lean: int, colours: tuple[Colour, Colour]) -> None:
    long, high = build.body[0] * 3 // 4, build.body[1] * 5 // 8
    sprite.fill(ellipse(112, 106, long, high, lean + 6), colours[0])
    for feather in range(3):
        tip = polar(112, 106, long + 6 + 3 * feather, lean + 4 + 9 * feather)
        sprite.stroke([(112 + 6 * feather, 106 + high // 3), tip], 5, colours[1])


def bird(build: Build, plumage: Plumage, sprite: Sprite, rng: Random) -> None:
    """A perched bird of a species, looking left."""
    lean = build.lean + rng.randint(-7, 7)
    long, high = _grown(rng, build.body[0]), _grown(rng, build.body[1])
    back, belly = _shade(rng, plumage.back), _shade(rng, plumage.belly)
    _legs(sprite, build, (108, 112 + high), rng)
    _tail(sprite, build, polar(108, 110, long * 3 // 4, lean), lean, scaled(back, 78))
    shoulder = polar(108, 110, long * 3 // 4, 180 + lean)
    crown = polar(*shoulder, build.neck + build.head // 2, 244 + rng.randint(-10, 10))
    if build.neck > 10:
        throat = polar(*shoulder, build.neck // 2, 214)
        neck = curve([shoulder, throat, crown], 2)
        sprite.stroke(neck, max(9, build.head * 9 // 10), mixed(back, belly, 30))
    sprite.fill(smooth(blob(rng, 108, 110, long, high, 3), 1), back)
    with sprite.clipped():
        sprite.fill(ellipse(94, 110 + high * 2 // 3, long * 4 // 5, high * 4 // 5, lean), belly)
    _marked_body(sprite, plumage.marking, back, rng)
    inner = WHITE if plumage.marking == "wing" else scaled(back, 122)
    _wing(sprite, build, lean, (mixed(back, BLACK, 18), mixed(inner, back, 25)))
    _head(sprite, build, plumage, crown, rng)
    sprite.grain(rng, "medium", 22)
    sprite.relief(7, 90)


def bird_photograph(name: str, rng: Random) -> Image.Image:
    """Draw a bird of a species, out of doors.

    Args:
        name: one of `SPECIES`.
        rng: the only source of chance; equal states give equal pixels.

    Returns:
        An RGB picture with sides of 128 to 160 px.
    """
    plumage, build = name.split("_")
    return portrait(partial(bird, BUILDS[build], PLUMAGES[plumage]), rng, LANDSCAPES)
