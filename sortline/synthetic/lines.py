"""Lines of a width on grey pages, without a sprite."""

from collections.abc import Sequence
from itertools import pairwise

from PIL import ImageDraw

from sortline.synthetic.geometry import Point, segment


def pen_line(pen: ImageDraw.ImageDraw, points: Sequence[Point], width: int, ink: int) -> None:
    """Draw through the points with a pen of a width in pixels."""
    for first, second in pairwise(points):
        pen.polygon(segment(first, second, width), fill=ink)
