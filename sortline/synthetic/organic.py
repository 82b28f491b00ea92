"""Biological waste: fruit, peel, leaves, bones, egg shells, vegetables, fish."""

from random import Random

from sortline.synthetic.colours import (
    WHITE,
    any_colour,
    earthy,
    hsv,
    mixed,
    pale,
    scaled,
)
from sortline.synthetic.geometry import (
    UNIT,
    blob,
    cosine,
    curve,
    ellipse,
    jagged,
    polar,
    profile,
    sine,
    smooth,
    star,
    turned,
)
from sortline.synthetic.sprite import Sprite


def fruit(sprite: Sprite, rng: Random) -> None:
    """A round fruit with stalk, blush and rot, whole or bitten."""
    colour = hsv(
        rng.choice((rng.randint(0, 130), rng.randint(270, 359))),
        rng.randint(120, 220),
        rng.randint(110, 235),
    )
    body = smooth(blob(rng, 100, 108, rng.randint(50, 66), rng.randint(48, 64), 7), 1)
    sprite.ramp(
        body, [scaled(colour, 115), colour, mixed(colour, hsv(rng.randint(0, 100), 190, 190), 50)]
    )
    with sprite.clipped():
        for _ in range(rng.randint(0, 4)):
            sprite.fill(
                blob(
                    rng,
                    rng.randint(60, 140),
                    rng.randint(70, 150),
                    rng.randint(5, 18),
                    rng.randint(5, 14),
                    20,
                ),
                hsv(28, 140, 70),
            )
        sprite.fill(ellipse(100, 62, 14, 6), scaled(colour, 50))
    if rng.randint(0, 2) == 0:
        sprite.cut(blob(rng, 158, 100, 28, 26, 14))
        sprite.fill(blob(rng, 136, 104, 20, 27, 8), hsv(48, 70, 235))
    sprite.grain(rng, "medium", 14)
    sprite.relief(21, 150)
    sprite.stroke(curve([(100, 62), (103, 46), (112, 34)]), 5, hsv(30, 130, 80))
    if rng.randint(0, 1):
        sprite.fill(
            smooth([(106, 48), (128, 28), (152, 36), (130, 50)], 2),
            hsv(rng.randint(70, 130), 170, 120),
        )


def core(sprite: Sprite, rng: Random) -> None:
    """An eaten core: two ends, a thin middle, seeds."""
    colour = any_colour(rng)
    waist = rng.randint(12, 24)
    body = smooth(
        profile(100, [(40, 12), (50, 44), (66, 38), (104, waist), (142, 36), (158, 40), (168, 14)]),
        2,
    )
    sprite.fill(body, hsv(rng.randint(36, 54), rng.randint(50, 120), rng.randint(180, 235)))
    with sprite.clipped():
        sprite.fill(ellipse(100, 46, 48, 14), colour)
        sprite.fill(ellipse(100, 164, 46, 14), colour)
        for x in (-6, 7):
            sprite.fill(ellipse(100 + x, 104, 4, 8, x * 3), hsv(24, 170, 60))
    sprite.grain(rng, "medium", 28)
    sprite.relief(9, 110)
    sprite.stroke([(100, 42), (106, 22)], 4, hsv(30, 140, 70))


def peel(sprite: Sprite, rng: Random) -> None:
    """A banana or orange peel: curved flaps that meet in a stalk."""
    colour = hsv(rng.randint(20, 110), rng.randint(110, 220), rng.randint(100, 230))
    inside, arms = pale(rng), rng.randint(3, 5)
    for arm in range(arms):
        turn = arm * 360 // arms + rng.randint(-22, 22)
        tip, bend = (
            polar(100, 100, rng.randint(62, 86), turn),
            polar(100, 100, 52, turn + rng.randint(16, 34)),
        )
        base_a, base_b = polar(100, 100, 20, turn - 70), polar(100, 100, 20, turn + 70)
        sprite.fill(
            smooth([base_a, polar(100, 100, 50, turn - 20), tip, bend, base_b], 2),
            colour if rng.randint(0, 2) else inside,
        )
    with sprite.clipped():
        for _ in range(rng.randint(4, 14)):
            sprite.fill(
                ellipse(
                    rng.randint(40, 160), rng.randint(40, 160), rng.randint(1, 6), rng.randint(1, 4)
                ),
                hsv(26, 160, 70),
            )
    sprite.fill(ellipse(100, 100, 15, 15), scaled(colour, 72))
    sprite.grain(rng, "medium", 16)
    sprite.relief(9, 130)


