"""Buildings, plants, animals, signs, surfaces: what else the demo backbone is pretrained on."""

from random import Random

from pipeline_steps.images.drawing.colours import (
    BLACK,
    WHITE,
    Colour,
    any_colour,
    earthy,
    hsv,
    mixed,
    scaled,
)
from pipeline_steps.images.drawing.geometry import (
    blob,
    box,
    curve,
    ellipse,
    jagged,
    polar,
    profile,
    smooth,
    star,
    turned,
)
from pipeline_steps.images.drawing.materials import (
    creased,
    folds,
    glassy,
    metallic,
    sheer,
    solid_round,
)
from pipeline_steps.images.drawing.sprite import Sprite


def house(sprite: Sprite, rng: Random) -> None:
    """A house with a gable."""
    wall, half, eaves = any_colour(rng), rng.randint(50, 68), rng.randint(84, 104)
    sprite.fill(box(100 - half, eaves, 100 + half, 180), wall)
    sprite.ramp(
        [(100 - half - 12, eaves), (100 + half + 12, eaves), (100, 24)],
        [any_colour(rng), any_colour(rng)],
    )
    for x in range(100 - half + 12, 90 + half - 10, rng.randint(28, 40)):
        sprite.fill(box(x, eaves + 12, x + 18, eaves + 36), any_colour(rng))
    sprite.fill(box(92, 142, 114, 180), any_colour(rng))
    sprite.grain(rng, "medium", 20)


def castle(sprite: Sprite, rng: Random) -> None:
    """A tower with battlements and walls."""
    stone = any_colour(rng)
    for x0, x1, top in (
        (70, 130, rng.randint(30, 50)),
        (18, 60, rng.randint(70, 90)),
        (140, 182, rng.randint(70, 90)),
        (40, 160, 110),
    ):
        sprite.ramp(box(x0, top, x1, 182), [scaled(stone, 70), stone, scaled(stone, 60)])
        for x in range(x0, x1 - 6, 16):
            sprite.fill(box(x, top - 10, x + 8, top), stone)
    sprite.fill(smooth([(86, 182), (86, 146), (100, 128), (114, 146), (114, 182)], 1), BLACK)
    sprite.grain(rng, "medium", 40)


