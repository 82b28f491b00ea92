"""Plastic: drink bottles, film bags, cups, tubs, jugs, cutlery."""

from random import Random

from sortline.synthetic.colours import (
    WHITE,
    Colour,
    any_colour,
    hsv,
    mixed,
    pale,
    scaled,
    vivid,
)
from sortline.synthetic.geometry import (
    blob,
    box,
    ellipse,
    profile,
    rounded,
    smooth,
    turned,
)
from sortline.synthetic.materials import label, print_lines, sheer, solid_round
from sortline.synthetic.sprite import Sprite


def _resin(rng: Random) -> Colour:
    return rng.choice((vivid, pale, any_colour))(rng)


def drink_bottle(sprite: Sprite, rng: Random) -> None:
    """A ribbed, translucent bottle with a screw cap and a wrap-around label."""
    half, top = rng.randint(24, 36), rng.randint(30, 42)
    colour = hsv(rng.randint(0, 359), rng.randint(8, 130), rng.randint(120, 235))
    waist = rng.randint(0, 6)
    body = profile(
        100,
        [
            (top, 10),
            (top + 10, 11),
            (top + 34, half),
            (105, half),
            (115, half - waist),
            (130, half),
            (180, half),
            (189, half - 8),
        ],
    )
    sheer(sprite, smooth(body, 2), colour, rng)
    with sprite.clipped():
        for y in range(rng.randint(128, 146), 186, rng.randint(7, 11)):
            sprite.stroke(
                [(100 - half, y), (100, y + 4), (100 + half, y)], 2, scaled(colour, 70), 215
            )
            sprite.stroke([(100 - half, y + 3), (100, y + 7), (100 + half, y + 3)], 1, WHITE, 225)
    if rng.randint(0, 3):
        label(sprite, (100 - half, 84, 100 + half, rng.randint(112, 128)), any_colour(rng), rng)
    if rng.randint(0, 4):
        cap = vivid(rng) if rng.randint(0, 1) else pale(rng)
        solid_round(sprite, box(86, top - 16, 114, top + 1), cap, rng, 35)
        for x in range(88, 113, 4):
            sprite.stroke([(x, top - 13), (x, top)], 1, scaled(cap, 70))


def bag(sprite: Sprite, rng: Random) -> None:
    """A thin carrier bag with handles, crumpled or hanging."""
    colour = _resin(rng)
    body = smooth(blob(rng, 100, 122, rng.randint(50, 66), rng.randint(46, 60), 14), 1)
    for x in (70, 130):
        ear = [
            (x - 15, 100),
            (x - 11, 40),
            (x + 2, rng.randint(18, 34)),
            (x + 11, 44),
            (x + 15, 100),
        ]
        sprite.fill(smooth(ear, 1), mixed(colour, WHITE, 20), 200)
        sprite.cut(ellipse(x, 62, 5, 17))
    sheer(sprite, body, colour, rng)
    if rng.randint(0, 1):
        with sprite.clipped():
            ink = vivid(rng)
            sprite.fill(ellipse(100, 118, rng.randint(12, 24), 16), ink, 225)
            print_lines(sprite, (68, 140, 132, 156), ink, rng)


def cup(sprite: Sprite, rng: Random) -> None:
    """A disposable cup, with a rolled rim, often a lid and a straw."""
    top, foot, y0 = rng.randint(36, 50), rng.randint(22, 34), rng.randint(52, 74)
    colour = _resin(rng)
    if rng.randint(0, 1):
        sprite.stroke(
            [(104, y0), (112 + rng.randint(-8, 22), rng.randint(12, 26))],
            rng.randint(5, 7),
            any_colour(rng),
        )
    body = profile(100, [(y0, top), (180, foot)])
    if rng.randint(0, 1):
        sheer(sprite, body, colour, rng)
    else:
        solid_round(sprite, body, colour, rng, 35)
    with sprite.clipped():
        for y in range(y0 + 20, 176, rng.randint(10, 30)):
            sprite.stroke([(40, y), (100, y + 4), (160, y)], 2, scaled(colour, 78))
    lid = pale(rng)
    solid_round(sprite, rounded(100 - top - 4, y0 - 8, 100 + top + 4, y0 + 3, 4), lid, rng, 40)
    if rng.randint(0, 1):
        solid_round(
            sprite, smooth(profile(100, [(y0 - 22, top // 2), (y0 - 7, top)]), 1), lid, rng, 40
        )


def tub(sprite: Sprite, rng: Random) -> None:
    """A food tub or tray, seen from above at an angle."""
    colour = _resin(rng)
    half, depth = rng.randint(52, 72), rng.randint(36, 60)
    y = rng.randint(72, 92)
    solid_round(
        sprite,
        smooth(profile(100, [(y, half), (y + depth, half - 14), (y + depth + 14, half - 30)]), 1),
        colour,
        rng,
        25,
    )
    mouth = ellipse(100, y, half, rng.randint(18, 34))
    sprite.fill(mouth, scaled(colour, 118))
    inner = [(100 + (px - 100) * 88 // 100, y + (py - y) * 84 // 100) for px, py in mouth]
    sprite.ramp(inner, [scaled(colour, 55), scaled(colour, 92)], down=True)
    if rng.randint(0, 1):
        label(
            sprite,
            (100 - half, y + depth * 5 // 8, 100 + half, y + depth + 2),
            any_colour(rng),
            rng,
        )
    with sprite.clipped():
        sprite.rim(mouth, 2, mixed(colour, WHITE, 60))


def jug(sprite: Sprite, rng: Random) -> None:
    """A detergent jug with a moulded handle and a big cap."""
    colour = _resin(rng)
    half = rng.randint(40, 54)
    body = smooth(
        [
            (84, 44),
            (116, 44),
            (100 + half, 78),
            (100 + half, 184),
            (100 - half, 184),
            (100 - half, 92),
        ],
        2,
    )
    solid_round(sprite, body, colour, rng, 30)
    sprite.cut(ellipse(100 + half - 17, 98, rng.randint(6, 9), rng.randint(16, 22), -12))
    solid_round(sprite, rounded(84, rng.randint(18, 26), 116, 48, 5), any_colour(rng), rng, 35)
    label(sprite, (100 - half + 8, 126, 100 + half - 8, 172), any_colour(rng), rng)


def cutlery(sprite: Sprite, rng: Random) -> None:
    """A plastic fork, spoon or both."""
    colour = _resin(rng)
    for side in range(rng.randint(1, 2)):
        turn = rng.randint(-24, 24) + side * 24
        x = 100 - 16 * side
        sprite.fill(turned(profile(x, [(84, 6), (130, 8), (188, 10)]), turn), colour)
        if side == rng.randint(0, 1):
            sprite.fill(turned(ellipse(x, 58, 19, 30), turn), colour)
            sprite.fill(turned(ellipse(x - 2, 56, 12, 22), turn), scaled(colour, 80))
        else:
            sprite.fill(turned(profile(x, [(56, 18), (74, 16), (88, 6)]), turn), colour)
            for tine in (-14, -5, 5, 14):
                sprite.fill(turned(box(x + tine - 3, 18, x + tine + 3, 60), turn), colour)
        sprite.stroke(turned([(x, 96), (x, 180)], turn), 3, mixed(colour, WHITE, 65))
    sprite.relief(5, 120)
