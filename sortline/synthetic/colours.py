"""Colours as integer RGB triples."""

from random import Random

Colour = tuple[int, int, int]

WHITE: Colour = (250, 250, 248)
BLACK: Colour = (22, 22, 24)


def hsv(hue: int, saturation: int, value: int) -> Colour:
    """RGB of a hue in degrees, and a saturation and value from 0 to 255."""
    sector, rest = divmod(hue % 360, 60)
    low = value * (255 - saturation) // 255
    falling = value * (255 * 60 - saturation * rest) // (255 * 60)
    rising = value * (255 * 60 - saturation * (60 - rest)) // (255 * 60)
    return (
        (value, rising, low),
        (falling, value, low),
        (low, value, rising),
        (low, falling, value),
        (rising, low, value),
        (value, low, falling),
    )[sector]


def scaled(colour: Colour, percent: int) -> Colour:
    """Darken (below 100) or brighten (above 100) a colour."""
    red, green, blue = (min(255, channel * percent // 100) for channel in colour)
    return red, green, blue


def mixed(first: Colour, second: Colour, percent: int) -> Colour:
    """Blend two colours, `percent` of the second."""
    red, green, blue = (
        (a * (100 - percent) + b * percent) // 100 for a, b in zip(first, second, strict=True)
    )
    return red, green, blue


def vivid(rng: Random) -> Colour:
    """Any saturated colour."""
    return hsv(rng.randint(0, 359), rng.randint(120, 235), rng.randint(110, 245))


def muted(rng: Random) -> Colour:
    """Any greyish colour."""
    return hsv(rng.randint(0, 359), rng.randint(10, 90), rng.randint(80, 220))


def pale(rng: Random) -> Colour:
    """Any colour near white."""
    return hsv(rng.randint(0, 359), rng.randint(3, 45), rng.randint(205, 252))


def dark(rng: Random) -> Colour:
    """Any colour near black."""
    return hsv(rng.randint(0, 359), rng.randint(20, 150), rng.randint(28, 90))


def earthy(rng: Random) -> Colour:
    """Browns, tans and ochres."""
    return hsv(rng.randint(16, 46), rng.randint(60, 170), rng.randint(80, 215))


def any_colour(rng: Random) -> Colour:
    """Vivid, muted, pale, dark or earthy, so that hue tells little about what is drawn."""
    return rng.choice((vivid, vivid, muted, pale, dark, earthy))(rng)