def leaf(sprite: Sprite, rng: Random) -> None:
    """A leaf, smooth or toothed, green to brown, with veins."""
    colour = hsv(
        rng.choice((rng.randint(10, 55), rng.randint(60, 140), rng.randint(340, 359))),
        rng.randint(90, 210),
        rng.randint(80, 210),
    )
    half = rng.randint(26, 52)
    shape = profile(100, [(16, 2), (52, half * 3 // 4), (96, half), (140, half * 2 // 3), (164, 3)])
    if rng.randint(0, 1):
        shape = star(100, 92, 76, rng.randint(36, 52), rng.choice((5, 7)), 90)
    sprite.fill(smooth(shape, rng.randint(1, 2)), colour)
    with sprite.clipped():
        vein = mixed(colour, WHITE, 30) if rng.randint(0, 1) else scaled(colour, 62)
        sprite.stroke([(100, 16), (100, 170)], 3, vein)
        for y in range(48, 160, rng.randint(14, 22)):
            sprite.stroke([(100 - half - 8, y - 24), (100, y), (100 + half + 8, y - 24)], 2, vein)
        if rng.randint(0, 1):
            sprite.fill(
                blob(rng, rng.randint(70, 130), rng.randint(60, 140), 12, 10, 25), earthy(rng)
            )
    sprite.stroke(
        curve([(100, 160), (100, 176), (rng.randint(92, 108), 190)]), 4, scaled(colour, 66)
    )
    sprite.grain(rng, "cloud", 26)
    sprite.relief(5, 90)


def bones(sprite: Sprite, rng: Random) -> None:
    """One to three bones with knuckled ends, some meat left."""
    for _ in range(rng.randint(1, 3)):
        colour = hsv(rng.randint(18, 52), rng.randint(15, 90), rng.randint(160, 240))
        turn, long, thick = rng.randint(0, 359), rng.randint(46, 72), rng.randint(12, 20)
        bend = rng.randint(-14, 14)
        centre = (100, 100 + rng.randint(-14, 14))
        shaft = turned([(100 - long, 100), (100, 100 + bend), (100 + long, 100)], turn, centre)
        sprite.stroke(shaft, thick, colour)
        for x in (-long, long):
            for y in (-1, 1):
                ((px, py),) = turned([(100 + x, 100 + y * thick * 2 // 3)], turn, centre)
                sprite.fill(ellipse(px, py, thick * 4 // 5, thick * 4 // 5), colour)
        if rng.randint(0, 1):
            sprite.fill(
                blob(rng, *shaft[1], 22, 15, 22), hsv(rng.randint(5, 28), 150, rng.randint(70, 140))
            )
    sprite.grain(rng, "medium", 24)
    sprite.relief(9, 150)


def egg_shells(sprite: Sprite, rng: Random) -> None:
    """Broken egg shells: bowls with a jagged rim, speckled."""
    colour = hsv(
        rng.randint(10, 50) if rng.randint(0, 2) else rng.randint(0, 359),
        rng.randint(5, 110),
        rng.randint(170, 245),
    )
    for _ in range(rng.randint(1, 3)):
        x, y = rng.randint(76, 124), rng.randint(66, 114)
        half, deep = rng.randint(42, 62), rng.randint(40, 64)
        rim = [(x - half + step * half // 5, y + rng.randint(-11, 11)) for step in range(11)]
        bowl = [
            (x + half * cosine(turn) // UNIT, y + deep * sine(turn) // UNIT)
            for turn in range(0, 181, 15)
        ]
        sprite.fill([*ellipse(x, y, half, 15)], scaled(mixed(colour, WHITE, 30), 74))
        sprite.ramp([*rim, *bowl], [scaled(colour, 82), scaled(colour, 110), scaled(colour, 64)])
    with sprite.clipped():
        for _ in range(rng.choice((0, 26))):
            sprite.fill(
                ellipse(rng.randint(40, 160), rng.randint(60, 170), 2, 2), scaled(colour, 60)
            )
    sprite.grain(rng, "fine", 12)
    sprite.relief(11, 100)


def root_vegetable(sprite: Sprite, rng: Random) -> None:
    """A carrot, radish or beet with its green."""
    colour = hsv(
        rng.choice((rng.randint(12, 44), rng.randint(280, 359))),
        rng.randint(110, 230),
        rng.randint(120, 235),
    )
    half, foot = rng.randint(16, 42), rng.randint(150, 186)
    for _ in range(rng.randint(4, 8)):
        tip = (100 + rng.randint(-46, 46), rng.randint(10, 40))
        sprite.stroke(
            curve([(100, 76), ((100 + tip[0]) // 2, 50), tip]),
            rng.randint(3, 8),
            hsv(rng.randint(70, 135), 170, rng.randint(80, 170)),
        )
    sprite.fill(
        smooth(
            profile(
                100, [(66, half // 2), (76, half), (100, half), (foot - 30, half // 3), (foot, 2)]
            ),
            2,
        ),
        colour,
    )
    with sprite.clipped():
        for y in range(80, foot, rng.randint(9, 18)):
            x = 100 + rng.randint(-half, half)
            sprite.stroke([(x - 10, y), (x + 8, y + 2)], 2, scaled(colour, 66))
    sprite.grain(rng, "medium", 18)
    sprite.relief(13, 140)


def slice_of_fruit(sprite: Sprite, rng: Random) -> None:
    """A cut fruit: rind, flesh and segments or seeds."""
    rind = hsv(rng.randint(0, 140), rng.randint(130, 220), rng.randint(90, 220))
    flesh = hsv(
        rng.choice((rng.randint(0, 110), rng.randint(320, 359))),
        rng.randint(60, 190),
        rng.randint(170, 245),
    )
    radius, squash = rng.randint(56, 76), rng.randint(60, 100)
    for part, colour in ((100, rind), (90, mixed(flesh, WHITE, 65)), (82, flesh)):
        sprite.fill(
            ellipse(100, 100, radius * part // 100, radius * part * squash // 10000), colour
        )
    spokes = rng.choice((0, 8, 10))
    for spoke in range(spokes):
        end = polar(100, 100, radius * 4 // 5, spoke * 360 // spokes + 7)
        sprite.stroke(
            [(100, 100), (end[0], 100 + (end[1] - 100) * squash // 100)], 3, mixed(flesh, WHITE, 65)
        )
    for seed in range(0 if spokes else 14):
        x, y = polar(100, 100, radius * rng.randint(20, 66) // 100, seed * 26)
        sprite.fill(ellipse(x, 100 + (y - 100) * squash // 100, 3, 5, seed * 26), hsv(25, 140, 45))
    if rng.randint(0, 2) == 0:
        sprite.cut([(0, 0), (200, 0), (200, 100), (0, 100)])
    sprite.grain(rng, "cloud", 18)
    sprite.relief(5, 90)


def fish_bone(sprite: Sprite, rng: Random) -> None:
    """What is left of a fish: head, spine and tail."""
    colour = hsv(rng.randint(20, 60), rng.randint(10, 70), rng.randint(170, 235))
    skin = any_colour(rng)
    sprite.stroke([(50, 100), (160, 100)], 5, colour)
    for x in range(66, 152, rng.randint(10, 14)):
        reach = (168 - x) // 3 + 6
        sprite.stroke(
            curve([(x - 10, 100 - reach), (x - 2, 100 - reach // 2), (x, 100)]), 3, colour
        )
        sprite.stroke(
            curve([(x - 10, 100 + reach), (x - 2, 100 + reach // 2), (x, 100)]), 3, colour
        )
    sprite.fill(smooth([(16, 100), (44, 70), (64, 84), (64, 116), (44, 130)], 2), skin)
    sprite.fill(ellipse(40, 92, 6, 6), WHITE)
    sprite.fill(ellipse(40, 92, 3, 3), (20, 20, 20))
    sprite.fill(jagged(rng, 170, 100, 20, 32, 8), skin)
    sprite.relief(5, 130)
