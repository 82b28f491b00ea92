"""Where birds are seen: sky, leaves, water, reeds. Each draws a picture of a size."""

from random import Random
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

from sortline.synthetic.backgrounds import BACKGROUNDS, Background, Size
from sortline.synthetic.colours import earthy, hsv, mixed, scaled
from sortline.synthetic.geometry import blob, segment
from sortline.synthetic.textures import patch, toned


def sky(rng: Random, size: Size) -> Image.Image:
    """Clear to overcast, with a branch or a wire to sit on."""
    blue = hsv(rng.randint(195, 225), rng.randint(10, 140), rng.randint(170, 250))
    picture = toned(patch(rng, "cloud", size), blue, mixed(blue, (250, 250, 250), 70))
    y, width = size[1] * rng.randint(70, 88) // 100, rng.randint(2, 9)
    branch = segment((0, y), (size[0], y + rng.randint(-22, 22)), width)
    ImageDraw.Draw(picture).polygon(branch, fill=earthy(rng))
    return picture


def leaves(rng: Random, size: Size) -> Image.Image:
    """A bush or a wood, in or out of focus."""
    hue = rng.randint(55, 145)
    picture = toned(patch(rng, "medium", size), hsv(hue, 150, 35), hsv(hue, 130, 120))
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.randint(30, 80)):
        x, y = rng.randint(0, size[0]), rng.randint(0, size[1])
        green = hsv(hue + rng.randint(-20, 20), rng.randint(80, 190), rng.randint(60, 200))
        pen.polygon(blob(rng, x, y, rng.randint(3, 12), rng.randint(3, 9), 24), fill=green)
    return picture.filter(ImageFilter.BoxBlur(rng.choice((0, 1, 2, 4))))


def water(rng: Random, size: Size) -> Image.Image:
    """A lake or the sea: ripples under a far shore."""
    blue = hsv(rng.randint(170, 225), rng.randint(40, 150), rng.randint(90, 200))
    picture = toned(patch(rng, "streaks", size), scaled(blue, 65), scaled(blue, 125))
    shore = size[1] * rng.randint(8, 40) // 100
    picture.paste(scaled(earthy(rng), 80), (0, 0, size[0], shore))
    return picture.filter(ImageFilter.BoxBlur(rng.randint(0, 1)))


def reeds(rng: Random, size: Size) -> Image.Image:
    """Stems before a pale distance."""
    hue = rng.randint(35, 95)
    picture = toned(patch(rng, "cloud", size), hsv(hue, 60, 130), hsv(hue, 40, 220))
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.randint(20, 50)):
        x, lean = rng.randint(0, size[0]), rng.randint(-24, 24)
        stem = segment((x, size[1]), (x + lean, rng.randint(0, size[1] // 2)), rng.randint(2, 4))
        pen.polygon(stem, fill=hsv(hue + rng.randint(-15, 15), 120, rng.randint(60, 180)))
    return picture


LANDSCAPES: Final[tuple[Background, ...]] = (
    sky,
    sky,
    leaves,
    leaves,
    water,
    reeds,
    BACKGROUNDS["grass"],
    BACKGROUNDS["bokeh"],
    BACKGROUNDS["gravel"],
)
"""All of them, as often as each is drawn. Their order is part of the seed."""
