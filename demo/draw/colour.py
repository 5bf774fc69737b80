"""Colours: the inks of the world, and the `Tone` that turns them into those of a film's grade and of the night.

An ink is 0xRRGGBB, sRGB by day.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from demo.world import Grade

GARMENT_INKS = {
    "red": 0xD8262C,
    "orange": 0xF58A1F,
    "yellow": 0xFADB3C,
    "green": 0x2F9E4B,
    "blue": 0x2563D4,
    "purple": 0x8B3FB8,
    "white": 0xF7F5EF,
    "black": 0x24242B,
}
HAIR_INKS = {"black": 0x1D1A22, "brown": 0x7B4826, "blonde": 0xF0C858, "red": 0xD2501B, "grey": 0xBEC2CB}
SKIN_INKS = {"porcelain": 0xFBDCC6, "peach": 0xF0C19D, "tan": 0xD79C6C, "umber": 0xA06A45, "deep": 0x7C4F35}
TROUSER_INKS = (0x3C4258, 0x5C5048, 0x6E7480)
LAMP = 0xFFD978
MOON = 0xF6F1DA


@dataclass(frozen=True)
class Tone:
    """How colours come out: the film's grade, and the `light`.

    `light` is day, or at night: night or night-indoors for places, night-figure for people, who stay lit.
    """

    grade: Grade
    light: str


_LIGHTS = {
    "day": ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    "lamp": ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    "night": ((0.38, 0.44, 0.60), (0.04, 0.055, 0.14)),
    "night-indoors": ((0.56, 0.50, 0.58), (0.02, 0.02, 0.08)),
    "night-figure": ((0.93, 0.94, 0.99), (0.0, 0.0, 0.015)),
}


@lru_cache(maxsize=100_000)
def graded(colour: int, tone: Tone) -> tuple[int, int, int]:
    """The sRGB bytes of a colour under a tone."""
    gain, floor = _LIGHTS[tone.light]
    grade = tone.grade
    rgb = np.array([colour >> 16, colour >> 8 & 255, colour & 255]) / 255 * gain + floor
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    rgb = luma + (rgb - luma) * grade.saturation
    rgb = (0.45 + (rgb - 0.45) * grade.contrast) * grade.tint
    rgb = grade.lift + rgb * (1 - grade.lift)
    red, green, blue = (round(float(v) * 255) for v in np.clip(rgb, 0, 1))
    return red, green, blue


@lru_cache(maxsize=10_000)
def mix(first: int, second: int, share: float) -> int:
    """A colour between two; `share` 0 is the first."""
    parts = ((first >> s & 255) * (1 - share) + (second >> s & 255) * share for s in (16, 8, 0))
    red, green, blue = (round(p) for p in parts)
    return red << 16 | green << 8 | blue


def luma(colour: int) -> float:
    """Perceived brightness, 0 to 1."""
    return (0.299 * (colour >> 16) + 0.587 * (colour >> 8 & 255) + 0.114 * (colour & 255)) / 255


def edge_of(colour: int, night: bool = False) -> int:
    """The keyline of a shape: darker than a light one, lighter than a black one; by night a moonlit rim."""
    if night and luma(colour) < 0.45:
        return mix(colour, 0xCBD6FF, 0.45)
    return mix(colour, 0x9CA0B4, 0.5) if luma(colour) < 0.17 else mix(colour, 0x1A1626, 0.55)


def shadow_of(colour: int) -> int:
    """The side away from the light; warm on skin."""
    if colour in SKIN_INKS.values():
        return mix(colour, 0x8A2A1E, 0.20)
    return mix(colour, 0x101018, 0.45) if luma(colour) < 0.17 else mix(colour, 0x2B2350, 0.24)
