"""Paper and cardboard: crumpled balls, newspapers, letters, receipts; boxes, rolls, flat nets."""

from random import Random

from sortline.synthetic.colours import (
    WHITE,
    Colour,
    any_colour,
    earthy,
    mixed,
    muted,
    pale,
    scaled,
    vivid,
)
from sortline.synthetic.geometry import (
    blob,
    box,
    curve,
    ellipse,
    jagged,
    moved,
    smooth,
    turned,
)
from sortline.synthetic.materials import creased, print_lines, solid_round
from sortline.synthetic.sprite import Sprite


def _stock(rng: Random) -> Colour:
    return rng.choice((pale, pale, pale, earthy, any_colour))(rng)


def _board(rng: Random) -> Colour:
    return rng.choice((earthy, earthy, muted, any_colour))(rng)


def crumpled(sprite: Sprite, rng: Random) -> None:
    """A sheet crumpled into a ball, written on or blank."""
    colour = _stock(rng)
    sprite.fill(jagged(rng, 100, 100, rng.randint(56, 80), rng.randint(56, 80), 22), colour)
    if rng.randint(0, 1):
        with sprite.clipped():
            print_lines(sprite, (30, 40, 170, 165), scaled(colour, 55), rng)
    creased(sprite, scaled(colour, 94), rng, rng.randint(22, 34), 26)
    sprite.relief(13, 110)


