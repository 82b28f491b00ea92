"""Noise sheets, drawn once a process from fixed seeds and cut anew for every picture."""

from functools import cache
from random import Random

from PIL import Image, ImageChops, ImageOps

from sortline.synthetic.colours import Colour

SHEET_PX = 448

# Octaves of each sheet: (columns, rows, percent blended over the sheet so far).
_OCTAVES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "fine": ((448, 448, 100),),
    "medium": ((56, 56, 100), (150, 150, 45), (448, 448, 25)),
    "coarse": ((9, 9, 100), (24, 24, 42), (80, 80, 30), (300, 300, 18)),
    "cloud": ((6, 6, 100), (14, 14, 40), (34, 34, 22)),
    "streaks": ((3, 120, 100), (8, 400, 45), (40, 448, 25)),
}
TEXTURES = tuple(_OCTAVES)


def _octave(rng: Random, columns: int, rows: int) -> Image.Image:
    cells = Image.frombytes("L", (columns, rows), rng.randbytes(columns * rows))
    return cells.resize((SHEET_PX, SHEET_PX), Image.Resampling.BICUBIC)


@cache
def sheet(texture: str) -> Image.Image:
    """Grey noise of 448x448 px, stretched to the full range."""
    rng = Random(f"sheet:{texture}")
    noise = Image.new("L", (SHEET_PX, SHEET_PX))
    for columns, rows, weight in _OCTAVES[texture]:
        octave = _octave(rng, columns, rows)
        mask = Image.new("L", noise.size, 255 * weight // 100)
        noise = Image.composite(octave, noise, mask)
    return ImageOps.autocontrast(noise)


def patch(rng: Random, texture: str, size: tuple[int, int]) -> Image.Image:
    """Cut a piece of a noise sheet at a random place, mirrored at random."""
    x, y = rng.randint(0, SHEET_PX - size[0]), rng.randint(0, SHEET_PX - size[1])
    piece = sheet(texture).crop((x, y, x + size[0], y + size[1]))
    if rng.randint(0, 1):
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.randint(0, 1):
        piece = piece.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return piece


def toned(grey: Image.Image, low: Colour, high: Colour) -> Image.Image:
    """Colour a grey picture: black becomes `low`, white becomes `high`."""
    channels = [
        grey.point([a + (b - a) * level // 255 for level in range(256)])
        for a, b in zip(low, high, strict=True)
    ]
    return Image.merge("RGB", channels)


def roughened(picture: Image.Image, noise: Image.Image, percent: int) -> Image.Image:
    """Darken a picture by noise: `percent` of the light is taken where the noise is black."""
    light = noise.point([255 - (255 - level) * percent // 100 for level in range(256)])
    return ImageChops.multiply(picture, Image.merge("RGB", (light, light, light)))
