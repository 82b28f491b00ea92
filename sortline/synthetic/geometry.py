"""Outlines in whole pixels.

Everything here is integer arithmetic over a sine table: the C library's sine and NumPy's change
their last bits with the CPU's features, which would move a pixel now and then. For the same
reason nothing uses Pillow's arcs, pie slices or wide lines.
"""

from collections.abc import Iterable, Sequence
from math import isqrt
from random import Random

Point = tuple[int, int]
Outline = Sequence[Point]

UNIT = 4096
"""One, in the fixed point of the sine table."""

# cos and sin of one degree, times 10**30: the table is built by turning a vector degree by degree.
_COS_1 = 999847695156391239157011558814
_SIN_1 = 17452406437283512819418978516
_SCALE = 10**30


def _sine_table() -> tuple[int, ...]:
    x, y, table = _SCALE, 0, []
    for _ in range(360):
        table.append((2 * y * UNIT + _SCALE) // (2 * _SCALE))
        x, y = (x * _COS_1 - y * _SIN_1) // _SCALE, (x * _SIN_1 + y * _COS_1) // _SCALE
    return tuple(table)


_SINE = _sine_table()


def sine(degrees: int) -> int:
    """Sine of whole degrees, in units of 1/4096."""
    return _SINE[degrees % 360]


def cosine(degrees: int) -> int:
    """Cosine of whole degrees, in units of 1/4096."""
    return _SINE[(degrees + 90) % 360]


def polar(cx: int, cy: int, radius: int, degrees: int) -> Point:
    """Return the point at a radius and an angle (clockwise on the screen) from a centre."""
    return cx + radius * cosine(degrees) // UNIT, cy + radius * sine(degrees) // UNIT


def turned(points: Iterable[Point], degrees: int, centre: Point = (100, 100)) -> list[Point]:
    """Rotate points about a centre."""
    cos, sin, (cx, cy) = cosine(degrees), sine(degrees), centre
    return [
        (
            cx + ((x - cx) * cos - (y - cy) * sin) // UNIT,
            cy + ((x - cx) * sin + (y - cy) * cos) // UNIT,
        )
        for x, y in points
    ]


def moved(points: Iterable[Point], dx: int, dy: int) -> list[Point]:
    """Shift points."""
    return [(x + dx, y + dy) for x, y in points]


def ellipse(cx: int, cy: int, rx: int, ry: int, turn: int = 0) -> list[Point]:
    """Outline of an ellipse, rotated by `turn` degrees."""
    points = [
        (cx + rx * cosine(angle) // UNIT, cy + ry * sine(angle) // UNIT)
        for angle in range(0, 360, 12)
    ]
    return turned(points, turn, (cx, cy)) if turn else points


def box(x0: int, y0: int, x1: int, y1: int) -> list[Point]:
    """Outline of an upright rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def rounded(x0: int, y0: int, x1: int, y1: int, radius: int) -> list[Point]:
    """Outline of an upright rectangle with round corners."""
    corners = (
        (x1 - radius, y1 - radius, 0),
        (x0 + radius, y1 - radius, 90),
        (x0 + radius, y0 + radius, 180),
        (x1 - radius, y0 + radius, 270),
    )
    return [
        polar(x, y, radius, start + step) for x, y, start in corners for step in range(0, 91, 18)
    ]


def star(cx: int, cy: int, outer: int, inner: int, tips: int, turn: int = 0) -> list[Point]:
    """Outline with `tips` points, from an inner to an outer radius."""
    half = 180 * 16 // tips
    return [
        polar(cx, cy, inner if corner % 2 else outer, turn + corner * half // 16)
        for corner in range(2 * tips)
    ]


def blob(rng: Random, cx: int, cy: int, rx: int, ry: int, wobble: int = 12) -> list[Point]:
    """Closed, wavy outline; `wobble` is in percent of the radius."""
    waves = [(harmonic, rng.randint(0, 359)) for harmonic in (2, 3, 5)]
    points = []
    for angle in range(0, 360, 12):
        wave = sum(sine(harmonic * angle + phase) for harmonic, phase in waves)
        swell = 300 * UNIT + wobble * wave
        points.append(
            (
                cx + rx * swell // (300 * UNIT) * cosine(angle) // UNIT,
                cy + ry * swell // (300 * UNIT) * sine(angle) // UNIT,
            )
        )
    return points


def jagged(rng: Random, cx: int, cy: int, rx: int, ry: int, corners: int) -> list[Point]:
    """Broken, angular outline around a centre."""
    angles = sorted(rng.randint(0, 359) for _ in range(corners))
    return [
        (cx + x * rx // 100, cy + y * ry // 100)
        for x, y in (polar(0, 0, rng.randint(55, 105), angle) for angle in angles)
    ]


def profile(cx: int, halves: Sequence[Point]) -> list[Point]:
    """Symmetric outline from (y, half width) pairs, top to bottom: bottles, lamps, towers."""
    right = [(cx + half, y) for y, half in halves]
    return right + [(cx - half, y) for y, half in reversed(halves)]


def smooth(points: Outline, rounds: int = 2) -> list[Point]:
    """Round the corners of a closed outline by Chaikin's corner cutting."""
    current = list(points)
    for _ in range(rounds):
        following = current[1:] + current[:1]
        current = [
            cut
            for (ax, ay), (bx, by) in zip(current, following, strict=True)
            for cut in (
                ((3 * ax + bx) // 4, (3 * ay + by) // 4),
                ((ax + 3 * bx) // 4, (ay + 3 * by) // 4),
            )
        ]
    return current


def curve(points: Outline, rounds: int = 2) -> list[Point]:
    """Round the corners of an open line, keeping its ends."""
    rounded_line = smooth(points, rounds)
    return [points[0], *rounded_line[1 : -(2**rounds)], points[-1]]


def segment(a: Point, b: Point, width: int) -> list[Point]:
    """Outline of a straight stroke of a width in pixels."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = max(1, isqrt(dx * dx + dy * dy))
    nx, ny = -dy * width // (2 * length), dx * width // (2 * length)
    return [
        (a[0] + nx, a[1] + ny),
        (b[0] + nx, b[1] + ny),
        (b[0] - nx, b[1] - ny),
        (a[0] - nx, a[1] - ny),
    ]
