"""Chest radiographs: ribs, heart, spine and diaphragm, with or without an infiltrate.

Nothing in them looks like a photograph of a thing: grey, one pose, and the two classes differ by a
haze that is often faint. Drawn figures, not medical ones.
"""

from random import Random
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from sortline.synthetic.geometry import (
    Outline,
    Point,
    blob,
    box,
    curve,
    ellipse,
    smooth,
)
from sortline.synthetic.lines import pen_line
from sortline.synthetic.textures import patch

FINDINGS: Final = ("clear", "infiltrate")
"""The two classes."""

_SHEET: Final = 320  # What is drawn, and averaged down to half.
_SIDE_PX: Final = 160
_SIZE: Final = (_SIDE_PX, _SIDE_PX)
_SIDES: Final = (-1, 1)


def _soft(sheet: Image.Image, blur: int) -> Image.Image:
    return sheet.reduce(_SHEET // _SIDE_PX).filter(ImageFilter.BoxBlur(blur))


def _sheet() -> Image.Image:
    return Image.new("L", (_SHEET, _SHEET), 0)


def _filled(outline: Outline, level: int, blur: int) -> Image.Image:
    sheet = _sheet()
    ImageDraw.Draw(sheet).polygon(list(outline), fill=level)
    return _soft(sheet, blur)


def _mirrored(points: list[Point], side: int) -> list[Point]:
    """Points given to the right of the spine, on either side of it."""
    return [(160 + side * x, y) for x, y in points]


def _lung(rng: Random, side: int) -> list[Point]:
    top, low, wide = rng.randint(52, 76), rng.randint(222, 262), rng.randint(88, 112)
    inner = 40 if side > 0 else 26  # The heart lies more to the picture's right.
    corners = [
        (24, top + 14),
        (44, top),
        (66, top + 10),
        (wide - 12, 130),
        (wide, low + 4),
        (62, low - 14),
        (inner, low - 2),
        (inner - 10, 170),
        (20, 120),
    ]
    return smooth(_mirrored(corners, side), 2)


def _body(rng: Random, lungs: list[list[Point]]) -> Image.Image:
    """Soft tissue, which takes the rays away, and lungs, which let them through."""
    wide = rng.randint(128, 150)
    trunk = smooth(
        [
            (160 - wide, 330),
            (160 - wide, 100),
            (110, 34),
            (210, 34),
            (160 + wide, 100),
            (160 + wide, 330),
        ],
        2,
    )
    picture = _filled(trunk, rng.randint(128, 160), 3)
    for lung in lungs:
        picture = ImageChops.subtract(picture, _filled(lung, rng.randint(74, 100), 2))
    return picture


def _ribs(rng: Random) -> Image.Image:
    layer = _sheet()
    pen, level, pitch = ImageDraw.Draw(layer), rng.randint(16, 34), rng.randint(23, 29)
    start, fall = rng.randint(44, 58), rng.randint(18, 34)
    for side in _SIDES:
        for rib in range(8):
            y = start + rib * pitch
            points = [(12, y), (60, y - 8), (104 + rib, y + fall), (112 + rib, y + fall + 26)]
            line = curve(_mirrored(points, side), 2)
            pen_line(pen, line, 8, level)
    return _soft(layer, 1)


def _bones(rng: Random) -> Image.Image:
    """Spine and collar bones."""
    layer = _sheet()
    pen, level = ImageDraw.Draw(layer), rng.randint(22, 44)
    for y in range(rng.randint(20, 34), 310, 19):
        pen.polygon(box(148, y, 172, y + 14), fill=level)
    height = rng.randint(48, 66)
    for side in _SIDES:
        line = curve(_mirrored([(14, height + 12), (60, height - 6), (116, height - 18)], side), 2)
        pen_line(pen, line, 9, level)
    return _soft(layer, 1)


def _heart(rng: Random) -> Image.Image:
    wide, tall = rng.randint(40, 62), rng.randint(48, 66)
    outline = blob(rng, 160 + rng.randint(10, 26), rng.randint(196, 216), wide, tall, 8)
    return _filled(outline, rng.randint(58, 84), 3)


def _vessels(rng: Random) -> Image.Image:
    """What branches from the roots of healthy lungs, and looks a little like disease."""
    layer = _sheet()
    pen = ImageDraw.Draw(layer)
    for side in _SIDES:
        for _ in range(rng.randint(6, 12)):
            y = rng.randint(130, 170)
            points = [(28, y), (48, y + rng.randint(-30, 30)), (84, y + rng.randint(-70, 70))]
            line = curve(_mirrored(points, side), 2)
            pen_line(pen, line, rng.randint(2, 5), rng.randint(14, 34))
    return _soft(layer, 1)


def _infiltrate(rng: Random, lungs: list[list[Point]]) -> Image.Image:
    """Haze in one lung or both; patchy, and now and then hardly there."""
    haze = Image.new("L", _SIZE, 0)
    strength = rng.choice((56, 84, 112, 140))
    for lung in rng.choice((lungs[:1], lungs[1:], lungs)):
        for _ in range(rng.randint(2, 4)):
            x, y = rng.choice(lung)
            x, y = (2 * x + 160 + (60 if x > 160 else -60)) // 3, y + rng.randint(-24, 24)
            spot = blob(rng, x, y, rng.randint(22, 50), rng.randint(20, 46), 24)
            haze = ImageChops.lighter(haze, _filled(spot, strength, rng.randint(3, 6)))
    inside = Image.new("L", _SIZE, 0)
    for lung in lungs:
        inside = ImageChops.lighter(inside, _filled(lung, 255, 2))
    cloud = patch(rng, "coarse", _SIZE).point([140 + level * 115 // 255 for level in range(256)])
    return ImageChops.multiply(ImageChops.multiply(haze, inside), cloud)


def _devices(rng: Random) -> Image.Image:
    """Leads and side markers, in both classes alike."""
    layer = _sheet()
    pen = ImageDraw.Draw(layer)
    if rng.randint(0, 2) == 0:
        x = rng.choice((30, 276))
        pen.polygon(box(x, 24, x + 14, 30), fill=235)
        pen.polygon(box(x, 24, x + 5, 48), fill=235)
    if rng.randint(0, 2) == 0:
        x = rng.randint(70, 250)
        line = curve([(x, 0), (x + rng.randint(-40, 40), 120), (x + rng.randint(-80, 80), 330)], 2)
        pen_line(pen, line, 3, 205)
        pen.polygon(ellipse(*line[len(line) // 2], 6, 6), fill=220)
    return layer.reduce(_SHEET // _SIDE_PX)


def _posed(rng: Random, picture: Image.Image) -> Image.Image:
    """Shift, scale and lean: patients do not stand all alike."""
    scale, lean = rng.randint(88, 112), rng.randint(-7, 7)
    a, b = scale / 100, lean / 100
    middle, dx, dy = _SIDE_PX // 2, rng.randint(-9, 9), rng.randint(-9, 9)
    x, y = middle * (1 - a + b) + dx, middle * (1 - b - a) + dy
    return picture.transform(
        _SIZE, Image.Transform.AFFINE, (a, -b, x, b, a, y), Image.Resampling.BILINEAR
    )


def _exposed(rng: Random, picture: Image.Image) -> Image.Image:
    gain, base, noise = rng.randint(84, 122), rng.randint(-14, 22), rng.choice((10, 18, 28))
    toned = picture.point([max(0, min(255, level * gain // 100 + base)) for level in range(256)])
    grain = patch(rng, "fine", toned.size).point([level * noise // 255 for level in range(256)])
    return ImageChops.add(toned, grain, 1, -noise // 2)


def radiograph(name: str, rng: Random) -> Image.Image:
    """Draw a chest.

    Args:
        name: `clear` or `infiltrate`.
        rng: the only source of chance; equal states give equal pixels.

    Returns:
        A grey picture (mode L) of 160 x 160 px.
    """
    lungs = [_lung(rng, side) for side in _SIDES]
    picture = _body(rng, lungs)
    layers = [_heart(rng), _ribs(rng), _bones(rng), _vessels(rng)]
    disease = Random(rng.getrandbits(64))  # The same chest, clear or not.
    if name == "infiltrate":
        layers.append(_infiltrate(disease, lungs))
    for layer in layers:
        picture = ImageChops.add(picture, layer)
    tissue = patch(rng, "cloud", _SIZE).point([218 + level * 37 // 255 for level in range(256)])
    picture = ImageChops.multiply(picture, tissue)
    picture = ImageChops.lighter(picture, _devices(rng))
    return _exposed(rng, _posed(rng, picture))
