"""Trash that no other bin takes: nappies, wrappers, broken plates, masks, brushes, butts, piles."""

from random import Random

from sortline.synthetic.colours import (
    WHITE,
    any_colour,
    dark,
    earthy,
    hsv,
    mixed,
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
    profile,
    rounded,
    smooth,
    star,
    turned,
)
from sortline.synthetic.materials import creased, folds, print_lines, sheer, solid_round
from sortline.synthetic.sprite import Sprite


def nappy(sprite: Sprite, rng: Random) -> None:
    """A nappy, open as an hourglass or rolled up with its tapes."""
    colour = pale(rng) if rng.randint(0, 2) else any_colour(rng)
    if rng.randint(0, 1):
        outline = smooth(
            profile(100, [(22, 58), (58, 60), (100, rng.randint(24, 34)), (142, 58), (178, 56)]), 2
        )
        sprite.fill(outline, colour)
        sprite.fill(smooth(profile(100, [(34, 30), (100, 18), (166, 30)]), 2), scaled(colour, 88))
        sprite.fill(blob(rng, 100, 108, rng.randint(8, 20), 26, 22), earthy(rng))
    else:
        sprite.fill(smooth(blob(rng, 100, 102, 66, 44, 8), 1), colour)
    for x in (34, 148):
        sprite.fill(box(x, 40, x + 18, 54), vivid(rng))
    folds(sprite, colour, rng, rng.randint(6, 10))
    sprite.grain(rng, "fine", 14)
    sprite.relief(13, 120)


def wrapper(sprite: Sprite, rng: Random) -> None:
    """A crisp packet or sweet wrapper: printed, shiny film with crimped ends."""
    colour, mark = any_colour(rng), any_colour(rng)
    half, tall = rng.randint(40, 58), rng.randint(52, 74)
    body = [
        (100 - half, 100 - tall),
        (100 + half, 100 - tall),
        (100 + half - rng.randint(0, 14), 100),
        (100 + half, 100 + tall),
        (100 - half, 100 + tall),
        (100 - half + rng.randint(0, 14), 100),
    ]
    sprite.ramp(body, [scaled(colour, tone) for tone in (60, 118, 80, 135, 70)])
    with sprite.clipped():
        sprite.fill(
            star(100, rng.randint(80, 100), 34, rng.randint(18, 30), rng.randint(6, 12)), mark
        )
        print_lines(sprite, (70, 128, 130, 150), mixed(mark, WHITE, 55), rng)
    creased(sprite, colour, rng, rng.randint(5, 12), 45)
    for side in (-1, 1):
        y = 100 + side * (tall - 5)
        for x in range(100 - half, 100 + half, 5):
            sprite.stroke([(x, y - 6), (x, y + 6)], 2, scaled(colour, 62 if x % 2 else 140))
    sprite.relief(11, 120)


