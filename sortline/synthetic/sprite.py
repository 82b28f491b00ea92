"""A transparent sheet on which one object is drawn upright, before it is posed in a scene."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from sortline.synthetic.colours import Colour
from sortline.synthetic.geometry import Outline, Point, ellipse, segment
from sortline.synthetic.textures import patch, roughened

SPRITE_PX = 200
"""Side of the sheet. Objects are drawn about (100, 100) and keep within 10 to 190."""

_SIZE = (SPRITE_PX, SPRITE_PX)
_ANY = [0] + [255] * 255


def _gradient(colours: Sequence[Colour], size: tuple[int, int], *, down: bool) -> Image.Image:
    shape = (1, len(colours)) if down else (len(colours), 1)
    stops = Image.frombytes(
        "RGB", shape, bytes(channel for colour in colours for channel in colour)
    )
    return stops.resize(size, Image.Resampling.BILINEAR)


class Sprite:
    """Colour and opacity of an object, 200x200 px."""

    def __init__(self) -> None:
        self.rgb = Image.new("RGB", _SIZE, (128, 128, 128))
        self.alpha = Image.new("L", _SIZE, 0)

    def fill(self, outline: Outline, colour: Colour, opacity: int = 255) -> None:
        """Lay a flat colour; an opacity below 255 lets the background through."""
        ImageDraw.Draw(self.rgb).polygon(outline, fill=colour)
        ImageDraw.Draw(self.alpha).polygon(outline, fill=opacity)

    def ramp(self, outline: Outline, colours: Sequence[Colour], *, down: bool = False) -> None:
        """Lay a gradient across (or down) the outline's bounding box."""
        xs, ys = [x for x, _ in outline], [y for _, y in outline]
        x0, y0, x1, y1 = min(xs), min(ys), max(xs) + 1, max(ys) + 1
        mask = Image.new("L", (x1 - x0, y1 - y0), 0)
        ImageDraw.Draw(mask).polygon([(x - x0, y - y0) for x, y in outline], fill=255)
        self.rgb.paste(_gradient(colours, mask.size, down=down), (x0, y0), mask)
        ImageDraw.Draw(self.alpha).polygon(outline, fill=255)

    def stroke(
        self, points: Sequence[Point], width: int, colour: Colour, opacity: int = 255
    ) -> None:
        """Lay a line of a width in pixels with round joints."""
        for a, b in pairwise(points):
            self.fill(segment(a, b, width), colour, opacity)
        if width > 3:
            for x, y in points:
                self.fill(ellipse(x, y, width // 2, width // 2), colour, opacity)

    def rim(self, outline: Outline, width: int, colour: Colour, opacity: int = 255) -> None:
        """Draw along a closed outline."""
        self.stroke([*outline, outline[0]], width, colour, opacity)

    def cut(self, outline: Outline) -> None:
        """Cut a hole."""
        ImageDraw.Draw(self.alpha).polygon(outline, fill=0)

    @contextmanager
    def clipped(self) -> Iterator[None]:
        """Keep what is drawn inside the block to where the sprite already was."""
        before = self.alpha.point(_ANY)
        yield
        self.alpha = ImageChops.darker(self.alpha, before)

    @contextmanager
    def within(self, outline: Outline) -> Iterator[None]:
        """Keep what is drawn inside the block to an outline."""
        rgb, alpha = self.rgb.copy(), self.alpha.copy()
        yield
        mask = Image.new("L", _SIZE, 0)
        ImageDraw.Draw(mask).polygon(outline, fill=255)
        self.rgb = Image.composite(self.rgb, rgb, mask)
        self.alpha = Image.composite(self.alpha, alpha, mask)

    def grain(self, rng: Random, texture: str, percent: int) -> None:
        """Roughen the surface drawn so far."""
        self.rgb = roughened(self.rgb, patch(rng, texture, _SIZE), percent)

    def relief(self, radius: int, percent: int) -> None:
        """Round the whole object: light from the top left, shade at the bottom right."""
        soft = self.alpha.point(_ANY).filter(ImageFilter.BoxBlur(radius))
        lit = ImageChops.offset(soft, radius // 2 + 1, radius // 2 + 1)
        shaded = ImageChops.offset(soft, -(radius // 2) - 1, -(radius // 2) - 1)
        slope = ImageChops.subtract(lit, shaded, 1, 128)
        self._light(slope.point([128 + (level - 128) * percent // 100 for level in range(256)]))

    def _light(self, slope: Image.Image) -> None:
        darker = slope.point([255 if level > 127 else 127 + level for level in range(256)])
        brighter = slope.point([0 if level < 128 else level - 128 for level in range(256)])
        shade = Image.merge("RGB", (darker, darker, darker))
        glow = Image.merge("RGB", (brighter, brighter, brighter))
        self.rgb = ImageChops.add(ImageChops.multiply(self.rgb, shade), glow)

    def picture(self) -> Image.Image:
        """Return the object as one RGBA picture."""
        picture = self.rgb.copy()
        picture.putalpha(self.alpha)
        return picture
