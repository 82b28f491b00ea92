"""How light falls on what an object is made of: the cue that tells classes of one shape apart."""

from random import Random

from sortline.synthetic.colours import WHITE, Colour, mixed, scaled
from sortline.synthetic.geometry import Outline, curve
from sortline.synthetic.sprite import Sprite


def _span(outline: Outline) -> tuple[int, int, int, int]:
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    return min(xs), min(ys), max(xs), max(ys)


def solid_round(sprite: Sprite, outline: Outline, colour: Colour, rng: Random, gloss: int) -> None:
    """Fill an upright round body: dark at the sides, one soft highlight of `gloss` percent."""
    stops = [scaled(colour, percent) for percent in (48, 78, 105, 112, 98, 76, 58, 42)]
    stops[rng.randint(2, 3)] = mixed(scaled(colour, 110), WHITE, gloss)
    sprite.ramp(outline, stops if rng.randint(0, 1) else stops[::-1])


def metallic(
    sprite: Sprite, outline: Outline, colour: Colour, rng: Random, *, down: bool = False
) -> None:
    """Fill with the hard, alternating bands of a mirror-like surface."""
    bright = rng.randint(0, 1)
    stops = [
        mixed(scaled(colour, 105), WHITE, rng.randint(25, 85))
        if (band + bright) % 2
        else scaled(colour, rng.randint(28, 75))
        for band in range(rng.randint(6, 10))
    ]
    sprite.ramp(outline, stops, down=down)


def glassy(sprite: Sprite, outline: Outline, colour: Colour, rng: Random) -> None:
    """Fill translucent: the background shows, edges are dark, highlights thin and hard."""
    sprite.fill(outline, colour, rng.randint(60, 150))
    x0, y0, x1, y1 = _span(outline)
    width, height = x1 - x0, y1 - y0
    with sprite.clipped():
        sprite.rim(outline, max(5, width // 12), scaled(colour, 45), rng.randint(150, 210))
        sprite.rim(outline, 2, mixed(colour, WHITE, 60), 190)
        for _ in range(rng.randint(2, 3)):
            x = x0 + width * rng.randint(16, 84) // 100
            top = y0 + height * rng.randint(8, 45) // 100
            end = top + height * rng.randint(15, 45) // 100
            sprite.stroke([(x, top), (x, end)], rng.randint(2, 5), WHITE, 235)


def sheer(sprite: Sprite, outline: Outline, colour: Colour, rng: Random) -> None:
    """Fill like thin plastic film: milky, soft-edged, with broad faint highlights and creases."""
    sprite.fill(outline, mixed(colour, WHITE, 25), rng.randint(130, 215))
    x0, y0, x1, y1 = _span(outline)
    with sprite.clipped():
        for _ in range(rng.randint(5, 9)):
            a = (rng.randint(x0, x1), rng.randint(y0, y1))
            b = (a[0] + rng.randint(-45, 45), a[1] + rng.randint(-45, 45))
            bend = ((a[0] + b[0]) // 2 + rng.randint(-15, 15), (a[1] + b[1]) // 2)
            tone = mixed(colour, WHITE, 70) if rng.randint(0, 2) else scaled(colour, 70)
            sprite.stroke(curve([a, bend, b]), rng.randint(1, 4), tone, rng.randint(190, 240))


def creased(sprite: Sprite, colour: Colour, rng: Random, facets: int, contrast: int) -> None:
    """Break what is drawn into flat facets of different brightness, as paper or foil crumples."""
    with sprite.clipped():
        for _ in range(facets):
            x, y = rng.randint(25, 175), rng.randint(25, 175)
            corners = [(x + rng.randint(-34, 34), y + rng.randint(-34, 34)) for _ in range(3)]
            tone = 100 + rng.randint(-contrast, contrast)
            face = scaled(colour, tone) if tone < 100 else mixed(colour, WHITE, tone - 100)
            sprite.fill(corners, face)


def folds(sprite: Sprite, colour: Colour, rng: Random, count: int) -> None:
    """Lay soft folds over cloth."""
    with sprite.clipped():
        for _ in range(count):
            x, y = rng.randint(35, 165), rng.randint(35, 165)
            line = curve(
                [(x, y), (x + rng.randint(-14, 14), y + 18), (x + rng.randint(-25, 25), y + 42)]
            )
            sprite.stroke(line, rng.randint(2, 5), scaled(colour, rng.choice((62, 74, 122, 135))))


def print_lines(sprite: Sprite, area: tuple[int, int, int, int], ink: Colour, rng: Random) -> None:
    """Set rows of words, as greeked text: bars of random length."""
    x0, y0, x1, y1 = area
    pitch = rng.randint(5, 9)
    for y in range(y0, y1 - 2, pitch):
        x = x0
        while x < x1 - 6:
            end = min(x1, x + rng.randint(5, 18))
            sprite.fill([(x, y), (end, y), (end, y + pitch // 3), (x, y + pitch // 3)], ink)
            x = end + rng.randint(3, 5)


def label(sprite: Sprite, area: tuple[int, int, int, int], colour: Colour, rng: Random) -> None:
    """Put a printed label on a body: a band, a mark and some words."""
    x0, y0, x1, y1 = area
    with sprite.clipped():
        stops = [scaled(colour, percent) for percent in (60, 95, 112, 100, 80, 55)]
        sprite.ramp([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], stops)
        ink = scaled(colour, 40) if sum(colour) > 330 else mixed(colour, WHITE, 75)
        middle, height = (x0 + x1) // 2, y1 - y0
        mark = rng.randint(0, 2)
        if mark == 0:
            radius = max(3, height // 4)
            y = y0 + height // 3
            sprite.fill(
                [
                    (middle, y - radius),
                    (middle + radius, y),
                    (middle, y + radius),
                    (middle - radius, y),
                ],
                ink,
            )
        elif mark == 1:
            sprite.fill(
                [
                    (x0, y0 + height // 5),
                    (x1, y0 + height // 3),
                    (x1, y0 + height // 2),
                    (x0, y0 + height * 2 // 5),
                ],
                ink,
            )
        print_lines(sprite, (x0 + 8, y0 + height * 3 // 5, x1 - 8, y1), ink, rng)