def broken_plate(sprite: Sprite, rng: Random) -> None:
    """Pieces of a broken plate or cup: glazed, opaque, with a raw edge."""
    colour, band = rng.choice((pale, any_colour))(rng), any_colour(rng)
    for _ in range(rng.randint(2, 5)):
        x, y, size = rng.randint(56, 144), rng.randint(56, 144), rng.randint(30, 56)
        piece = jagged(rng, x, y, size, size * 4 // 5, rng.randint(4, 6))
        sprite.fill(moved(piece, 2, 5), scaled(mixed(colour, (190, 170, 150), 50), 62))
        sprite.fill(piece, colour)
        with sprite.within(piece):
            sprite.rim(
                ellipse(x + rng.randint(-40, 40), y + rng.randint(-40, 40), 46, 42),
                rng.randint(4, 9),
                band,
            )
    sprite.grain(rng, "cloud", 14)
    sprite.relief(3, 120)


def mask(sprite: Sprite, rng: Random) -> None:
    """A pleated face mask with ear loops."""
    colour = rng.choice((pale, any_colour))(rng)
    loop = pale(rng)
    for side in (-1, 1):
        loops = [
            (100 + side * 56, 74),
            (100 + side * rng.randint(76, 92), 80),
            (100 + side * rng.randint(70, 92), 124),
            (100 + side * 56, 130),
        ]
        sprite.stroke(curve(loops), 3, loop)
    sprite.ramp(rounded(42, 66, 158, 136, 8), [scaled(colour, 108), scaled(colour, 84)], down=True)
    for y in range(82, 132, rng.randint(11, 15)):
        sprite.stroke(
            curve([(44, y), (100, y + rng.randint(2, 8)), (156, y)]), 2, scaled(colour, 68)
        )
        sprite.stroke(curve([(44, y + 3), (100, y + 9), (156, y + 3)]), 1, WHITE)
    sprite.stroke([(62, 70), (138, 70)], 4, mixed(colour, WHITE, 60))
    folds(sprite, colour, rng, 4)
    sprite.grain(rng, "fine", 16)


def toothbrush(sprite: Sprite, rng: Random) -> None:
    """A worn toothbrush or two."""
    for brush in range(rng.randint(1, 2)):
        colour, turn = any_colour(rng), rng.randint(-20, 20) + 44 * brush
        handle = [(100, 186), (100 + rng.randint(-6, 6), 130), (100, 84), (100, 24)]
        sprite.stroke(turned(curve(handle), turn), rng.randint(9, 14), colour)
        sprite.stroke(turned([(98, 176), (98, 110)], turn), 3, any_colour(rng))
        for y in range(22, 58, 4):
            bristle = [(104, y), (124 + rng.randint(-5, 7), y + rng.randint(-6, 6))]
            sprite.stroke(turned(bristle, turn), 3, pale(rng) if y % 3 else vivid(rng))
    sprite.relief(5, 120)


def butts(sprite: Sprite, rng: Random) -> None:
    """Cigarette ends and ash."""
    for _ in range(rng.randint(3, 6)):
        x, y, turn = rng.randint(60, 140), rng.randint(60, 140), rng.randint(0, 359)
        long, half = rng.randint(28, 42), rng.randint(7, 10)
        filter_tip = hsv(rng.randint(20, 38), rng.randint(60, 150), rng.randint(150, 220))
        sprite.fill(turned(box(x - long, y - half, x, y + half), turn, (x, y)), filter_tip)
        sprite.fill(turned(box(x, y - half, x + long // 2, y + half), turn, (x, y)), pale(rng))
        sprite.fill(turned(jagged(rng, x + long // 2, y, 10, half, 8), turn, (x, y)), dark(rng))
    for _ in range(rng.randint(6, 16)):
        sprite.fill(jagged(rng, rng.randint(40, 160), rng.randint(40, 160), 4, 3, 5), dark(rng))
    sprite.grain(rng, "fine", 24)
    sprite.relief(5, 130)


def sponge(sprite: Sprite, rng: Random) -> None:
    """A used kitchen sponge: a block full of holes, with a rough side."""
    colour, pad = any_colour(rng), any_colour(rng)
    half, tall = rng.randint(56, 74), rng.randint(30, 46)
    sprite.fill(smooth(box(100 - half, 100, 100 + half, 100 + tall + 14), 1), pad)
    sprite.fill(smooth(box(100 - half, 100 - tall, 100 + half, 104 + tall // 2), 1), colour)
    with sprite.within(box(100 - half, 100 - tall, 100 + half, 100 + tall // 2)):
        for _ in range(rng.randint(40, 70)):
            x, y = rng.randint(100 - half, 100 + half), rng.randint(100 - tall, 100 + tall // 2)
            sprite.fill(
                ellipse(x, y, rng.randint(1, 5), rng.randint(1, 4)),
                scaled(colour, rng.randint(45, 75)),
            )
    for _ in range(rng.randint(0, 3)):
        sprite.cut(jagged(rng, rng.choice((40, 160)), rng.randint(70, 130), 18, 16, 7))
    sprite.grain(rng, "medium", 30)
    sprite.relief(5, 110)


def pile(sprite: Sprite, rng: Random) -> None:
    """A heap of unlike scraps: film, board, cloth, crumbs, a stick."""
    for _ in range(rng.randint(7, 12)):
        x, y, size = rng.randint(56, 144), rng.randint(66, 144), rng.randint(16, 38)
        colour = any_colour(rng)
        scrap = rng.randint(0, 3)
        if scrap == 0:
            sheer(sprite, blob(rng, x, y, size, size, 25), colour, rng)
        elif scrap == 1:
            sprite.ramp(jagged(rng, x, y, size, size, 6), [colour, scaled(colour, 60)])
        elif scrap == 2:
            sprite.stroke(
                [(x - size, y), (x + size, y + rng.randint(-30, 30))], rng.randint(4, 9), colour
            )
        else:
            solid_round(
                sprite,
                turned(
                    box(x - size // 2, y - size, x + size // 2, y + size),
                    rng.randint(0, 359),
                    (x, y),
                ),
                colour,
                rng,
                25,
            )
    sprite.grain(rng, "medium", 26)
    sprite.relief(5, 110)


def bin_bag(sprite: Sprite, rng: Random) -> None:
    """A full bin bag, tied at the neck."""
    colour = rng.choice((dark, dark, any_colour))(rng)
    sprite.fill(
        smooth(blob(rng, 100, 120, rng.randint(56, 68), rng.randint(52, 62), 10), 1), colour
    )
    sprite.fill(
        smooth([(82, 76), (88, 52), (70, 30), (100, 40), (128, 26), (114, 52), (120, 76)], 1),
        colour,
    )
    with sprite.clipped():
        for _ in range(rng.randint(12, 22)):
            x, y = rng.randint(40, 160), rng.randint(70, 170)
            line = curve(
                [
                    (100 + (x - 100) // 3, 66),
                    ((100 + x) // 2 + rng.randint(-8, 8), (66 + y) // 2),
                    (x, y),
                ]
            )
            sprite.stroke(
                line,
                rng.randint(2, 4),
                mixed(colour, WHITE, rng.randint(15, 60))
                if rng.randint(0, 1)
                else scaled(colour, 55),
            )
    sprite.stroke([(86, 58), (116, 58)], 6, any_colour(rng))
    sprite.relief(15, 130)
