"""From an object to a photograph: pose, shadow, things in the way, light, lens and sensor."""

from collections.abc import Callable, Sequence
from random import Random

from PIL import Image, ImageChops, ImageFilter

from sortline.synthetic.backgrounds import BACKGROUNDS, Background, Size, scatter
from sortline.synthetic.colours import hsv
from sortline.synthetic.geometry import UNIT, cosine, sine
from sortline.synthetic.sprite import SPRITE_PX, Sprite
from sortline.synthetic.textures import patch

Draw = Callable[[Sprite, Random], None]
"""Draws one object of a family, upright, with everything about it drawn from the generator."""

Turn = Callable[[Random], int]
"""Draws by how many degrees an object is turned."""

_BACKDROPS = tuple(BACKGROUNDS.values())


def _size(rng: Random) -> Size:
    return rng.choice(((128, 128), (144, 128), (128, 144), (160, 128), (128, 160), (144, 144)))


def _any_turn(rng: Random) -> int:
    """Degrees by which a thing lies turned: upright or nearly so for half of them."""
    return rng.randint(-28, 28) if rng.randint(0, 1) else rng.randint(0, 359)


def _upright(rng: Random) -> int:
    return rng.randint(-12, 12)


def _posed(rng: Random, picture: Image.Image, size: Size, turn: int) -> Image.Image:
    """Turn, scale, shear and tilt an object into a frame of the scene's size."""
    percent = min(size) * rng.randint(74, 124) // SPRITE_PX
    stretch, shear = rng.randint(84, 119), rng.randint(-22, 22)
    cx = size[0] // 2 + rng.randint(-size[0], size[0]) // 11
    cy = size[1] // 2 + rng.randint(-size[1], size[1]) // 11
    mirror = rng.choice((-1, 1))
    cos, sin = cosine(turn) * 100 / (UNIT * percent), sine(turn) * 100 / (UNIT * percent)
    a, b = mirror * cos, mirror * sin
    d, e = (-sin + cos * shear / 100) * stretch / 100, (cos + sin * shear / 100) * stretch / 100
    g, h = rng.randint(-14, 14) / 8192, rng.randint(-14, 14) / 8192
    half = SPRITE_PX // 2
    # Output (x, y) to sheet ((a x + b y + c) / w, (d x + e y + f) / w), w = g x + h y + 1,
    # about the centre of the pose.
    w = 1 - g * cx - h * cy
    top = [a + half * g, b + half * h, half - (a * cx + b * cy) - half * (g * cx + h * cy)]
    low = [d + half * g, e + half * h, half - (d * cx + e * cy) - half * (g * cx + h * cy)]
    return picture.transform(
        size,
        Image.Transform.PERSPECTIVE,
        [value / w for value in (*top, *low, g, h)],
        Image.Resampling.BILINEAR,
    )