def newspaper(sprite: Sprite, rng: Random) -> None:
    """A folded newspaper: headline, columns, a picture."""
    colour = mixed(_stock(rng), (196, 192, 184), 50)
    half, top, foot = rng.randint(54, 72), rng.randint(18, 40), rng.randint(160, 184)
    for page in range(rng.randint(1, 3), -1, -1):
        sprite.fill(
            moved(box(100 - half, top, 100 + half, foot), 3 * page, 3 * page),
            scaled(colour, 100 - 9 * page),
        )
    ink = scaled(colour, 30)
    sprite.fill(box(100 - half + 8, top + 8, 100 + half - 8, top + rng.randint(16, 24)), ink)
    columns = rng.randint(2, 4)
    pitch = (2 * half - 12) // columns
    for column in range(columns):
        x = 100 - half + 7 + column * pitch
        print_lines(sprite, (x, top + 32, x + pitch - 5, foot - 6), scaled(colour, 52), rng)
    x, y = rng.randint(100 - half + 8, 96), rng.randint(top + 34, foot - 60)
    sprite.ramp(
        box(x, y, x + rng.randint(36, 56), y + rng.randint(28, 46)),
        [muted(rng), any_colour(rng)],
        down=True,
    )
    sprite.ramp(
        box(100 - half, (top + foot) // 2 - 1, 100 + half, (top + foot) // 2 + 3),
        [scaled(colour, 70), colour],
        down=True,
    )
    sprite.grain(rng, "cloud", 22)


def letter(sprite: Sprite, rng: Random) -> None:
    """Written sheets, one on the other, with a bent corner."""
    colour = _stock(rng)
    for sheet in range(rng.randint(1, 3)):
        turn = rng.randint(-18, 18)
        half, tall = rng.randint(48, 60), rng.randint(66, 80)
        tone = scaled(colour, rng.randint(86, 100))
        sprite.fill(
            turned(box(100 - half + 3, 103 - tall, 103 + half, 104 + tall), turn), scaled(tone, 60)
        )
        page = turned(box(100 - half, 100 - tall, 100 + half, 100 + tall), turn)
        sprite.ramp(page, [tone, scaled(tone, 90)], down=bool(sheet % 2))
        for y in range(100 - tall + 12, 90 + tall, rng.randint(8, 13)):
            line = turned([(100 - half + 9, y), (100 + half - rng.randint(9, 50), y)], turn)
            sprite.stroke(line, rng.randint(2, 3), scaled(tone, 50))
        corner = turned(
            [(100 + half, 100 + tall), (100 + half - 24, 100 + tall), (100 + half, 76 + tall)], turn
        )
        sprite.fill(corner, scaled(tone, 74))


def envelope(sprite: Sprite, rng: Random) -> None:
    """An envelope, its back with the flap or its front with address and stamp."""
    colour, half, tall = _stock(rng), rng.randint(66, 84), rng.randint(40, 54)
    x0, y0, x1, y1 = 100 - half, 100 - tall, 100 + half, 100 + tall
    sprite.ramp(box(x0, y0, x1, y1), [colour, scaled(colour, 88)], down=True)
    if rng.randint(0, 1):
        sprite.fill([(x0, y0), (x1, y0), (100, rng.randint(98, 116))], scaled(colour, 82))
        sprite.stroke([(x0, y0), (100, rng.randint(98, 116)), (x1, y0)], 2, scaled(colour, 60))
        sprite.stroke([(x0, y1), (88, 100)], 1, scaled(colour, 72))
        sprite.stroke([(x1, y1), (112, 100)], 1, scaled(colour, 72))
    else:
        sprite.fill(box(x1 - 30, y0 + 8, x1 - 9, y0 + 34), vivid(rng))
        print_lines(sprite, (96, 104, x1 - 16, y1 - 8), scaled(colour, 40), rng)
        sprite.fill(
            box(x0 + 12, 100, x0 + rng.randint(40, 70), 124), mixed(colour, (150, 170, 190), 60)
        )
    sprite.grain(rng, "cloud", 18)


def receipt(sprite: Sprite, rng: Random) -> None:
    """A long, curling till receipt or a torn strip."""
    colour, half = _stock(rng), rng.randint(22, 34)
    sway = [rng.randint(-16, 16) for _ in range(5)]
    centre = curve([(100 + dx, 16 + 42 * step) for step, dx in enumerate(sway)])
    outline = [(x - half, y) for x, y in centre] + [(x + half, y) for x, y in reversed(centre)]
    sprite.ramp(outline, [scaled(colour, tone) for tone in (100, 82, 102, 78, 98)], down=True)
    with sprite.clipped():
        for x, y in centre[::1]:
            width = rng.randint(8, half - 4)
            sprite.stroke([(x - half + 5, y), (x - half + 5 + width, y)], 2, scaled(colour, 40))
            sprite.stroke([(x + half - 14, y), (x + half - 5, y)], 2, scaled(colour, 40))
    for tooth in range(100 + sway[4] - half, 100 + sway[4] + half, 8):
        sprite.cut([(tooth, 190), (tooth + 4, 178), (tooth + 8, 190)])


def carton(sprite: Sprite, rng: Random) -> None:
    """A box of three visible faces, taped shut or with open flaps."""
    colour = _board(rng)
    half, tall, rise = rng.randint(44, 62), rng.randint(44, 72), rng.randint(18, 34)
    lean = rng.randint(-half // 2, half // 2)
    ridge, y0, y1 = 100 + lean, 84, 84 + tall
    left = [
        (100 - half, y0 - rise // 2),
        (ridge, y0 + rise // 2),
        (ridge, y1 + rise // 2),
        (100 - half, y1 - rise // 2),
    ]
    right = [
        (ridge, y0 + rise // 2),
        (100 + half, y0 - rise // 2),
        (100 + half, y1 - rise // 2),
        (ridge, y1 + rise // 2),
    ]
    lid = [
        (100 - half, y0 - rise // 2),
        (100 - lean, y0 - rise * 3 // 2),
        (100 + half, y0 - rise // 2),
        (ridge, y0 + rise // 2),
    ]
    sprite.ramp(left, [scaled(colour, 92), scaled(colour, 80)])
    sprite.ramp(right, [scaled(colour, 66), scaled(colour, 56)])
    if rng.randint(0, 1):
        sprite.fill(lid, scaled(colour, 38))
        sprite.fill(
            [lid[0], lid[1], (lid[1][0] - 30, lid[1][1] - 16), (lid[0][0] - 22, lid[0][1] - 24)],
            scaled(colour, 104),
        )
        sprite.fill(
            [lid[1], lid[2], (lid[2][0] + 24, lid[2][1] - 22), (lid[1][0] + 28, lid[1][1] - 18)],
            scaled(colour, 96),
        )
        sprite.fill(
            [lid[0], lid[3], (lid[3][0] - 14, lid[3][1] + 22), (lid[0][0] - 16, lid[0][1] + 18)],
            scaled(colour, 110),
        )
    else:
        sprite.fill(lid, scaled(colour, 112))
        tape = [
            ((lid[0][0] + lid[1][0]) // 2, (lid[0][1] + lid[1][1]) // 2),
            ((lid[2][0] + lid[3][0]) // 2, (lid[2][1] + lid[3][1]) // 2),
        ]
        sprite.stroke(tape, rng.randint(7, 11), mixed(colour, WHITE, 40))
    if rng.randint(0, 1):
        print_lines(
            sprite,
            (100 - half + 8, y0 + tall // 2, ridge - 8, y0 + tall // 2 + 16),
            scaled(colour, 40),
            rng,
        )
    sprite.rim(left, 1, scaled(colour, 50))
    sprite.grain(rng, "medium", 16)


def rolls(sprite: Sprite, rng: Random) -> None:
    """One to three cores of paper rolls: tubes with a spiral seam and a dark bore."""
    colour = _board(rng)
    for tube in range(rng.randint(1, 3)):
        half, x = rng.randint(18, 30), 100 + (0, -42, 44)[tube]
        top, foot = rng.randint(30, 66), rng.randint(140, 176)
        solid_round(sprite, [*box(x - half, top, x + half, foot)], colour, rng, 8)
        with sprite.within(box(x - half, top, x + half, foot)):
            for y in range(top - 20, foot + 20, rng.randint(22, 34)):
                sprite.stroke([(x - half, y + 16), (x + half, y - 8)], 1, scaled(colour, 58))
        sprite.fill(ellipse(x, foot, half, half // 3), scaled(colour, 72))
        sprite.fill(ellipse(x, top, half, half // 3), scaled(colour, 112))
        sprite.ramp(
            ellipse(x, top, half - 5, half // 3 - 2), [scaled(colour, 25), scaled(colour, 62)]
        )
    sprite.grain(rng, "medium", 20)


def flattened(sprite: Sprite, rng: Random) -> None:
    """A box cut open and pressed flat: panels, flaps, fold lines."""
    colour = _board(rng)
    half, tall = rng.randint(54, 78), rng.randint(24, 38)
    sprite.ramp(
        box(100 - half, 100 - tall, 100 + half, 100 + tall),
        [scaled(colour, 104), scaled(colour, 88)],
    )
    panels = rng.randint(2, 4)
    pitch = 2 * half // panels
    for panel in range(panels):
        x = 100 - half + panel * pitch
        for side in (-1, 1):
            reach = rng.randint(18, 42)
            flap = [
                (x + 2, 100 + side * tall),
                (x + pitch - 2, 100 + side * tall),
                (x + pitch - 5, 100 + side * (tall + reach)),
                (x + 5, 100 + side * (tall + reach)),
            ]
            sprite.fill(flap, scaled(colour, rng.randint(80, 112)))
            sprite.stroke(flap[:2], 2, scaled(colour, 58))
        sprite.stroke([(x, 100 - tall), (x, 100 + tall)], 2, scaled(colour, 62))
    if rng.randint(0, 1):
        print_lines(sprite, (100 - half + 8, 90, 100 - half + 44, 108), scaled(colour, 40), rng)
    sprite.grain(rng, "streaks", 24)


def torn_board(sprite: Sprite, rng: Random) -> None:
    """A torn piece whose top ply is gone, so that the flutes show."""
    colour = _board(rng)
    outline = jagged(rng, 100, 100, rng.randint(64, 82), rng.randint(50, 76), 14)
    sprite.fill(moved(outline, 2, 5), scaled(colour, 52))
    sprite.fill(outline, colour)
    with sprite.clipped():
        bare = blob(rng, rng.randint(70, 130), rng.randint(70, 130), 52, 44, 25)
        sprite.fill(bare, scaled(colour, 118))
        with sprite.within(bare):
            for x in range(20, 180, rng.randint(6, 9)):
                sprite.stroke([(x, 20), (x, 180)], 3, scaled(colour, 66))
    sprite.grain(rng, "medium", 25)


def egg_carton(sprite: Sprite, rng: Random) -> None:
    """A moulded tray with rows of cups."""
    colour = _board(rng)
    columns, rows = rng.randint(3, 4), rng.randint(2, 3)
    pitch = 132 // columns
    x0, y0 = 100 - columns * pitch // 2, 100 - rows * pitch // 2
    sprite.fill(
        smooth(box(x0 - 7, y0 - 7, x0 + columns * pitch + 7, y0 + rows * pitch + 7), 1),
        scaled(colour, 86),
    )
    for cell in range(columns * rows):
        x, y = x0 + cell % columns * pitch + pitch // 2, y0 + cell // columns * pitch + pitch // 2
        radius = pitch * 42 // 100
        sprite.ramp(
            ellipse(x, y, radius, radius), [scaled(colour, 42), scaled(colour, 118)], down=True
        )
        sprite.fill(ellipse(x, y + 3, radius * 3 // 5, radius // 2), scaled(colour, 66))
    sprite.grain(rng, "medium", 38)
