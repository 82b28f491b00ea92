"""Where objects lie: floors, belts, grass, cloth, clutter. Each draws a picture of a size."""

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType

from PIL import Image, ImageDraw, ImageFilter

from sortline.synthetic.colours import (
    Colour,
    any_colour,
    dark,
    earthy,
    hsv,
    mixed,
    muted,
    pale,
    scaled,
)
from sortline.synthetic.geometry import blob, ellipse, jagged, segment
from sortline.synthetic.textures import patch, roughened, toned

Size = tuple[int, int]
Background = Callable[[Random, Size], Image.Image]


def _flat(rng: Random) -> Colour:
    return rng.choice((muted, pale, dark, earthy, any_colour))(rng)


def _ramp(rng: Random, size: Size, first: Colour, second: Colour) -> Image.Image:
    line = Image.frombytes("RGB", (1, 2), bytes((*first, *second)))
    picture = line.resize(size, Image.Resampling.BILINEAR)
    return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if rng.randint(0, 1) else picture


def gradient(rng: Random, size: Size) -> Image.Image:
    """A studio backdrop."""
    colour = _flat(rng)
    return roughened(
        _ramp(rng, size, colour, scaled(colour, rng.randint(55, 90))), patch(rng, "cloud", size), 15
    )


def concrete(rng: Random, size: Size) -> Image.Image:
    """Concrete, plaster or stone."""
    colour = muted(rng)
    picture = toned(
        patch(rng, "coarse", size), scaled(colour, rng.randint(45, 75)), scaled(colour, 115)
    )
    return roughened(picture, patch(rng, "fine", size), rng.randint(10, 30))


def asphalt(rng: Random, size: Size) -> Image.Image:
    """Tar, sand or carpet: fine grain over large stains."""
    colour = _flat(rng)
    picture = toned(patch(rng, "medium", size), scaled(colour, 55), colour)
    return roughened(picture, patch(rng, "coarse", size), 40)


def wood(rng: Random, size: Size) -> Image.Image:
    """Planks with a grain."""
    colour = earthy(rng) if rng.randint(0, 2) else _flat(rng)
    picture = toned(
        patch(rng, "streaks", size), scaled(colour, rng.randint(40, 70)), scaled(colour, 112)
    )
    pen, pitch = ImageDraw.Draw(picture), rng.randint(22, 60)
    for y in range(rng.randint(0, pitch), size[1], pitch):
        pen.line([(0, y), (size[0], y)], fill=scaled(colour, 28))
        x = rng.randint(0, size[0])
        pen.line([(x, y), (x, y + pitch)], fill=scaled(colour, 28))
    return (
        picture.transpose(Image.Transpose.ROTATE_90).resize(size) if rng.randint(0, 1) else picture
    )


