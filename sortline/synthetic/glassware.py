"""Glass: bottles, jars, tumblers, stemmed glasses, flasks, shards."""

from random import Random

from sortline.synthetic.colours import (
    WHITE,
    Colour,
    any_colour,
    hsv,
    mixed,
    scaled,
    vivid,
)
from sortline.synthetic.geometry import box, ellipse, jagged, profile, smooth
from sortline.synthetic.materials import glassy, label, metallic, solid_round
from sortline.synthetic.sprite import Sprite


def _tint(rng: Random) -> Colour:
    if rng.randint(0, 2) == 0:
        return hsv(rng.randint(0, 359), rng.randint(5, 30), rng.randint(170, 235))
    return hsv(rng.randint(0, 359), rng.randint(70, 210), rng.randint(50, 190))


def bottle(sprite: Sprite, rng: Random) -> None:
    """A long-necked bottle, with or without label and cork."""
    half, neck, top = rng.randint(22, 36), rng.randint(8, 11), rng.randint(12, 30)
    shoulder = rng.randint(62, 88)
    body = profile(
        100,
        [
            (top, neck),
            (shoulder - 22, neck),
            (shoulder - 8, half * 3 // 4),
            (shoulder + 12, half),
            (186, half),
            (190, half - 6),
        ],
    )
    colour = _tint(rng)
    glassy(sprite, smooth(body, 2), colour, rng)
    sprite.fill(box(100 - neck - 2, top, 100 + neck + 2, top + 7), scaled(colour, 60), 200)
    if rng.randint(0, 2):
        y = rng.randint(shoulder + 14, 120)
        label(sprite, (100 - half, y, 100 + half, y + rng.randint(28, 52)), any_colour(rng), rng)
    if rng.randint(0, 2) == 0:
        metallic(
            sprite, box(100 - neck - 1, top - 6, 100 + neck + 1, top + 5), any_colour(rng), rng
        )


def jar(sprite: Sprite, rng: Random) -> None:
    """A wide jar, empty or half full, often with its lid."""
    half, top = rng.randint(38, 58), rng.randint(30, 62)
    outline = smooth(
        profile(
            100,
            [
                (top, half - 9),
                (top + 12, half - 8),
                (top + 24, half),
                (176, half),
                (186, half - 12),
            ],
        ),
        2,
    )
    colour = _tint(rng)
    glassy(sprite, outline, colour, rng)
    if rng.randint(0, 1):
        with sprite.clipped():
            level = rng.randint(90, 150)
            sprite.fill(box(100 - half, level, 100 + half, 190), vivid(rng), rng.randint(170, 225))
            sprite.stroke([(100 - half + 9, level - 6), (100 - half + 9, 165)], 4, WHITE, 220)
    for y in (top + 5, top + 12):
        sprite.stroke([(100 - half + 8, y), (100 + half - 8, y)], 2, mixed(colour, WHITE, 60), 200)
    if rng.randint(0, 2) == 0:
        metallic(
            sprite, box(100 - half + 5, top - 14, 100 + half - 5, top + 4), any_colour(rng), rng
        )
    if rng.randint(0, 2) == 0:
        label(sprite, (100 - half, 105, 100 + half, 150), any_colour(rng), rng)


def tumbler(sprite: Sprite, rng: Random) -> None:
    """A drinking glass with an open mouth and a thick base."""
    top, foot, y0 = rng.randint(36, 52), rng.randint(26, 38), rng.randint(32, 60)
    colour = _tint(rng)
    glassy(sprite, profile(100, [(y0, top), (172, foot), (178, foot - 5)]), colour, rng)
    sprite.fill(ellipse(100, 172, foot, 8), scaled(colour, 70), 190)
    sprite.fill(ellipse(100, 168, foot - 6, 5), mixed(colour, WHITE, 50), 170)
    if rng.randint(0, 1):
        for x in range(100 - foot + 8, 100 + foot, 12):
            with sprite.clipped():
                sprite.stroke([(100 + (x - 100) * top // foot, y0 + 20), (x, 165)], 2, WHITE, 160)
    sprite.fill(ellipse(100, y0, top, 11), mixed(colour, WHITE, 30), 90)
    sprite.rim(ellipse(100, y0, top, 11), 3, mixed(colour, WHITE, 70), 225)


def goblet(sprite: Sprite, rng: Random) -> None:
    """A wine glass: bowl, stem and foot."""
    bowl, depth = rng.randint(28, 46), rng.randint(60, 88)
    colour = _tint(rng)
    cup = profile(
        100,
        [(24, bowl * 3 // 4), (24 + depth // 2, bowl), (24 + depth, bowl // 2), (30 + depth, 4)],
    )
    glassy(sprite, smooth(cup, 2), colour, rng)
    if rng.randint(0, 1):
        with sprite.clipped():
            sprite.fill(box(40, 24 + depth // 2, 160, 40 + depth), vivid(rng), 190)
    sprite.fill(box(97, 26 + depth, 103, 176), mixed(colour, WHITE, 40), 210)
    sprite.fill(ellipse(100, 178, rng.randint(26, 38), 8), colour, 150)
    sprite.rim(ellipse(100, 178, rng.randint(26, 38), 8), 2, mixed(colour, WHITE, 70), 220)
    sprite.rim(ellipse(100, 27, bowl * 3 // 4 - 2, 6), 2, mixed(colour, WHITE, 75), 220)


def flask(sprite: Sprite, rng: Random) -> None:
    """A small square or round flask, as of perfume or medicine."""
    half, top = rng.randint(30, 50), rng.randint(70, 90)
    colour = _tint(rng)
    body = profile(100, [(top, 10), (top + 10, half), (170, half), (178, half - 6)])
    glassy(sprite, smooth(body, rng.randint(1, 2)), colour, rng)
    with sprite.clipped():
        sprite.fill(
            box(100 - half + 9, top + 22, 100 + half - 9, 168), vivid(rng), rng.randint(120, 190)
        )
        sprite.stroke([(100 - half + 13, top + 26), (100 - half + 13, 150)], 4, WHITE, 230)
    sprite.fill(box(90, top - 16, 110, top + 4), colour, 190)
    solid_round(
        sprite,
        box(100 - rng.randint(13, 20), top - 44, 100 + rng.randint(13, 20), top - 14),
        any_colour(rng),
        rng,
        40,
    )
    if rng.randint(0, 1):
        label(sprite, (100 - half // 2, 118, 100 + half // 2, 156), any_colour(rng), rng)


def shards(sprite: Sprite, rng: Random) -> None:
    """Broken pieces of one pane or bottle."""
    colour = _tint(rng)
    for _ in range(rng.randint(4, 8)):
        x, y = rng.randint(45, 155), rng.randint(45, 155)
        size = rng.randint(18, 46)
        piece = jagged(rng, x, y, size, size * rng.randint(50, 100) // 100, rng.randint(3, 5))
        sprite.fill(piece, scaled(colour, rng.randint(80, 130)), rng.randint(70, 150))
        sprite.rim(piece, 3, scaled(colour, 55), 210)
        sprite.stroke(piece[:3], 2, mixed(colour, WHITE, 80), 240)