def _cast_shadow(rng: Random, scene: Image.Image, alpha: Image.Image) -> Image.Image:
    """Darken the ground beside an object."""
    reach = rng.randint(2, 9)
    shadow = ImageChops.offset(alpha, rng.choice((-1, 1)) * reach, reach)
    strength = rng.randint(25, 70)
    shadow = shadow.filter(ImageFilter.BoxBlur(rng.randint(1, 6))).point(
        [level * strength // 100 for level in range(256)]
    )
    return Image.composite(Image.new("RGB", scene.size, (12, 12, 16)), scene, shadow)


def _placed(rng: Random, scene: Image.Image, draw: Draw, turn: Turn = _any_turn) -> Image.Image:
    sprite = Sprite()
    draw(sprite, rng)
    posed = _posed(rng, sprite.picture(), scene.size, turn(rng))
    alpha = posed.getchannel("A")
    scene = _cast_shadow(rng, scene, alpha)
    scene.paste(posed.convert("RGB"), (0, 0), alpha)
    return scene


def _lit(rng: Random, scene: Image.Image) -> Image.Image:
    """Uneven light: a slope or a pool, sometimes a hard shadow from outside the frame."""
    low, high = rng.randint(110, 210), rng.randint(220, 255)
    if rng.randint(0, 1):
        corners = bytes(rng.randint(low, high) for _ in range(4))
        light = Image.frombytes("L", (2, 2), corners).resize(scene.size, Image.Resampling.BILINEAR)
    else:
        light = patch(rng, "cloud", scene.size).point(
            [low + (high - low) * level // 255 for level in range(256)]
        )
    if rng.randint(0, 4) == 0:
        edge = Image.new("L", scene.size, 255)
        x = rng.randint(0, scene.size[0])
        edge.paste(rng.randint(110, 170), (x, 0, *scene.size))
        light = ImageChops.multiply(light, edge.filter(ImageFilter.BoxBlur(2)))
    tint = hsv(rng.randint(0, 359), rng.randint(0, 42), 255)
    channels = [light.point([level * part // 255 for level in range(256)]) for part in tint]
    return ImageChops.multiply(scene, Image.merge("RGB", channels))


def _mean_level(grey: Image.Image) -> int:
    counts = grey.histogram()
    return max(1, sum(level * count for level, count in enumerate(counts)) // sum(counts))


def _toned(level: int) -> int:
    """Roll highlights off instead of clipping them, as film and cameras do."""
    return max(0, level) if level < 185 else min(255, 185 + (level - 185) * 2 // 5)


def _exposed(rng: Random, scene: Image.Image) -> Image.Image:
    """Meter the light as a camera does, not always right; contrast and saturation vary too."""
    grey = scene.convert("L")
    target, contrast = rng.randint(88, 156), rng.randint(85, 125)
    gain = max(80, min(260, target * 100 // _mean_level(grey)))
    faded = Image.merge("RGB", (grey, grey, grey))
    fade = Image.new("L", scene.size, rng.choice((0, 0, 0, 40, 90, 150)))
    tones = [
        _toned(target + (level * gain // 100 - target) * contrast // 100) for level in range(256)
    ]
    return Image.composite(faded, scene, fade).point(tones * 3)


def _sensed(rng: Random, scene: Image.Image) -> Image.Image:
    """Lens blur and sensor noise."""
    blur = rng.choice((0, 0, 0, 4, 6, 9, 13))
    if blur:
        scene = scene.filter(ImageFilter.GaussianBlur(blur / 8))
    noise = rng.choice((0, 10, 18, 30, 46))
    if noise:
        grain = [
            patch(rng, "fine", scene.size).point([level * noise // 255 for level in range(256)])
            for _ in range(3 if rng.randint(0, 1) else 1)
        ]
        sheet = Image.merge("RGB", grain if len(grain) == 3 else grain * 3)
        scene = ImageChops.add(scene, sheet, 1, -noise // 2)
    return scene


def photograph(draw: Draw, rng: Random) -> Image.Image:
    """Draw one object of a family and photograph it.

    Args:
        draw: the family.
        rng: the only source of chance; equal states give equal pixels.

    Returns:
        An RGB picture with sides of 128 to 160 px.
    """
    size = _size(rng)
    scene = rng.choice(_BACKDROPS)(rng, size)
    if rng.randint(0, 2) == 0:
        scatter(rng, scene, rng.randint(1, 4), 24)
    for _ in range(rng.choice((1, 1, 1, 1, 1, 2))):
        scene = _placed(rng, scene, draw)
    if rng.randint(0, 2) == 0:
        scatter(rng, scene, rng.randint(1, 3), 20)
    return _sensed(rng, _exposed(rng, _lit(rng, scene)))


def studio(draw: Draw, rng: Random) -> Image.Image:
    """Draw one object before a plain backdrop: the same poses, nothing in the way, a perfect lens.

    What a network is shown first, since it learns what an object is from few such pictures.
    Arguments and result are those of `photograph`.
    """
    return _placed(rng, BACKGROUNDS["gradient"](rng, _size(rng)), draw)


def portrait(draw: Draw, rng: Random, backdrops: Sequence[Background]) -> Image.Image:
    """Draw one living thing, upright and whole, before one of some backdrops, and photograph it.

    Result and chance are those of `photograph`.
    """
    scene = _placed(rng, rng.choice(backdrops)(rng, _size(rng)), draw, _upright)
    return _sensed(rng, _exposed(rng, _lit(rng, scene)))