def tiles(rng: Random, size: Size) -> Image.Image:
    """Tiles with grout, each of its own tone."""
    colour, pitch, gap = _flat(rng), rng.randint(18, 52), rng.randint(1, 4)
    picture = Image.new("RGB", size, scaled(colour, rng.choice((55, 140))))
    pen = ImageDraw.Draw(picture)
    x0, y0, shift = rng.randint(-pitch, 0), rng.randint(-pitch, 0), rng.choice((0, pitch // 2))
    for row, y in enumerate(range(y0, size[1], pitch)):
        for x in range(x0 - shift * (row % 2), size[0], pitch):
            pen.rectangle(
                (x, y, x + pitch - gap, y + pitch - gap), fill=scaled(colour, rng.randint(88, 108))
            )
    return roughened(picture, patch(rng, "coarse", size), 25)


def grass(rng: Random, size: Size) -> Image.Image:
    """Blades of grass, or straw when dry."""
    hue = rng.randint(70, 140) if rng.randint(0, 3) else rng.randint(30, 60)
    picture = toned(patch(rng, "medium", size), hsv(hue, 170, 40), hsv(hue, 150, 120))
    pen = ImageDraw.Draw(picture)
    for _ in range(150):
        x, y = rng.randint(0, size[0]), rng.randint(0, size[1])
        blade = [(x, y), (x + rng.randint(-9, 9), y - rng.randint(6, 20))]
        pen.line(
            blade, fill=hsv(hue + rng.randint(-18, 18), rng.randint(90, 190), rng.randint(70, 190))
        )
    return picture


def gravel(rng: Random, size: Size) -> Image.Image:
    """Pebbles."""
    colour = _flat(rng)
    picture = Image.new("RGB", size, scaled(colour, 35))
    pen = ImageDraw.Draw(picture)
    for _ in range(170):
        x, y, radius = rng.randint(0, size[0]), rng.randint(0, size[1]), rng.randint(3, 11)
        tone = mixed(scaled(colour, rng.randint(55, 125)), muted(rng), 25)
        pen.ellipse((x - radius, y - radius + 1, x + radius, y + radius), fill=scaled(tone, 60))
        pen.ellipse((x - radius, y - radius, x + radius - 1, y + radius - 2), fill=tone)
    return roughened(picture, patch(rng, "medium", size), 30)


def cloth(rng: Random, size: Size) -> Image.Image:
    """A checked or striped tablecloth."""
    colour, ink, pitch = _flat(rng), any_colour(rng), rng.randint(10, 34)
    picture = Image.new("RGB", size, colour)
    pen, kind = ImageDraw.Draw(picture), rng.randint(0, 2)
    for x in range(0, size[0], pitch):
        if kind != 1:
            pen.rectangle((x, 0, x + pitch // 2, size[1]), fill=mixed(colour, ink, 45))
    for y in range(0, size[1], pitch):
        if kind != 0:
            pen.rectangle((0, y, size[0], y + pitch // 3), fill=mixed(colour, ink, 60))
    return roughened(
        roughened(picture, patch(rng, "fine", size), 25), patch(rng, "cloud", size), 35
    )


def belt(rng: Random, size: Size) -> Image.Image:
    """A sorting belt: worn rubber, cleats and side rails."""
    colour = dark(rng) if rng.randint(0, 2) else muted(rng)
    picture = toned(patch(rng, "streaks", size), scaled(colour, 60), scaled(colour, 120))
    pen, (width, height) = ImageDraw.Draw(picture), size
    for y in range(rng.randint(0, 40), height, rng.randint(34, 60)):
        pen.rectangle((0, y, width, y + rng.randint(2, 5)), fill=scaled(colour, 50))
        pen.line([(0, y), (width, y)], fill=scaled(colour, 160))
    rail = rng.randint(6, 18)
    for x in (0, width - rail)[: rng.randint(0, 2)]:
        pen.rectangle((x, 0, x + rail, height), fill=muted(rng))
    return roughened(picture, patch(rng, "coarse", size), 35)


def bokeh(rng: Random, size: Size) -> Image.Image:
    """A street or room far out of focus."""
    picture = _ramp(rng, size, _flat(rng), _flat(rng))
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.randint(10, 24)):
        x, y, radius = rng.randint(0, size[0]), rng.randint(0, size[1]), rng.randint(5, 26)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=any_colour(rng))
    return picture.filter(ImageFilter.BoxBlur(rng.randint(3, 7)))


def room(rng: Random, size: Size) -> Image.Image:
    """A floor or table meeting a wall, with a thing or two against it."""
    picture = rng.choice((concrete, gradient, tiles))(rng, size)
    floor = rng.choice((wood, asphalt, cloth, concrete))(rng, size)
    pen, horizon = ImageDraw.Draw(picture), rng.randint(size[1] // 4, size[1] // 2)
    for _ in range(rng.randint(0, 3)):
        x, width = rng.randint(0, size[0]), rng.randint(12, 50)
        pen.rectangle((x, horizon - rng.randint(10, 50), x + width, horizon), fill=any_colour(rng))
    picture.paste(floor.crop((0, horizon, *size)), (0, horizon))
    pen.line([(0, horizon), (size[0], horizon)], fill=dark(rng))
    return picture


def litter(rng: Random, size: Size) -> Image.Image:
    """Ground strewn with leaves and scraps."""
    picture = rng.choice((asphalt, concrete, grass))(rng, size)
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.randint(14, 34)):
        x, y = rng.randint(0, size[0]), rng.randint(0, size[1])
        pen.polygon(
            jagged(rng, x, y, rng.randint(4, 15), rng.randint(3, 11), 6), fill=any_colour(rng)
        )
    return roughened(picture, patch(rng, "fine", size), 20)


def clutter(rng: Random, size: Size) -> Image.Image:
    """A full surface of unnamed things: slabs, discs, rods, lumps."""
    picture = rng.choice((concrete, wood, asphalt, gradient, cloth))(rng, size)
    scatter(rng, picture, rng.randint(7, 15), 34)
    return roughened(picture, patch(rng, "medium", size), 18)


def scatter(rng: Random, picture: Image.Image, count: int, reach: int) -> None:
    """Draw unnamed things onto a picture, at most `reach` px in radius."""
    pen, (width, height) = ImageDraw.Draw(picture), picture.size
    for _ in range(count):
        x, y, size = rng.randint(0, width), rng.randint(0, height), rng.randint(reach // 4, reach)
        colour, kind = any_colour(rng), rng.randint(0, 3)
        if kind == 0:
            outline = jagged(rng, x, y, size, size, 6)
        elif kind == 1:
            outline = ellipse(x, y, size * 3 // 4, size // 2, rng.randint(0, 179))
        elif kind == 2:
            outline = segment(
                (x, y), (x + rng.randint(-60, 60), y + rng.randint(-60, 60)), rng.randint(3, 12)
            )
        else:
            outline = blob(rng, x, y, size * 3 // 4, size * 3 // 4, 22)
        pen.polygon([(px + 2, py + 3) for px, py in outline], fill=scaled(colour, 35))
        pen.polygon(outline, fill=colour)


BACKGROUNDS: Mapping[str, Background] = MappingProxyType(
    {
        "gradient": gradient,
        "concrete": concrete,
        "asphalt": asphalt,
        "wood": wood,
        "tiles": tiles,
        "grass": grass,
        "gravel": gravel,
        "cloth": cloth,
        "belt": belt,
        "bokeh": bokeh,
        "room": room,
        "litter": litter,
        "clutter": clutter,
    }
)
"""Every background by name."""
