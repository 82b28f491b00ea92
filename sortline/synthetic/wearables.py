"""Clothes and shoes."""

from random import Random

from sortline.synthetic.colours import WHITE, Colour, any_colour, mixed, scaled
from sortline.synthetic.geometry import (
    Outline,
    box,
    curve,
    ellipse,
    moved,
    profile,
    rounded,
    smooth,
    turned,
)
from sortline.synthetic.materials import folds
from sortline.synthetic.sprite import Sprite


def _pattern(sprite: Sprite, colour: Colour, rng: Random) -> None:
    """Plain, striped, checked, dotted or with a print, then folded and woven."""
    ink, kind, pitch = any_colour(rng), rng.randint(0, 5), rng.randint(10, 22)
    with sprite.clipped():
        for at in range(10, 190, pitch):
            if kind in (0, 2):
                sprite.fill(box(10, at, 190, at + pitch // 3), ink)
            if kind in (1, 2):
                sprite.fill(box(at, 10, at + pitch // 3, 190), ink)
            if kind == 3:
                for x in range(10, 190, pitch):
                    sprite.fill(ellipse(x + at % 2 * pitch // 2, at, pitch // 4, pitch // 4), ink)
        if kind == 4:
            sprite.fill(
                ellipse(100, rng.randint(85, 115), rng.randint(14, 26), rng.randint(12, 22)), ink
            )
    folds(sprite, colour, rng, rng.randint(4, 9))
    sprite.grain(rng, "fine", rng.randint(14, 30))
    sprite.relief(7, 80)


def _garment(sprite: Sprite, outline: Outline, rng: Random) -> Colour:
    colour = any_colour(rng)
    sprite.ramp(
        outline,
        [scaled(colour, rng.randint(70, 105)), colour, scaled(colour, rng.randint(65, 105))],
    )
    return colour


def shirt(sprite: Sprite, rng: Random) -> None:
    """A shirt or pullover laid out, with short or long sleeves."""
    half, sleeve = rng.randint(34, 46), rng.randint(22, 78)
    droop = rng.randint(30, 60)
    body = [
        (86, 32),
        (114, 32),
        (100 + half, 42),
        (100 + half + sleeve * 2 // 3, 42 + droop * sleeve // 50),
        (100 + half + sleeve * 2 // 3 - 20, 58 + droop * sleeve // 50),
        (100 + half, 80),
        (100 + half + rng.randint(-4, 6), 176),
        (100 - half - rng.randint(-4, 6), 176),
        (100 - half, 80),
        (100 - half - sleeve * 2 // 3 + 20, 58 + droop * sleeve // 50),
        (100 - half - sleeve * 2 // 3, 42 + droop * sleeve // 50),
        (100 - half, 42),
    ]
    colour = _garment(sprite, smooth(body, 1), rng)
    _pattern(sprite, colour, rng)
    sprite.cut(ellipse(100, 32, 14, rng.randint(8, 20)))
    if rng.randint(0, 1):
        sprite.stroke([(100, 50), (100, 172)], 2, scaled(colour, 55))
        for y in range(60, 170, 20):
            sprite.fill(ellipse(100, y, 3, 3), mixed(colour, WHITE, 70))


def trousers(sprite: Sprite, rng: Random) -> None:
    """Trousers or shorts, legs together or apart."""
    waist, spread, foot = rng.randint(28, 38), rng.randint(4, 26), rng.choice((112, 150, 178, 186))
    outline = [
        (100 - waist, 22),
        (100 + waist, 22),
        (106 + waist + spread, foot),
        (78 + waist + spread, foot + 3),
        (100, rng.randint(74, 92)),
        (122 - waist - spread, foot + 3),
        (94 - waist - spread, foot),
    ]
    colour = _garment(sprite, outline, rng)
    _pattern(sprite, colour, rng)
    sprite.fill(box(100 - waist, 22, 100 + waist, 32), scaled(colour, 75))
    sprite.stroke([(100, 32), (100, 76)], 2, scaled(colour, 55))
    for side in (-1, 1):
        sprite.stroke(
            curve(
                [
                    (100 + side * waist, 46),
                    (100 + side * (waist - 14), 52),
                    (100 + side * (waist - 16), 34),
                ]
            ),
            2,
            scaled(colour, 55),
        )


def socks(sprite: Sprite, rng: Random) -> None:
    """One sock or a pair, with coloured toe, heel and cuff."""
    colour, trim = any_colour(rng), any_colour(rng)
    half, shin = rng.randint(15, 21), rng.randint(100, 124)
    for x in (64, 116)[: rng.randint(1, 2)]:
        foot = smooth(
            [
                (x - half, 18),
                (x + half, 18),
                (x + half, shin),
                (x + half + 40, shin + 26),
                (x + half + 42, shin + 52),
                (x + 10, shin + 54),
                (x - half - 2, shin + 30),
            ],
            2,
        )
        sprite.fill(foot, colour)
        with sprite.within(foot):
            sprite.fill(box(x - 40, 10, x + 40, 36), trim)
            sprite.fill(ellipse(x - half, shin + 40, 24, 22), trim)
            sprite.fill(ellipse(x + half + 40, shin + 42, 22, 26), trim)
            for y in range(44, shin, rng.randint(9, 30)):
                sprite.stroke(
                    [(x - 40, y), (x + 40, y)], 3, trim if rng.randint(0, 1) else scaled(colour, 80)
                )
    folds(sprite, colour, rng, 3)
    sprite.grain(rng, "fine", 28)
    sprite.relief(7, 100)


def dress(sprite: Sprite, rng: Random) -> None:
    """A dress or skirt, narrow at the waist and flared."""
    hem, waist = rng.randint(46, 74), rng.randint(20, 27)
    top = (
        [(24, 22), (60, waist + 10), (92, waist)]
        if rng.randint(0, 3)
        else [(60, waist + 3), (72, waist)]
    )
    colour = _garment(sprite, profile(100, [*top, (140, (hem + waist) // 2 + 4), (182, hem)]), rng)
    _pattern(sprite, colour, rng)
    for x in range(100 - hem + 12, 100 + hem, rng.randint(14, 24)):
        with sprite.clipped():
            sprite.stroke([(100 + (x - 100) * waist // hem, 96), (x, 182)], 2, scaled(colour, 66))
    sprite.fill(box(100 - waist - 1, 88, 100 + waist + 1, 97), any_colour(rng))
    if len(top) == 3:
        sprite.cut(ellipse(100, 22, 13, 18))


def cap(sprite: Sprite, rng: Random) -> None:
    """A cap with a peak, or a knitted hat with a bobble."""
    colour = any_colour(rng)
    if rng.randint(0, 1):
        sprite.fill(smooth([(120, 112), (192, 122), (184, 140), (110, 138)], 2), scaled(colour, 70))
        crown = smooth(profile(92, [(48, 22), (60, 48), (110, 58), (136, 58)]), 2)
    else:
        sprite.fill(ellipse(100, 42, 16, 16), any_colour(rng))
        crown = smooth(profile(100, [(50, 24), (80, 50), (130, 56), (152, 56)]), 2)
    sprite.fill(crown, colour)
    _pattern(sprite, colour, rng)
    sprite.ramp(
        rounded(38, 128, 150, 146, 6), [scaled(colour, 60), scaled(colour, 95), scaled(colour, 60)]
    )


def glove(sprite: Sprite, rng: Random) -> None:
    """A glove or mitten, fingers spread."""
    colour = any_colour(rng)
    fingers = (-27, -9, 9, 27) if rng.randint(0, 3) else ()
    for x in fingers:
        spread = x // 4
        sprite.fill(
            turned(rounded(100 + x - 9, 28 + abs(x) // 2, 100 + x + 9, 110, 9), spread), colour
        )
    if not fingers:
        sprite.fill(rounded(64, 30, 136, 120, 32), colour)
    sprite.fill(turned(rounded(140, 74, 160, 138, 10), 26), colour)
    sprite.fill(rounded(63, 88, 138, 166, 12), colour)
    _pattern(sprite, colour, rng)
    sprite.ramp(
        box(68, 154, 134, 186), [scaled(colour, 60), scaled(colour, 110), scaled(colour, 60)]
    )


def _laces(sprite: Sprite, points: list[tuple[int, int]], colour: Colour) -> None:
    for x, y in points:
        sprite.stroke([(x - 11, y - 4), (x + 11, y + 5)], 3, colour)


def _leather(sprite: Sprite, rng: Random) -> None:
    sprite.grain(rng, rng.choice(("fine", "medium", "cloud")), rng.randint(10, 26))
    sprite.relief(9, 120)


def sneaker(sprite: Sprite, rng: Random) -> None:
    """A low shoe from the side: thick sole, laces, stripes."""
    colour, sole, trim = any_colour(rng), any_colour(rng), any_colour(rng)
    collar = rng.randint(60, 84)
    upper = smooth(
        [
            (24, collar),
            (70, collar + 2),
            (98, collar + 24),
            (150, 108),
            (182, 122),
            (184, 140),
            (20, 140),
        ],
        2,
    )
    sprite.fill(upper, colour)
    with sprite.clipped():
        sprite.fill(ellipse(176, 134, 30, 24), trim)
        for stripe in range(rng.randint(0, 3)):
            x = 70 + 15 * stripe
            sprite.stroke([(x, 142), (x + 16, 104)], 6, trim)
        sprite.fill(box(14, collar + 20, 36, 145), scaled(trim, 80))
    _leather(sprite, rng)
    _laces(sprite, [(90, collar + 22), (104, collar + 30), (118, collar + 37)], WHITE)
    sprite.ramp(
        smooth([(18, 134), (186, 134), (190, 146), (178, 156), (20, 156)], 1),
        [scaled(sole, 112), scaled(sole, 66)],
        down=True,
    )
    for x in range(24, 180, rng.randint(7, 14)):
        sprite.stroke([(x, 148), (x, 156)], 2, scaled(sole, 55))


def boot(sprite: Sprite, rng: Random) -> None:
    """A boot from the side, with a shaft and a heel."""
    colour, top = any_colour(rng), rng.randint(14, 62)
    shaft = smooth(
        [(44, top), (98, top), (98, 100), (150, 122), (174, 140), (174, 158), (40, 158)], 2
    )
    sprite.ramp(shaft, [scaled(colour, 66), scaled(colour, 112), scaled(colour, 80)])
    with sprite.clipped():
        sprite.fill(box(40, top, 110, top + rng.randint(6, 20)), any_colour(rng))
        folds(sprite, colour, rng, 4)
    _leather(sprite, rng)
    if rng.randint(0, 1):
        _laces(sprite, [(92, y) for y in range(top + 24, 112, 14)], any_colour(rng))
    sole = scaled(colour, 30) if rng.randint(0, 1) else any_colour(rng)
    sprite.fill(smooth([(36, 154), (176, 154), (180, 166), (38, 166)], 1), sole)
    sprite.fill(box(40, 162, 78, rng.randint(172, 184)), scaled(sole, 85))


def high_heel(sprite: Sprite, rng: Random) -> None:
    """A pump with a thin, high heel."""
    colour = any_colour(rng)
    heel = rng.randint(52, 80)
    sprite.fill([(24, heel), (44, heel + 10), (36, 172), (27, 172)], scaled(colour, 70))
    upper = smooth(
        [
            (22, heel - 10),
            (40, heel - 16),
            (76, heel + 34),
            (120, 132),
            (158, 134),
            (186, 158),
            (182, 170),
            (134, 170),
            (84, heel + 76),
            (26, heel + 20),
        ],
        2,
    )
    sprite.fill(upper, colour)
    with sprite.clipped():
        sprite.stroke(curve([(40, heel - 12), (80, heel + 40), (140, 136)]), 4, scaled(colour, 150))
    if rng.randint(0, 1):
        sprite.fill(ellipse(146, 140, 8, 8), any_colour(rng))
    _leather(sprite, rng)
    sprite.stroke([(130, 171), (184, 171)], 4, scaled(colour, 40))


def sandal(sprite: Sprite, rng: Random) -> None:
    """A sandal or flip-flop from above, or a pair."""
    sole, strap = any_colour(rng), any_colour(rng)
    for x in (66, 134) if rng.randint(0, 1) else (100,):
        outline = smooth(profile(x, [(22, 18), (62, 29), (120, 20), (160, 23), (182, 16)]), 2)
        sprite.fill(moved(outline, 3, 4), scaled(sole, 50))
        sprite.fill(outline, sole)
        if rng.randint(0, 1):
            sprite.stroke(
                curve([(x - 26, 104), (x - 4, 60), (x, 48), (x + 4, 60), (x + 26, 104)]), 7, strap
            )
        else:
            sprite.stroke([(x - 28, 66), (x + 28, 74)], 14, strap)
            sprite.stroke([(x - 22, 132), (x + 22, 126)], 9, strap)
    _leather(sprite, rng)


def soles(sprite: Sprite, rng: Random) -> None:
    """A shoe from below: tread, waist and heel."""
    colour = any_colour(rng)
    for x in (64, 136) if rng.randint(0, 1) else (100,):
        outline = smooth(profile(x, [(18, 16), (56, 30), (112, 19), (150, 25), (184, 18)]), 2)
        sprite.fill(outline, colour)
        with sprite.within(outline):
            for y in range(24, 184, rng.randint(9, 15)):
                sprite.stroke([(x - 30, y + 8), (x, y), (x + 30, y + 8)], 4, scaled(colour, 52))
            sprite.fill(ellipse(x, 118, 12, 10), any_colour(rng))
        sprite.rim(outline, 3, scaled(colour, 60))
    _leather(sprite, rng)
