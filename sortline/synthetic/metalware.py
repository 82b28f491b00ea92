"""Metal and batteries: cans, tins, lids, foil, spray cans; cells, blocks, coins, packs."""

from random import Random

from sortline.synthetic.colours import (
    BLACK,
    WHITE,
    Colour,
    any_colour,
    dark,
    hsv,
    mixed,
    scaled,
    vivid,
)
from sortline.synthetic.geometry import (
    blob,
    box,
    ellipse,
    moved,
    polar,
    profile,
    rounded,
    smooth,
    star,
    turned,
)
from sortline.synthetic.materials import (
    creased,
    label,
    metallic,
    print_lines,
    solid_round,
)
from sortline.synthetic.sprite import Sprite


def _steel(rng: Random) -> Colour:
    if rng.randint(0, 2) == 0:
        return hsv(rng.randint(0, 359), rng.randint(70, 190), rng.randint(110, 220))
    return hsv(rng.randint(0, 359), rng.randint(4, 45), rng.randint(130, 215))


def can(sprite: Sprite, rng: Random) -> None:
    """A drink can: printed side, bare neck and top, sometimes dented."""
    half, steel = rng.randint(30, 40), _steel(rng)
    top, foot = rng.randint(30, 50), rng.randint(160, 180)
    dent = rng.randint(0, 18) if rng.randint(0, 1) else 0
    body = profile(
        100,
        [
            (top, half - 6),
            (top + 12, half),
            (110, half - dent),
            (foot - 10, half),
            (foot, half - 7),
        ],
    )
    metallic(sprite, body, any_colour(rng), rng)
    with sprite.clipped():
        middle, ink = rng.randint(top + 34, foot - 40), vivid(rng)
        sprite.fill([(40, middle), (160, middle - 24), (160, middle), (40, middle + 22)], ink)
        sprite.grain(rng, "streaks", 20)
        sprite.stroke(
            [(100 - half // 2, top + 14), (100 - half // 2, foot - 12)], 4, mixed(steel, WHITE, 70)
        )
    lip = ellipse(100, top, half - 5, rng.randint(7, 13))
    metallic(sprite, lip, steel, rng)
    sprite.rim(lip, 2, mixed(steel, WHITE, 60))
    sprite.fill(ellipse(100, top, 8, 4), scaled(steel, 45))
    sprite.stroke([(94, top + 2), (108, top - 1)], 3, mixed(steel, WHITE, 50))


def tin(sprite: Sprite, rng: Random) -> None:
    """A food tin with ribs, opened or closed, its paper label gone or not."""
    half, steel = rng.randint(38, 56), _steel(rng)
    top, foot = rng.randint(48, 76), rng.randint(140, 172)
    metallic(
        sprite,
        smooth(profile(100, [(top, half), (foot - 4, half), (foot + 10, half - 18)]), 1),
        steel,
        rng,
    )
    with sprite.clipped():
        for y in range(top + 16, foot - 4, rng.randint(7, 13)):
            sprite.stroke([(100 - half, y), (100, y + 9), (100 + half, y)], 2, scaled(steel, 55))
            sprite.stroke([(100 - half, y + 3), (100, y + 12), (100 + half, y + 3)], 1, WHITE)
    if rng.randint(0, 2) == 0:
        label(sprite, (100 - half, top + 20, 100 + half, foot - 8), any_colour(rng), rng)
    mouth = ellipse(100, top, half, rng.randint(12, 20))
    if rng.randint(0, 1):
        sprite.ramp(mouth, [scaled(steel, 30), scaled(steel, 75), scaled(steel, 40)])
        lid = turned(ellipse(100, top - 26, half - 3, 20), rng.randint(-25, 25))
        metallic(sprite, lid, steel, rng)
    else:
        metallic(sprite, mouth, steel, rng)
    sprite.rim(mouth, 3, mixed(steel, WHITE, 55))


def lid(sprite: Sprite, rng: Random) -> None:
    """A round lid or bottle cap from above, with rings or a crimped edge."""
    steel = _steel(rng)
    radius = rng.randint(48, 76)
    squash = rng.randint(55, 100)
    crimped = rng.randint(0, 1)
    edge = star(100, 100, radius, radius - 7, 21) if crimped else ellipse(100, 100, radius, radius)
    disc = [(x, 100 + (y - 100) * squash // 100) for x, y in edge]
    sprite.fill(moved(disc, 2, 7), scaled(steel, 40))
    metallic(sprite, disc, steel, rng)
    for part in (82, 70, 42)[: rng.randint(1, 3)]:
        ring = ellipse(100, 100, radius * part // 100, radius * part * squash // 10000)
        metallic(
            sprite,
            ring,
            any_colour(rng) if part == 70 and crimped else steel,
            rng,
            down=bool(part % 4),
        )
        sprite.rim(ring, 2, scaled(steel, 50))
    sprite.grain(rng, "medium", 18)


def foil(sprite: Sprite, rng: Random) -> None:
    """Crumpled foil: bright and dark facets side by side."""
    steel = _steel(rng)
    sprite.fill(blob(rng, 100, 100, rng.randint(52, 74), rng.randint(44, 68), 22), steel)
    creased(sprite, steel, rng, rng.randint(50, 75), 70)
    with sprite.clipped():
        for _ in range(rng.randint(8, 14)):
            x, y = rng.randint(40, 160), rng.randint(40, 160)
            sprite.stroke([(x, y), (x + rng.randint(-22, 22), y + rng.randint(-22, 22))], 2, WHITE)
    sprite.relief(9, 90)


def spray_can(sprite: Sprite, rng: Random) -> None:
    """A spray can: printed tube, domed shoulder, nozzle or cap."""
    half = rng.randint(22, 32)
    metallic(
        sprite, smooth(profile(100, [(46, 8), (58, half - 5), (68, half)]), 1), _steel(rng), rng
    )
    metallic(sprite, box(100 - half, 64, 100 + half, 186), any_colour(rng), rng)
    label(
        sprite,
        (100 - half, rng.randint(80, 100), 100 + half, rng.randint(140, 170)),
        any_colour(rng),
        rng,
    )
    metallic(sprite, box(100 - half - 1, 182, 100 + half + 1, 189), _steel(rng), rng)
    if rng.randint(0, 1):
        solid_round(sprite, rounded(92, 28, 108, 48, 3), any_colour(rng), rng, 30)
    else:
        solid_round(
            sprite, rounded(100 - half + 4, 20, 100 + half - 4, 62, 6), any_colour(rng), rng, 30
        )


def cells(sprite: Sprite, rng: Random) -> None:
    """One to four cylindrical cells: a knob on one end, two-coloured sleeves."""
    count, half = rng.randint(1, 4), rng.randint(11, 19)
    long = rng.randint(48, 74)
    sleeve, tip = any_colour(rng), any_colour(rng)
    for cell in range(count):
        x = 100 + (2 * cell - count + 1) * (half + 2)
        y0, y1 = 100 - long + rng.randint(-8, 8), 100 + long
        metallic(sprite, box(x - half // 3, y0 - 8, x + half // 3, y0 + 2), (190, 190, 186), rng)
        solid_round(sprite, box(x - half, y0, x + half, y1), sleeve, rng, 45)
        solid_round(
            sprite,
            box(x - half, y0, x + half, y0 + long * rng.randint(30, 60) // 100),
            tip,
            rng,
            55,
        )
        metallic(sprite, box(x - half, y1 - 3, x + half, y1 + 3), (180, 180, 178), rng)
        ink = WHITE if sum(sleeve) < 380 else BLACK
        sprite.stroke([(x - half // 2, y1 - 14), (x + half // 2, y1 - 14)], 2, ink)
        sprite.stroke([(x - half // 2, y0 + 12), (x + half // 2, y0 + 12)], 2, ink)
        sprite.stroke([(x, y0 + 12 - half // 2), (x, y0 + 12 + half // 2)], 2, ink)


def block(sprite: Sprite, rng: Random) -> None:
    """A nine-volt block with its two snap terminals on top."""
    half, top, foot = rng.randint(34, 46), rng.randint(56, 70), rng.randint(152, 182)
    case = any_colour(rng)
    solid_round(sprite, rounded(100 - half, top, 100 + half, foot, 5), case, rng, 30)
    solid_round(
        sprite,
        box(100 - half, foot - (foot - top) // 3, 100 + half, foot - 5),
        any_colour(rng),
        rng,
        35,
    )
    metallic(
        sprite,
        [
            (100 - half + 5, top - 14),
            (100 + half - 5, top - 14),
            (100 + half, top + 2),
            (100 - half, top + 2),
        ],
        (150, 150, 148),
        rng,
    )
    for side, tips in ((-1, 6), (1, 24)):
        x = 100 + side * half // 2
        metallic(sprite, star(x, top - 14, 13, 10, tips), (205, 205, 198), rng)
        sprite.fill(ellipse(x, top - 15, 5, 4), (70, 70, 68))
    print_lines(
        sprite,
        (100 - half + 9, top + 22, 100 + half - 9, top + 48),
        WHITE if sum(case) < 380 else BLACK,
        rng,
    )


def coin_cell(sprite: Sprite, rng: Random) -> None:
    """A few button cells: bright discs with a step, a plus sign and stamped letters."""
    for _ in range(rng.randint(1, 3)):
        x, y, radius = rng.randint(80, 120), rng.randint(80, 120), rng.randint(46, 66)
        squash = rng.randint(60, 100)
        steel = hsv(rng.randint(0, 359), rng.randint(4, 60), rng.randint(150, 225))
        sprite.fill(ellipse(x + 1, y + 7, radius, radius * squash // 100), scaled(steel, 42))
        metallic(sprite, ellipse(x, y, radius, radius * squash // 100), steel, rng)
        metallic(
            sprite,
            ellipse(x, y, radius * 4 // 5, radius * 4 * squash // 500),
            steel,
            rng,
            down=True,
        )
        ink, reach = scaled(steel, 35), radius // 4
        sprite.stroke([(x - reach, y - reach), (x + reach, y - reach)], 3, ink)
        sprite.stroke([(x, y - 2 * reach), (x, y)], 3, ink)
        print_lines(
            sprite, (x - radius // 2, y + 4, x + radius // 2, y + radius * squash // 200), ink, rng
        )


def pack(sprite: Sprite, rng: Random) -> None:
    """A flat telephone or laptop pack: dark case, label with warnings, gold contacts."""
    half, top, foot = rng.randint(36, 60), rng.randint(36, 60), rng.randint(150, 170)
    case = dark(rng) if rng.randint(0, 1) else any_colour(rng)
    sprite.ramp(
        rounded(100 - half, top, 100 + half, foot, 7),
        [scaled(case, 120), case, scaled(case, 75)],
        down=True,
    )
    paper = any_colour(rng)
    sprite.fill(box(100 - half + 7, top + 16, 100 + half - 7, foot - 10), paper)
    ink = BLACK if sum(paper) > 330 else WHITE
    print_lines(sprite, (100 - half + 12, top + 24, 100 + half - 12, foot - 40), ink, rng)
    for sign in range(rng.randint(1, 3)):
        x = 100 - half + 22 + 20 * sign
        sprite.rim([polar(x, foot - 24, 9, turn) for turn in (30, 150, 270)], 2, ink)
    for contact in range(rng.randint(3, 4)):
        x = 100 - 22 + 14 * contact
        sprite.fill(box(x, top + 2, x + 8, top + 12), hsv(44, 150, 220))
    sprite.relief(3, 90)


def car_battery(sprite: Sprite, rng: Random) -> None:
    """A starter battery: a box of ribs with two posts and a handle."""
    case, cover = any_colour(rng), any_colour(rng)
    sprite.ramp(box(32, 84, 168, 166), [scaled(case, 115), scaled(case, 60)], down=True)
    for x in range(38, 166, rng.randint(9, 16)):
        sprite.fill(box(x, 92, x + 3, 160), scaled(case, 70))
    sprite.ramp(
        [(44, 60), (156, 60), (170, 86), (30, 86)],
        [scaled(cover, 70), scaled(cover, 120)],
        down=True,
    )
    for x, ink in ((58, hsv(0, 210, 200)), (142, (40, 40, 44))):
        metallic(sprite, box(x - 8, 48, x + 8, 70), (160, 160, 160), rng)
        sprite.rim(ellipse(x, 72, 13, 5), 3, ink)
    for x in range(80, 125, 11):
        sprite.fill(ellipse(x, 72, 4, 3), scaled(cover, 45))
    label(sprite, (56, 102, 144, 150), any_colour(rng), rng)
