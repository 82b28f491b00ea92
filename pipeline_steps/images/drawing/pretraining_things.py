"""Made things that are not waste of any class: what the demo backbone is pretrained on."""

from random import Random

from pipeline_steps.images.drawing.colours import BLACK, WHITE, any_colour, earthy, mixed, scaled
from pipeline_steps.images.drawing.geometry import (
    box,
    curve,
    ellipse,
    polar,
    profile,
    rounded,
    smooth,
    star,
    turned,
)
from pipeline_steps.images.drawing.materials import folds, glassy, metallic, solid_round
from pipeline_steps.images.drawing.sprite import Sprite


def hammer(sprite: Sprite, rng: Random) -> None:
    """A hammer."""
    half, head = rng.randint(6, 11), rng.randint(34, 60)
    solid_round(sprite, box(100 - half, 50, 100 + half, 186), any_colour(rng), rng, 25)
    metallic(sprite, box(100 - head, 28, 100 + head // 2, 62), any_colour(rng), rng, down=True)
    metallic(
        sprite, [(100 + head // 2, 30), (156, 44), (100 + head // 2, 60)], any_colour(rng), rng
    )


def wrench(sprite: Sprite, rng: Random) -> None:
    """An open-ended wrench."""
    colour, half = any_colour(rng), rng.randint(8, 14)
    metallic(sprite, box(100 - half, 44, 100 + half, 160), colour, rng)
    for y in (40, 162):
        metallic(sprite, ellipse(100, y, half * 2, 25), colour, rng)
    sprite.cut(box(100 - half * 2 // 3, 8, 100 + half * 2 // 3, 42))
    sprite.cut(star(100, 164, half, half - 2, 6))
    sprite.relief(3, 100)


def saw(sprite: Sprite, rng: Random) -> None:
    """A hand saw."""
    low = rng.randint(116, 136)
    teeth = [(x, low + 6 * (x // 6 % 2)) for x in range(66, 190, 6)]
    metallic(sprite, [(188, 80), (66, 70), *teeth], any_colour(rng), rng, down=True)
    sprite.fill(smooth([(14, 66), (70, 62), (76, 130), (22, 142)], 2), any_colour(rng))
    sprite.cut(ellipse(46, 100, 13, rng.randint(16, 24)))


def scissors(sprite: Sprite, rng: Random) -> None:
    """A pair of scissors, more or less open."""
    opening, colour = rng.randint(8, 30), any_colour(rng)
    for side in (-1, 1):
        blade = turned([(96, 100), (104, 100), (101, 16)], side * opening)
        metallic(sprite, blade, any_colour(rng), rng)
        x, y = polar(100, 100, 62, 90 + side * (opening + 4))
        sprite.stroke([(100, 100), (x, y)], 8, colour)
        sprite.rim(ellipse(x, y, 18, 24, side * opening), 7, colour)
    sprite.fill(ellipse(100, 100, 5, 5), BLACK)


def key(sprite: Sprite, rng: Random) -> None:
    """A door key."""
    colour, bow = any_colour(rng), rng.randint(22, 36)
    metallic(sprite, box(94, 70, 107, 184), colour, rng)
    for y in range(rng.randint(134, 146), 184, rng.randint(9, 14)):
        sprite.fill(box(106, y, 106 + rng.randint(8, 22), y + 7), colour)
    metallic(sprite, ellipse(100, 48, bow, rng.randint(24, 34)), colour, rng)
    sprite.cut(ellipse(100, 42, bow // 2, rng.randint(8, 14)))
    sprite.relief(3, 110)


def padlock(sprite: Sprite, rng: Random) -> None:
    """A padlock."""
    half, top = rng.randint(36, 54), rng.randint(84, 100)
    shackle = curve(
        [
            (100 - half + 14, top + 6),
            (100 - half + 12, 24),
            (100 + half - 12, 24),
            (100 + half - 14, top + 6),
        ]
    )
    sprite.stroke(shackle, rng.randint(9, 15), any_colour(rng))
    metallic(sprite, rounded(100 - half, top, 100 + half, 174, 10), any_colour(rng), rng)
    sprite.fill(ellipse(100, 126, 9, 9), BLACK)
    sprite.fill([(96, 126), (104, 126), (108, 152), (92, 152)], BLACK)


def car(sprite: Sprite, rng: Random) -> None:
    """A car from the side."""
    colour, roof = any_colour(rng), rng.randint(52, 74)
    sprite.fill(smooth([(44, 104), (66, roof), (126, roof), (158, 104)], 1), scaled(colour, 85))
    for x0, x1 in ((62, 94), (100, 136)):
        glassy(
            sprite,
            [(x0 + 8, roof + 9), (x1 - 7, roof + 9), (x1, 102), (x0, 102)],
            any_colour(rng),
            rng,
        )
    sprite.ramp(
        smooth([(12, 104), (186, 100), (190, 140), (10, 140)], 1),
        [scaled(colour, 118), scaled(colour, 60)],
        down=True,
    )
    for x in (48, 150):
        sprite.fill(ellipse(x, 140, 21, 21), BLACK)
        sprite.fill(ellipse(x, 140, 11, 11), any_colour(rng))


def lorry(sprite: Sprite, rng: Random) -> None:
    """A lorry from the side."""
    body, cab = any_colour(rng), rng.randint(128, 140)
    sprite.ramp(
        box(10, rng.randint(40, 70), cab, 136), [scaled(body, 110), scaled(body, 75)], down=True
    )
    for x in range(22, cab - 4, rng.randint(12, 30)):
        sprite.stroke([(x, 44), (x, 134)], 2, scaled(body, 65))
    sprite.fill(
        smooth([(cab + 3, 66), (172, 66), (190, 104), (190, 138), (cab + 3, 138)], 1),
        any_colour(rng),
    )
    sprite.fill([(cab + 14, 76), (168, 76), (180, 102), (cab + 14, 102)], any_colour(rng))
    for x in (36, 66, 164):
        sprite.fill(ellipse(x, 142, 16, 16), BLACK)
        sprite.fill(ellipse(x, 142, 7, 7), (170, 170, 170))


def sailboat(sprite: Sprite, rng: Random) -> None:
    """A sailing boat."""
    sprite.stroke([(100, 16), (100, 146)], 5, earthy(rng))
    sprite.ramp(
        [(104, 20), (104, 134), (rng.randint(150, 182), 134)], [any_colour(rng), any_colour(rng)]
    )
    sprite.ramp(
        [(95, 30), (95, 134), (rng.randint(30, 60), 134)], [any_colour(rng), any_colour(rng)]
    )
    sprite.ramp(
        smooth([(22, 142), (178, 142), (150, 182), (50, 182)], 1),
        [any_colour(rng), BLACK],
        down=True,
    )


def aeroplane(sprite: Sprite, rng: Random) -> None:
    """An aeroplane from above."""
    colour, sweep = any_colour(rng), rng.randint(10, 50)
    wings = [
        (100, 76),
        (188, 86 + sweep),
        (188, 102 + sweep),
        (100, 116),
        (12, 102 + sweep),
        (12, 86 + sweep),
    ]
    sprite.fill(wings, scaled(colour, 85))
    sprite.fill([(100, 154), (136, 172), (136, 182), (64, 182), (64, 172)], scaled(colour, 80))
    solid_round(
        sprite, smooth(profile(100, [(12, 4), (32, 14), (150, 13), (186, 5)]), 2), colour, rng, 40
    )
    for y in range(52, 150, 11):
        sprite.fill(ellipse(100, y, 3, 3), BLACK)


def chair(sprite: Sprite, rng: Random) -> None:
    """A chair."""
    colour, seat, wide = any_colour(rng), rng.randint(98, 116), rng.randint(5, 10)
    for x0, y0, x1, y1 in (
        (56, 20, 56, 182),
        (60, seat, 82, 166),
        (132, seat, 134, 184),
        (148, seat - 12, 156, 168),
    ):
        sprite.stroke([(x0, y0), (x1, y1)], wide, scaled(colour, 75))
    for slat in range(rng.randint(2, 4)):
        sprite.stroke([(56, 28 + 20 * slat), (118, 20 + 20 * slat)], wide + 2, colour)
    sprite.stroke([(118, 16), (120, seat)], wide, scaled(colour, 75))
    sprite.fill([(50, seat), (84, seat - 18), (158, seat - 18), (136, seat + 4)], any_colour(rng))
    sprite.grain(rng, "streaks", 25)


def table(sprite: Sprite, rng: Random) -> None:
    """A table."""
    colour, top = earthy(rng) if rng.randint(0, 1) else any_colour(rng), rng.randint(70, 96)
    for x, y in ((30, 180), (64, 150), (140, 150), (168, 180)):
        sprite.stroke(
            [(x, top), (x + rng.randint(-4, 4), y)], rng.randint(7, 12), scaled(colour, 62)
        )
    sprite.ramp(
        [(14, top + 12), (48, top - 22), (158, top - 22), (188, top + 12)],
        [scaled(colour, 118), colour],
        down=True,
    )
    sprite.fill(box(14, top + 12, 188, top + 22), scaled(colour, 70))
    sprite.grain(rng, "streaks", 35)


def desk_lamp(sprite: Sprite, rng: Random) -> None:
    """A standing lamp with a shade."""
    top, foot = rng.randint(16, 30), rng.randint(40, 66)
    metallic(sprite, box(96, 70, 104, 176), any_colour(rng), rng)
    sprite.ramp(
        profile(100, [(20, top), (92, foot)]),
        [scaled(any_colour(rng), 80), (250, 236, 190), any_colour(rng)],
    )
    metallic(sprite, ellipse(100, 178, rng.randint(28, 44), 9), any_colour(rng), rng)


def mug(sprite: Sprite, rng: Random) -> None:
    """A mug with a handle."""
    colour, half = any_colour(rng), rng.randint(36, 50)
    sprite.rim(
        ellipse(100 + half, 108, rng.randint(22, 32), 30), rng.randint(8, 13), scaled(colour, 80)
    )
    solid_round(sprite, rounded(100 - half, 60, 100 + half, 164, 9), colour, rng, 55)
    sprite.fill(ellipse(100, 62, half, 14), scaled(colour, 118))
    sprite.fill(ellipse(100, 64, half - 6, 10), earthy(rng))
    sprite.fill(star(100, 114, 22, rng.randint(8, 18), rng.randint(3, 9)), any_colour(rng))


def teapot(sprite: Sprite, rng: Random) -> None:
    """A teapot."""
    colour = any_colour(rng)
    sprite.stroke(
        curve([(140, 118), (168, 108), (184, 66)]), rng.randint(9, 15), scaled(colour, 85)
    )
    sprite.rim(ellipse(48, 106, 26, 30), rng.randint(7, 11), scaled(colour, 75))
    solid_round(
        sprite, ellipse(100, 116, rng.randint(48, 58), rng.randint(42, 52)), colour, rng, 60
    )
    solid_round(sprite, ellipse(100, 72, 30, 10), scaled(colour, 90), rng, 40)
    sprite.fill(ellipse(100, 58, 8, 8), any_colour(rng))
    sprite.fill(box(74, 162, 126, 170), scaled(colour, 60))


def clock(sprite: Sprite, rng: Random) -> None:
    """A clock face."""
    radius, face = rng.randint(56, 80), any_colour(rng)
    ink = BLACK if sum(face) > 330 else WHITE
    metallic(sprite, ellipse(100, 100, radius + 8, radius + 8), any_colour(rng), rng)
    sprite.fill(ellipse(100, 100, radius, radius), face)
    for hour in range(12):
        sprite.stroke(
            [polar(100, 100, radius - 6, hour * 30), polar(100, 100, radius - 16, hour * 30)],
            4,
            ink,
        )
    sprite.stroke([(100, 100), polar(100, 100, radius // 2, rng.randint(0, 359))], 6, ink)
    sprite.stroke([(100, 100), polar(100, 100, radius * 3 // 4, rng.randint(0, 359))], 4, ink)


def gear(sprite: Sprite, rng: Random) -> None:
    """A gear wheel."""
    teeth, radius = rng.randint(8, 18), rng.randint(60, 82)
    wheel = [
        polar(100, 100, radius if step % 4 < 2 else radius - 15, step * 90 // teeth)
        for step in range(4 * teeth)
    ]
    metallic(sprite, wheel, any_colour(rng), rng, down=bool(rng.randint(0, 1)))
    sprite.rim(ellipse(100, 100, radius - 26, radius - 26), 4, scaled(any_colour(rng), 60))
    sprite.cut(ellipse(100, 100, rng.randint(10, 26), rng.randint(10, 26)))
    sprite.relief(5, 120)


def umbrella(sprite: Sprite, rng: Random) -> None:
    """An open umbrella."""
    first, second = any_colour(rng), any_colour(rng)
    sprite.stroke([(100, 30), (100, 164), (108, 180), (122, 176)], 6, scaled(first, 50))
    dome = [polar(100, 102, 80, turn) for turn in range(180, 361, 12)]
    for rib in range(5):
        arc = dome[3 * rib : 3 * rib + 4]
        sprite.fill(
            [*arc, (100, 24)] if rib in (0, 4) else [*arc, (arc[-1][0], 104), (arc[0][0], 104)],
            second if rib % 2 else first,
        )
    for rib in range(5):
        sprite.cut(ellipse(36 + 32 * rib, 108, 15, rng.randint(7, 11)))
    sprite.relief(7, 90)


def ladder(sprite: Sprite, rng: Random) -> None:
    """A ladder."""
    colour, foot, top = any_colour(rng), rng.randint(32, 48), rng.randint(20, 32)
    for y in range(26, 186, rng.randint(16, 26)):
        reach = top + (foot - top) * y // 186
        sprite.stroke([(100 - reach, y), (100 + reach, y)], 6, scaled(colour, 80))
    for side in (-1, 1):
        sprite.stroke(
            [(100 + side * top, 12), (100 + side * foot, 188)], rng.randint(6, 10), colour
        )
    sprite.relief(3, 120)


def guitar(sprite: Sprite, rng: Random) -> None:
    """A guitar."""
    colour, half = earthy(rng) if rng.randint(0, 1) else any_colour(rng), rng.randint(38, 48)
    body = smooth(
        profile(
            100, [(96, 10), (104, half * 3 // 4), (132, half // 2), (160, half), (188, half // 2)]
        ),
        2,
    )
    sprite.ramp(body, [scaled(colour, 70), scaled(colour, 118), scaled(colour, 60)])
    sprite.fill(ellipse(100, 132, 14, 14), BLACK)
    sprite.fill(box(94, 26, 106, 124), scaled(earthy(rng), 60))
    sprite.fill(box(90, 12, 110, 34), colour)
    for x in (96, 100, 104):
        sprite.stroke([(x, 16), (x, 168)], 1, WHITE)
    sprite.fill(box(84, 164, 116, 170), BLACK)


def drum(sprite: Sprite, rng: Random) -> None:
    """A drum with its lacing."""
    half, colour = rng.randint(52, 68), any_colour(rng)
    solid_round(sprite, box(100 - half, 70, 100 + half, 152), colour, rng, 35)
    sprite.fill(ellipse(100, 152, half, 18), scaled(colour, 75))
    for x in range(100 - half, 100 + half - 10, 22):
        sprite.stroke([(x, 74), (x + 11, 158), (x + 22, 74)], 3, any_colour(rng))
    sprite.fill(ellipse(100, 70, half + 3, 22), scaled(any_colour(rng), 70))
    sprite.fill(ellipse(100, 68, half - 4, 17), mixed(any_colour(rng), WHITE, 70))


def flag(sprite: Sprite, rng: Random) -> None:
    """A striped flag on a pole."""
    sprite.stroke([(34, 14), (34, 188)], 7, any_colour(rng))
    stripes, tall, wave = rng.randint(2, 5), rng.randint(60, 90), rng.randint(-14, 14)
    for stripe in range(stripes):
        y0, y1 = 20 + stripe * tall // stripes, 20 + (stripe + 1) * tall // stripes
        sprite.fill(
            [(38, y0), (110, y0 + wave), (182, y0), (182, y1), (110, y1 + wave), (38, y1)],
            any_colour(rng),
        )
    if rng.randint(0, 1):
        sprite.fill(star(84, 20 + tall // 2, 22, 10, 5), any_colour(rng))
    folds(sprite, any_colour(rng), rng, 2)
    sprite.relief(7, 90)


def kite(sprite: Sprite, rng: Random) -> None:
    """A kite with its tail."""
    half = rng.randint(36, 56)
    sprite.stroke(curve([(100, 128), (80, 150), (124, 166), (96, 190)]), 3, any_colour(rng))
    corners = [(100, 12), (100 + half, 60), (100, 134), (100 - half, 60)]
    for first, second in zip(corners, [*corners[1:], corners[0]], strict=True):
        sprite.ramp([first, second, (100, 60)], [any_colour(rng), any_colour(rng)])
    for y in (150, 172):
        sprite.fill(star(100, y, 11, 4, 4), any_colour(rng))


def target(sprite: Sprite, rng: Random) -> None:
    """A target of rings."""
    first, second, rings = any_colour(rng), any_colour(rng), rng.randint(3, 7)
    for ring in range(rings, 0, -1):
        radius = 82 * ring // rings
        sprite.fill(ellipse(100, 100, radius, radius), first if ring % 2 else second)
    sprite.relief(3, 80)


def die(sprite: Sprite, rng: Random) -> None:
    """A die with three faces in view."""
    colour = any_colour(rng)
    ink = BLACK if sum(colour) > 330 else WHITE
    faces = (
        ([(100, 100), (166, 66), (166, 136), (100, 176)], 66),
        ([(100, 100), (34, 66), (34, 136), (100, 176)], 90),
        ([(100, 100), (166, 66), (100, 30), (34, 66)], 115),
    )
    for face, tone in faces:
        sprite.fill(face, scaled(colour, tone))
        (ax, ay), (bx, by), _, (dx, dy) = face
        for _ in range(rng.randint(1, 6)):
            u, v = rng.randint(2, 8), rng.randint(2, 8)
            sprite.fill(
                ellipse(
                    ax + ((bx - ax) * u + (dx - ax) * v) // 10,
                    ay + ((by - ay) * u + (dy - ay) * v) // 10,
                    6,
                    6,
                ),
                ink,
            )


def anchor(sprite: Sprite, rng: Random) -> None:
    """An anchor."""
    colour, wide = any_colour(rng), rng.randint(8, 14)
    sprite.stroke([(100, 46), (100, 176)], wide, colour)
    sprite.stroke([(64, 66), (136, 66)], wide - 2, colour)
    sprite.rim(ellipse(100, 30, 15, 15), wide - 2, colour)
    sprite.stroke([polar(100, 116, 62, turn) for turn in range(10, 171, 16)], wide, colour)
    for turn in (4, 176):
        sprite.fill([(x, y) for x, y in star(*polar(100, 116, 62, turn), 20, 9, 3, -90)], colour)
    sprite.relief(5, 140)


def spectacles(sprite: Sprite, rng: Random) -> None:
    """A pair of spectacles."""
    colour, rx, ry = any_colour(rng), rng.randint(28, 38), rng.randint(22, 36)
    for side in (-1, 1):
        x = 100 + side * (rx + 8)
        glassy(sprite, ellipse(x, 100, rx, ry), any_colour(rng), rng)
        sprite.rim(ellipse(x, 100, rx, ry), rng.randint(4, 8), colour)
        sprite.stroke([(x + side * rx, 94), (x + side * (rx + 14), 60)], 5, colour)
    sprite.stroke(curve([(92, 98), (100, 90), (108, 98)]), 5, colour)


def candle(sprite: Sprite, rng: Random) -> None:
    """A burning candle."""
    half, top = rng.randint(12, 24), rng.randint(64, 110)
    solid_round(sprite, box(100 - half, top, 100 + half, 170), any_colour(rng), rng, 15)
    sprite.fill(ellipse(100, top, half, 5), any_colour(rng))
    sprite.stroke([(100, top), (100, top - 12)], 3, BLACK)
    sprite.fill(
        smooth([(100, top - 50), (112, top - 20), (100, top - 6), (88, top - 20)], 2),
        (250, 190, 60),
    )
    sprite.fill(ellipse(100, top - 18, 5, 9), (255, 244, 190))
    metallic(sprite, ellipse(100, 172, rng.randint(30, 50), 11), any_colour(rng), rng)


def windmill(sprite: Sprite, rng: Random) -> None:
    """A windmill."""
    colour = any_colour(rng)
    solid_round(sprite, profile(100, [(80, 18), (186, rng.randint(30, 42))]), colour, rng, 10)
    sprite.fill(star(100, 78, 30, 16, 3, -90), any_colour(rng))
    sprite.fill(box(92, 156, 108, 186), BLACK)
    start, sail = rng.randint(0, 89), any_colour(rng)
    for arm in range(4):
        turn = start + 90 * arm
        sprite.fill(turned(box(102, 14, 118, 64), turn, (100, 76)), sail)
        sprite.stroke(turned([(100, 76), (100, 10)], turn, (100, 76)), 4, scaled(sail, 45))


def bicycle(sprite: Sprite, rng: Random) -> None:
    """A bicycle."""
    colour, radius = any_colour(rng), rng.randint(30, 38)
    for x in (48, 152):
        sprite.rim(ellipse(x, 134, radius, radius), 5, BLACK)
        for turn in range(0, 180, 36):
            sprite.stroke(
                [polar(x, 134, radius, turn), polar(x, 134, radius, turn + 180)], 1, (180, 180, 180)
            )
    for line in (
        ((48, 134), (82, 80), (136, 80), (94, 134), (48, 134)),
        ((82, 80), (94, 134)),
        ((152, 134), (132, 62), (150, 58)),
        ((78, 68), (84, 84)),
    ):
        sprite.stroke(line, rng.randint(5, 7), colour)
    sprite.stroke([(64, 66), (92, 66)], 8, any_colour(rng))