def bridge(sprite: Sprite, rng: Random) -> None:
    """An arched bridge."""
    stone, arches = any_colour(rng), rng.randint(2, 4)
    sprite.fill(box(8, 78, 192, 150), stone)
    sprite.fill(box(8, 70, 192, 80), scaled(stone, 70))
    pitch = 180 // arches
    for arch in range(arches):
        sprite.cut(
            ellipse(10 + pitch * arch + pitch // 2, 152, pitch * 2 // 5, rng.randint(40, 54))
        )
    sprite.grain(rng, "medium", 40)
    sprite.relief(5, 100)


def fence(sprite: Sprite, rng: Random) -> None:
    """A picket fence."""
    colour, pitch = any_colour(rng), rng.randint(20, 32)
    for y in (86, 140):
        sprite.fill(box(8, y, 192, y + 10), scaled(colour, 70))
    for x in range(14, 180, pitch):
        sprite.fill(
            [
                (x, 60),
                (x + pitch // 3, 44),
                (x + pitch * 2 // 3, 60),
                (x + pitch * 2 // 3, 172),
                (x, 172),
            ],
            scaled(colour, rng.randint(88, 112)),
        )
    sprite.grain(rng, "streaks", 28)


def broad_tree(sprite: Sprite, rng: Random) -> None:
    """A tree with a round crown."""
    sprite.fill(profile(100, [(96, 8), (186, rng.randint(10, 18))]), earthy(rng))
    green = hsv(rng.randint(20, 150), rng.randint(90, 200), rng.randint(80, 190))
    for _ in range(rng.randint(5, 9)):
        sprite.fill(
            blob(
                rng,
                rng.randint(66, 134),
                rng.randint(44, 104),
                rng.randint(26, 42),
                rng.randint(24, 36),
                20,
            ),
            scaled(green, rng.randint(70, 125)),
        )
    sprite.grain(rng, "medium", 50)
    sprite.relief(9, 110)


def fir_tree(sprite: Sprite, rng: Random) -> None:
    """A fir in tiers."""
    sprite.fill(box(92, 150, 108, 188), earthy(rng))
    green, tiers = (
        hsv(rng.randint(60, 190), rng.randint(60, 200), rng.randint(60, 170)),
        rng.randint(3, 5),
    )
    for tier in range(tiers, 0, -1):
        y, half = 14 + 140 * tier // tiers, 14 + 50 * tier // tiers
        sprite.fill(
            [(100, max(8, y - 70)), (100 + half, y + 8), (100, y), (100 - half, y + 8)],
            scaled(green, 130 - 12 * tier),
        )
    sprite.grain(rng, "medium", 45)
    sprite.relief(5, 90)


def flower(sprite: Sprite, rng: Random) -> None:
    """A flower with petals, on a stalk."""
    sprite.stroke(
        curve([(100, 80), (rng.randint(88, 112), 130), (100, 190)]),
        6,
        hsv(rng.randint(80, 140), 160, 120),
    )
    colour, petals, reach = any_colour(rng), rng.randint(5, 12), rng.randint(30, 42)
    for petal in range(petals):
        turn = petal * 360 // petals
        sprite.fill(
            ellipse(*polar(100, 76, reach, turn), 24, 110 // petals + 4, turn),
            scaled(colour, 84 + petal % 3 * 12),
        )
    sprite.fill(ellipse(100, 76, rng.randint(12, 22), rng.randint(12, 22)), any_colour(rng))
    sprite.relief(5, 120)


def cactus(sprite: Sprite, rng: Random) -> None:
    """A cactus in a pot."""
    green = hsv(rng.randint(70, 170), rng.randint(80, 180), rng.randint(80, 180))
    for side, y in ((-1, rng.randint(84, 104)), (1, rng.randint(70, 96))):
        sprite.stroke(
            [(100, y + 24), (100 + side * 40, y + 20), (100 + side * 42, y - 18)],
            rng.randint(16, 22),
            scaled(green, 88),
        )
    sprite.stroke([(100, 36), (100, 150)], rng.randint(30, 42), green)
    for x in range(86, 116, 7):
        sprite.stroke([(x, 34), (x, 150)], 1, mixed(green, WHITE, 60))
    solid_round(sprite, profile(100, [(146, 40), (186, 30)]), any_colour(rng), rng, 20)
    sprite.relief(5, 90)


def mushroom(sprite: Sprite, rng: Random) -> None:
    """A mushroom, spotted."""
    solid_round(
        sprite,
        smooth(profile(100, [(90, rng.randint(14, 22)), (180, rng.randint(18, 30))]), 1),
        mixed(earthy(rng), WHITE, 60),
        rng,
        10,
    )
    cap = smooth(profile(100, [(26, 24), (60, 64), (104, rng.randint(64, 78)), (112, 30)]), 2)
    sprite.fill(cap, any_colour(rng))
    with sprite.within(cap):
        for _ in range(rng.randint(0, 9)):
            sprite.fill(
                ellipse(
                    rng.randint(40, 160),
                    rng.randint(36, 106),
                    rng.randint(4, 10),
                    rng.randint(4, 8),
                ),
                WHITE,
            )
    sprite.relief(13, 120)


def fish(sprite: Sprite, rng: Random) -> None:
    """A whole, living fish."""
    colour, tall = any_colour(rng), rng.randint(30, 50)
    sprite.fill(smooth([(130, 100), (184, 62), (172, 100), (184, 138)], 1), scaled(colour, 75))
    sprite.fill(smooth([(80, 100 - tall), (124, 60 - tall // 3), (134, 92)], 1), scaled(colour, 80))
    sprite.ramp(
        ellipse(84, 100, 68, tall), [any_colour(rng), colour, mixed(colour, WHITE, 50)], down=True
    )
    with sprite.clipped():
        for x in range(60, 150, rng.randint(9, 24)):
            sprite.rim(ellipse(x, 100, 13, tall), 2, scaled(colour, 60))
    sprite.fill(ellipse(42, 90, 9, 9), WHITE)
    sprite.fill(ellipse(41, 90, 4, 4), BLACK)


def bird(sprite: Sprite, rng: Random) -> None:
    """A bird from the side."""
    colour = any_colour(rng)
    for x in (92, 110):
        sprite.stroke([(x, 140), (x + 3, 178), (x + 14, 180)], 4, earthy(rng))
    sprite.fill(
        [(140, 104), (190, rng.randint(80, 130)), (184, 132), (132, 130)], scaled(colour, 66)
    )
    sprite.fill(smooth(blob(rng, 100, 112, 54, 36, 6), 1), colour)
    sprite.fill(ellipse(56, 74, 26, 24), scaled(colour, 108))
    sprite.fill([(36, 66), (10, 78), (36, 84)], hsv(rng.randint(10, 50), 220, 230))
    sprite.fill(ellipse(114, 108, 36, 20, rng.randint(8, 34)), any_colour(rng))
    sprite.fill(ellipse(50, 70, 5, 5), BLACK)
    sprite.grain(rng, "medium", 24)


def butterfly(sprite: Sprite, rng: Random) -> None:
    """A butterfly."""
    upper, lower, spot = any_colour(rng), any_colour(rng), any_colour(rng)
    tilt, reach = rng.randint(18, 40), rng.randint(32, 44)
    for side in (-1, 1):
        sprite.fill(ellipse(100 + side * 40, 126, 32, 36, side * tilt), lower)
        sprite.fill(ellipse(100 + side * 44, 74, reach, 36, -side * tilt), upper)
        sprite.fill(ellipse(100 + side * 50, 74, 16, 14), spot)
        sprite.fill(ellipse(100 + side * 42, 130, 11, 12), spot)
        sprite.stroke(curve([(100, 50), (100 + side * 10, 30), (100 + side * 24, 20)]), 2, BLACK)
    sprite.fill(ellipse(100, 102, 7, 52), BLACK)


def snail(sprite: Sprite, rng: Random) -> None:
    """A snail with its spiral."""
    skin, shell = any_colour(rng), any_colour(rng)
    sprite.fill(
        smooth([(16, 164), (40, 110), (28, 84), (54, 88), (70, 134), (188, 152), (184, 168)], 2),
        skin,
    )
    for x in (32, 50):
        sprite.stroke([(x, 92), (x - 6, 60)], 4, skin)
    solid_round(sprite, ellipse(118, 104, 52, 50), shell, rng, 35)
    spiral = [polar(118, 104, 48 - turn // 18, turn) for turn in range(0, 760, 18)]
    sprite.stroke(spiral, 4, scaled(shell, 50))


def cat_face(sprite: Sprite, rng: Random) -> None:
    """The face of a cat."""
    colour, eye = any_colour(rng), any_colour(rng)
    for side in (-1, 1):
        sprite.fill(
            [(100 + side * 62, 28), (100 + side * 14, 62), (100 + side * 58, 92)],
            scaled(colour, 80),
        )
    sprite.fill(ellipse(100, 108, rng.randint(58, 70), rng.randint(52, 64)), colour)
    for side in (-1, 1):
        sprite.fill(ellipse(100 + side * 26, 96, 13, rng.randint(9, 14)), eye)
        sprite.fill(ellipse(100 + side * 26, 96, 4, 9), BLACK)
        for y in (124, 134, 144):
            sprite.stroke([(100 + side * 20, 130), (100 + side * 82, y)], 1, WHITE)
    sprite.fill([(92, 118), (108, 118), (100, 128)], (220, 130, 140))
    sprite.grain(rng, "fine", 34)


def spider(sprite: Sprite, rng: Random) -> None:
    """A spider."""
    colour = any_colour(rng)
    for side in (-1, 1):
        for leg in range(4):
            turn = rng.randint(-8, 8) - 48 + 32 * leg
            knee, tip = (
                polar(0, 0, 50, turn),
                polar(0, 0, rng.randint(72, 86), turn + (8 if leg > 1 else -8)),
            )
            sprite.stroke(
                [
                    (100, 92),
                    (100 + side * knee[0], 84 + knee[1]),
                    (100 + side * tip[0], 104 + tip[1]),
                ],
                rng.randint(4, 6),
                scaled(colour, 70),
            )
    sprite.fill(ellipse(100, 126, rng.randint(22, 34), rng.randint(26, 40)), colour)
    sprite.fill(ellipse(100, 84, 17, 18), scaled(colour, 80))
    sprite.relief(7, 150)


def star_sign(sprite: Sprite, rng: Random) -> None:
    """A star."""
    colour = any_colour(rng)
    sprite.ramp(
        star(100, 100, 84, rng.randint(28, 52), rng.randint(4, 8), -90),
        [scaled(colour, 118), scaled(colour, 70)],
        down=True,
    )
    sprite.relief(rng.randint(3, 15), 120)


def heart(sprite: Sprite, rng: Random) -> None:
    """A heart."""
    colour = any_colour(rng)
    half = rng.randint(56, 78)
    sprite.fill(
        smooth(
            [
                (100, 62),
                (100 + half // 2, 24),
                (100 + half + 12, 56),
                (100 + half, 100),
                (100, 184),
                (100 - half, 100),
                (88 - half, 56),
                (100 - half // 2, 24),
            ],
            2,
        ),
        colour,
    )
    sprite.relief(rng.randint(7, 21), 140)


def crescent(sprite: Sprite, rng: Random) -> None:
    """A crescent moon."""
    sprite.fill(ellipse(100, 100, 78, 78), any_colour(rng))
    sprite.grain(rng, "coarse", 40)
    sprite.cut(ellipse(rng.randint(126, 154), rng.randint(80, 110), rng.randint(58, 72), 66))
    sprite.relief(7, 110)


def arrow(sprite: Sprite, rng: Random) -> None:
    """An arrow."""
    half, head = rng.randint(10, 24), rng.randint(46, 66)
    sprite.fill(
        [
            (100, 14),
            (100 + head, 90),
            (100 + half, 90),
            (100 + half, 186),
            (100 - half, 186),
            (100 - half, 90),
            (100 - head, 90),
        ],
        any_colour(rng),
    )
    sprite.relief(rng.randint(3, 9), 110)


def crown(sprite: Sprite, rng: Random) -> None:
    """A crown with jewels."""
    points = [
        (24, rng.randint(46, 66)),
        (62, 104),
        (100, rng.randint(30, 50)),
        (138, 104),
        (176, rng.randint(46, 66)),
    ]
    metallic(sprite, [*points, (162, 156), (38, 156)], any_colour(rng), rng)
    for x, y in points[::2]:
        sprite.fill(ellipse(x, y, 9, 9), any_colour(rng))
    sprite.fill(box(38, 140, 162, 162), any_colour(rng))
    sprite.relief(5, 110)


def balloon(sprite: Sprite, rng: Random) -> None:
    """A balloon on a string."""
    sprite.stroke(
        curve([(100, 136), (rng.randint(84, 116), 160), (rng.randint(90, 110), 190)]),
        2,
        any_colour(rng),
    )
    colour = any_colour(rng)
    solid_round(
        sprite, smooth(profile(100, [(14, 20), (40, 50), (84, 54), (128, 12)]), 2), colour, rng, 70
    )
    sprite.fill([(100, 124), (110, 140), (90, 140)], scaled(colour, 70))


def snowman(sprite: Sprite, rng: Random) -> None:
    """A figure of three balls with a hat."""
    colour = mixed(any_colour(rng), WHITE, 75)
    for y, radius in ((150, rng.randint(34, 42)), (98, rng.randint(26, 32)), (58, 21)):
        sprite.fill(ellipse(100, y, radius, radius), colour)
    sprite.relief(13, 120)
    sprite.fill(box(76, 34, 124, 42), BLACK)
    sprite.fill(box(86, 10, 114, 38), any_colour(rng))
    sprite.fill([(100, 58), (132, 64), (100, 66)], hsv(24, 220, 235))
    for x, y in ((92, 52), (108, 52), (100, 92), (100, 108)):
        sprite.fill(ellipse(x, y, 3, 3), BLACK)


_SEGMENTS = (
    ((60, 20), (140, 20)),
    ((140, 20), (140, 98)),
    ((140, 102), (140, 180)),
    ((60, 180), (140, 180)),
    ((60, 102), (60, 180)),
    ((60, 20), (60, 98)),
    ((60, 100), (140, 100)),
)
_FIGURES = ("012345", "12", "01643", "01623", "5612", "05623", "056432", "012", "0123456", "012356")
_LETTERS = (
    ((40, 180), (100, 20), (160, 180), (130, 110), (70, 110)),
    ((60, 180), (60, 20), (140, 60), (60, 100), (150, 180)),
    ((40, 20), (100, 180), (160, 20)),
    ((40, 180), (60, 20), (100, 110), (140, 20), (160, 180)),
    ((50, 20), (150, 20), (50, 180), (150, 180)),
    ((50, 180), (50, 20), (150, 180), (150, 20)),
)


def figure(sprite: Sprite, rng: Random) -> None:
    """A digit in seven strokes."""
    colour, width = any_colour(rng), rng.randint(10, 26)
    for stroke in rng.choice(_FIGURES):
        sprite.stroke(_SEGMENTS[int(stroke)], width, colour)
    sprite.relief(rng.randint(3, 9), 120)


def letter_sign(sprite: Sprite, rng: Random) -> None:
    """A capital letter."""
    sprite.stroke(rng.choice(_LETTERS), rng.randint(10, 28), any_colour(rng))
    sprite.relief(rng.randint(3, 9), 120)


def _swatch(rng: Random) -> tuple[list[tuple[int, int]], Colour]:
    outlines = (
        blob(rng, 100, 100, 74, 66, 16),
        jagged(rng, 100, 100, 82, 78, 9),
        box(rng.randint(16, 50), 30, rng.randint(140, 184), 170),
        turned(ellipse(100, 100, 80, rng.randint(34, 78)), rng.randint(0, 90)),
    )
    return list(rng.choice(outlines)), any_colour(rng)


def polished(sprite: Sprite, rng: Random) -> None:
    """A surface that mirrors."""
    outline, colour = _swatch(rng)
    metallic(sprite, outline, colour, rng, down=bool(rng.randint(0, 1)))


def transparent(sprite: Sprite, rng: Random) -> None:
    """A clear solid."""
    outline, colour = _swatch(rng)
    glassy(sprite, outline, colour, rng)


def filmy(sprite: Sprite, rng: Random) -> None:
    """A milky film."""
    outline, colour = _swatch(rng)
    sheer(sprite, outline, colour, rng)


def draped(sprite: Sprite, rng: Random) -> None:
    """A woven surface in folds."""
    outline, colour = _swatch(rng)
    sprite.fill(outline, colour)
    folds(sprite, colour, rng, rng.randint(5, 12))
    sprite.grain(rng, "fine", 28)
    sprite.relief(7, 90)


def faceted(sprite: Sprite, rng: Random) -> None:
    """A surface of flat facets."""
    outline, colour = _swatch(rng)
    sprite.fill(outline, colour)
    creased(sprite, colour, rng, rng.randint(24, 60), rng.randint(24, 60))
    sprite.relief(9, 90)


def striped(sprite: Sprite, rng: Random) -> None:
    """A surface of stripes."""
    outline, colour = _swatch(rng)
    ink, pitch = any_colour(rng), rng.randint(6, 26)
    sprite.fill(outline, colour)
    with sprite.within(outline):
        for y in range(10, 190, pitch):
            sprite.fill(box(0, y, 199, y + pitch // 2), ink)
    sprite.relief(5, 90)


def dotted(sprite: Sprite, rng: Random) -> None:
    """A surface of dots."""
    outline, colour = _swatch(rng)
    ink, pitch = any_colour(rng), rng.randint(12, 30)
    sprite.fill(outline, colour)
    with sprite.within(outline):
        for cell in range((180 // pitch) ** 2):
            sprite.fill(
                ellipse(
                    14 + cell % (180 // pitch) * pitch,
                    14 + cell // (180 // pitch) * pitch,
                    pitch // 4,
                    pitch // 4,
                ),
                ink,
            )
    sprite.relief(9, 90)
