"""The embedded world in pictures: `draw(shot, height)` is one frame, antialiased and deterministic.

Three systems of coordinates, all with y downwards:
- *frame*: frame heights, (0, 0) at the middle of the square's upper edge; a wide frame shows more of the
  same plane on both sides;
- *place*: as the frame, before the lens enlarges and moves the backdrop; the ground begins at about y = 0.6;
- *body*: the standing figure, crown at (0, 0), soles at y = 1, chin at y = 0.19; a prop is on the +x side.

Colours are 0xRRGGBB by day; a `Tone` turns them into those of the film's grade and of the night.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import skia  # type: ignore[import-not-found]

from demo.world import Grade, Person, Pose, Shot

Box = tuple[float, float, float, float]
Point = tuple[float, float]

EDGE = 2.4  # places are painted for x in [-EDGE, EDGE]
TOP, BOTTOM = -0.25, 1.3


@dataclass(frozen=True)
class Drawn:
    """A picture. `pixels` is (H, W, 3) uint8 RGB; boxes are (x0, y0, x1, y1) in its pixels, never clipped.

    Both boxes belong to the first person, without the prop; the head's box includes the hair.
    """

    pixels: np.ndarray
    subject_box: Box
    head_box: Box


# --- colour -------------------------------------------------------------------------------------------------

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


# --- paths and pen ------------------------------------------------------------------------------------------

_VERBS = {
    "M": ("moveTo", 2),
    "L": ("lineTo", 2),
    "Q": ("quadTo", 4),
    "C": ("cubicTo", 6),
    "O": ("addOval", 4),
}


@lru_cache(maxsize=20_000)
def path(text: str) -> skia.Path:
    """A path from letters and numbers: M, L, Q, C and Z as in SVG; O cx cy rx ry adds an oval."""
    result = skia.Path()
    words = iter(text.split())
    for verb in words:
        if verb == "Z":
            result.close()
            continue
        name, count = _VERBS[verb]
        numbers = [float(next(words)) for _ in range(count)]
        if verb == "O":
            cx, cy, rx, ry = numbers
            result.addOval(skia.Rect(cx - rx, cy - ry, cx + rx, cy + ry))
        else:
            getattr(result, name)(*numbers)
    return result


def mirrored(text: str) -> str:
    """A half outline (M, L and C only), top to bottom on the -x side, closed by its mirror image."""
    words, points, verbs = text.split(), [], []
    index = 0
    while index < len(words):
        verb, count = words[index], _VERBS[words[index]][1]
        numbers = [float(w) for w in words[index + 1 : index + 1 + count]]
        points += list(zip(numbers[::2], numbers[1::2], strict=True))
        verbs.append(verb)
        index += 1 + count
    back = [(-x, y) for x, y in reversed(points)]
    result, at = [text, f"L {back[0][0]} {back[0][1]}"], 1
    for verb in reversed(verbs[1:]):
        step = 3 if verb == "C" else 1
        result.append(verb + " " + " ".join(f"{x} {y}" for x, y in back[at : at + step]))
        at += step
    return " ".join(result) + " Z"


class Pen:
    """Draws flat shapes on a canvas under a tone; `key` is the width of keylines in the canvas's units."""

    def __init__(self, canvas: skia.Canvas, tone: Tone, key: float = 0.0) -> None:
        self.canvas = canvas
        self.tone = tone
        self.key = key
        self.night = tone.light != "day"
        self._lamp = Tone(tone.grade, "lamp")

    def ink(self, colour: int, alpha: float = 1.0, lit: bool = False) -> int:
        """The skia colour of an ink; a `lit` one gives its own light and ignores the night."""
        red, green, blue = graded(colour, self._lamp if lit else self.tone)
        return skia.ColorSetARGB(round(alpha * 255), red, green, blue)

    def paint(self, colour: int, alpha: float = 1.0, lit: bool = False, width: float = 0.0) -> skia.Paint:
        """A fill, or with a width a round stroke."""
        paint = skia.Paint(AntiAlias=True, Color=self.ink(colour, alpha, lit))
        if width:
            paint.setStyle(skia.Paint.kStroke_Style)
            paint.setStrokeWidth(width)
            paint.setStrokeCap(skia.Paint.kRound_Cap)
            paint.setStrokeJoin(skia.Paint.kRound_Join)
        return paint

    def fill(self, text: str, colour: int, alpha: float = 1.0, lit: bool = False) -> None:
        self.canvas.drawPath(path(text), self.paint(colour, alpha, lit))

    def line(self, text: str, colour: int, width: float, alpha: float = 1.0, lit: bool = False) -> None:
        self.canvas.drawPath(path(text), self.paint(colour, alpha, lit, width))

    def rect(
        self, x0: float, y0: float, x1: float, y1: float, colour: int, lit: bool = False, round_: float = 0.0
    ) -> None:
        self.canvas.drawRoundRect(skia.Rect(x0, y0, x1, y1), round_, round_, self.paint(colour, 1.0, lit))

    def oval(
        self, cx: float, cy: float, rx: float, ry: float, colour: int, alpha: float = 1.0, lit: bool = False
    ) -> None:
        self.canvas.drawOval(skia.Rect(cx - rx, cy - ry, cx + rx, cy + ry), self.paint(colour, alpha, lit))

    def band(self, y0: float, y1: float, upper: int, lower: int, lit: bool = False) -> None:
        """A horizontal band across the whole place with a vertical gradient."""
        paint = skia.Paint(AntiAlias=True)
        colours = [self.ink(upper, lit=lit), self.ink(lower, lit=lit)]
        paint.setShader(skia.GradientShader.MakeLinear([skia.Point(0, y0), skia.Point(0, y1)], colours))
        self.canvas.drawRect(skia.Rect(-EDGE, y0 - 0.002, EDGE, y1 + 0.002), paint)

    def glow(self, cx: float, cy: float, radius: float, colour: int = LAMP, alpha: float = 0.75) -> None:
        """Soft light around a lamp."""
        paint = skia.Paint(AntiAlias=True)
        colours = [self.ink(colour, alpha, lit=True), self.ink(colour, 0.0, lit=True)]
        paint.setShader(skia.GradientShader.MakeRadial(skia.Point(cx, cy), radius, colours))
        self.canvas.drawCircle(cx, cy, radius, paint)

    def shape(self, text: str, colour: int, shade: float | None = None, lit: bool = False) -> None:
        """A keylined shape. With `shade`, the part right of that x (slanted) is in shadow."""
        outline = path(text)
        self.canvas.drawPath(outline, self.paint(edge_of(colour, self.night), width=2 * self.key))
        paint = self.paint(colour, lit=lit)
        if shade is not None:
            light, dark = self.ink(colour, lit=lit), self.ink(shadow_of(colour), lit=lit)
            ends = [skia.Point(shade - 0.012, 0.0), skia.Point(shade + 0.012, 0.0045)]
            paint.setShader(skia.GradientShader.MakeLinear(ends, [light, dark]))
        self.canvas.drawPath(outline, paint)


# --- parts that several places share ------------------------------------------------------------------------


def sky(pen: Pen, upper: int, lower: int, horizon: float = 0.62, moon: Point = (0.30, 0.15)) -> None:
    """The day's sky in two colours, or the night's with its moon."""
    if not pen.night:
        pen.band(TOP, horizon, upper, lower)
        return
    pen.band(TOP, horizon, 0x1B2458, 0x4B5C9A, lit=True)
    pen.glow(*moon, 0.2, MOON, 0.45)
    pen.oval(*moon, 0.065, 0.065, MOON, lit=True)


def cloud(pen: Pen, x: float, y: float, size: float, colour: int = 0xFFFFFF) -> None:
    """A cloud of `size` width with a flat base; at night a dim one."""
    s = size
    text = (
        f"M {x - s / 2} {y} C {x - s * 0.62} {y - s * 0.2} {x - s * 0.3} {y - s * 0.3} {x - s * 0.2} "
        f"{y - s * 0.2} "
        f"C {x - s * 0.15} {y - s * 0.45} {x + s * 0.2} {y - s * 0.42} {x + s * 0.2} {y - s * 0.22} "
        f"C {x + s * 0.4} {y - s * 0.3} {x + s * 0.6} {y - s * 0.12} {x + s / 2} {y} Z"
    )
    pen.fill(text, colour, 0.9)


def window(pen: Pen, x0: float, y0: float, x1: float, y1: float, frame: int) -> None:
    """A window with a day or night sky and a cross of `frame` colour."""
    pen.rect(x0 - 0.02, y0 - 0.02, x1 + 0.02, y1 + 0.02, frame, round_=0.01)
    pen.rect(x0, y0, x1, y1, 0x20306E if pen.night else 0xBFE3F2, lit=True)
    if pen.night:
        pen.oval(x0 + (x1 - x0) * 0.72, y0 + (y1 - y0) * 0.25, 0.03, 0.03, MOON, lit=True)
    middle = (x0 + x1) / 2
    pen.rect(middle - 0.009, y0, middle + 0.009, y1, frame)
    pen.rect(x0, (y0 + y1) / 2 - 0.009, x1, (y0 + y1) / 2 + 0.009, frame)


def lamp(pen: Pen, x: float, y: float, size: float, shade: int, cord: float = TOP) -> None:
    """A hanging lamp whose shade ends at y."""
    pen.line(f"M {x} {cord} L {x} {y - size}", 0x4A4450, 0.012)
    if pen.night:
        pen.glow(x, y, size * 4.5)
    pen.oval(x, y, size * 0.5, size * 0.3, LAMP, lit=True)
    pen.fill(
        f"M {x - size * 0.35} {y - size} L {x + size * 0.35} {y - size} L {x + size} {y} L {x - size} {y} Z",
        shade,
        lit=pen.night,
    )


def pine(pen: Pen, x: float, base: float, height: float, colour: int) -> None:
    """A pine tree of three tiers."""
    pen.rect(x - height * 0.04, base - height * 0.15, x + height * 0.04, base, 0x5A4636)
    for low, high, half in ((0.1, 0.55, 0.24), (0.33, 0.78, 0.19), (0.58, 1.0, 0.14)):
        pen.fill(
            f"M {x} {base - height * high} L {x + height * half} {base - height * low} L "
            f"{x - height * half} {base - height * low} Z",
            colour,
        )


# --- places -------------------------------------------------------------------------------------------------


def _palm(pen: Pen, x: float, base: float, height: float) -> None:
    top = base - height
    pen.line(f"M {x} {base} Q {x - 0.05} {base - height * 0.5} {x - 0.02} {top}", 0x9A6B43, 0.045)
    for dx, dy, bend in (
        (-0.30, 0.02, -0.12),
        (-0.22, 0.17, -0.04),
        (0.30, 0.02, -0.12),
        (0.22, 0.17, -0.04),
        (-0.12, -0.12, -0.12),
        (0.14, -0.11, -0.12),
    ):
        cx = x - 0.02
        pen.fill(
            f"M {cx} {top} Q {cx + dx * 0.5} {top + bend} {cx + dx} {top + dy} Q {cx + dx * 0.45} "
            f"{top + bend * 0.2 + 0.06} {cx} {top + 0.03} Z",
            0x3E9A63 if dy > 0.1 else 0x2F8557,
        )


def beach(pen: Pen) -> None:
    """Turquoise sea, pale sand, palms and a coral parasol."""
    sky(pen, 0x7CC8F0, 0xDDF4F4, 0.5)
    if not pen.night:
        pen.oval(0.30, 0.15, 0.085, 0.085, 0xFFF3B0)
    for x in (-1.5, -0.32, 0.9, 1.9):
        cloud(pen, x, 0.24, 0.26)
    pen.band(0.49, 0.66, 0x1C8DB8, 0x5CCBCB)
    for x in (-1.2, -0.24, 1.15):
        pen.fill(f"M {x} .50 L {x} .39 L {x + 0.08} .49 Z", 0xFFFFFF)
        pen.fill(f"M {x - 0.05} .50 L {x + 0.1} .50 L {x + 0.07} .53 L {x - 0.03} .53 Z", 0xC9563C)
    pen.band(0.645, BOTTOM, 0xF8E7B9, 0xE5C483)
    pen.line(
        f"M {-EDGE} .65 Q -1.6 .67 -1.1 .65 Q -.5 .63 0 .65 Q .6 .67 1.2 .65 Q 1.8 .63 {EDGE} .65",
        0xFFFFFF,
        0.025,
    )
    for x in (-1.75, 0.50, 1.7):
        _palm(pen, x, 0.76, 0.52)
    for x in (-0.58, 1.05):
        pen.line(f"M {x} .45 L {x + 0.02} .84", 0xF4EEE2, 0.018)
        pen.fill(
            f"M {x - 0.2} .50 C {x - 0.18} .33 {x + 0.18} .33 {x + 0.2} .50 Q {x} .44 {x - 0.2} .50 Z",
            0xF0735A,
        )
        pen.fill(
            f"M {x - 0.07} .475 C {x - 0.06} .33 {x + 0.06} .33 {x + 0.07} .475 Q {x} .45 {x - 0.07} .475 Z",
            0xFBEBD5,
        )


def forest(pen: Pen) -> None:
    """Tall dark trunks around a misty light."""
    pen.band(TOP, 0.66, 0xA8CFB4, 0xE8F2D2)
    if pen.night:
        sky(pen, 0, 0, 0.66, (0.17, 0.2))
    for x in (-2.0, -1.45, -0.72, -0.20, 0.24, 0.70, 1.25, 1.75):
        pen.rect(x - 0.028, TOP, x + 0.028, 0.68, 0x8DB79A)
    pen.band(0.64, BOTTOM, 0x7FAE5C, 0x4E7F43)
    pen.fill("M -.1 .64 L .1 .64 C .12 .8 .32 1.0 .5 1.3 L -.5 1.3 C -.32 1.0 -.12 .8 -.1 .64 Z", 0xC9BE8A)
    for x, w in ((-2.1, 0.06), (-1.2, 0.075), (-0.40, 0.06), (0.42, 0.07), (1.0, 0.055), (1.95, 0.075)):
        pen.fill(
            f"M {x - w} {TOP} L {x + w} {TOP} L {x + w} .66 Q {x + w * 1.2} .74 {x + w * 1.9} .77 "
            f"L {x - w * 1.9} .77 Q {x - w * 1.2} .74 {x - w} .66 Z",
            0x5B4A3C,
        )
        pen.rect(x + w * 0.3, TOP, x + w, 0.70, 0x46382F)
    for x in np.arange(-2.3, 2.4, 0.42):
        low = 0.15 + 0.05 * np.cos(7 * x)
        pen.oval(float(x), 0.02, 0.27, float(low), 0x2E6B45)
    for x in np.arange(-2.1, 2.4, 0.6):
        pen.oval(float(x), -0.06, 0.3, 0.14, 0x245639)
    for x in (-1.7, -0.66, 0.72, 1.5):
        pen.fill(
            f"M {x - 0.2} .78 C {x - 0.22} .64 {x - 0.06} .62 {x} .66 C {x + 0.06} .6 {x + 0.22} .66 {x + 0.2} .78 Z",
            0x3F8550,
        )


def _cactus(pen: Pen, x: float, base: float, size: float) -> None:
    s = size
    text = (
        f"M {x} {base} L {x} {base - s} M {x} {base - s * 0.38} L {x + s * 0.3} {base - s * 0.40} L "
        f"{x + s * 0.3} {base - s * 0.72} "
        f"M {x} {base - s * 0.28} L {x - s * 0.28} {base - s * 0.30} L {x - s * 0.28} {base - s * 0.55}"
    )
    pen.line(text, 0x3F8A5E, s * 0.17)


def desert(pen: Pen) -> None:
    """Peach sky, terracotta mesas, dunes and cacti."""
    sky(pen, 0xF6B673, 0xFDE9C6, 0.6)
    if not pen.night:
        pen.oval(-0.20, 0.22, 0.12, 0.12, 0xFFF4D6)
    for x, w, h in ((-1.6, 0.5, 0.3), (-0.55, 0.30, 0.26), (0.42, 0.24, 0.32), (1.3, 0.45, 0.24)):
        pen.fill(f"M {x - w} .62 L {x - w * 0.72} {0.6 - h} L {x + w * 0.66} {0.6 - h} L {x + w} .62 Z", 0xC8623F)
        pen.fill(
            f"M {x + w * 0.2} .62 L {x + w * 0.3} {0.6 - h} L {x + w * 0.66} {0.6 - h} L {x + w} .62 Z",
            0xA94B35,
        )
    pen.band(0.57, BOTTOM, 0xF0B765, 0xD98F45)
    pen.fill(
        f"M {-EDGE} .72 C -1.6 .60 -.9 .62 -.3 .70 C .4 .79 1.2 .60 {EDGE} .68 L {EDGE} 1.4 L {-EDGE} 1.4 Z",
        0xE5A353,
    )
    pen.fill(
        f"M {-EDGE} .9 C -1.2 1.0 -.5 .76 .3 .84 C 1.0 .92 1.6 .84 {EDGE} .92 L {EDGE} 1.4 L {-EDGE} 1.4 Z",
        0xDB9447,
    )
    for x, base, size in ((-1.25, 0.8, 0.4), (-0.42, 0.72, 0.36), (0.62, 0.78, 0.44), (1.7, 0.74, 0.36)):
        _cactus(pen, x, base, size)


def mountains(pen: Pen) -> None:
    """White peaks, white ground, dark pines."""
    sky(pen, 0x86AEE6, 0xE3EEFB, 0.6)
    for x, w, top in ((-1.8, 0.7, 0.12), (-0.45, 0.55, 0.10), (0.40, 0.50, 0.04), (1.4, 0.75, 0.10)):
        pen.fill(f"M {x - w} .62 L {x} {top} L {x + w} .62 Z", 0x7089BD)
        pen.fill(f"M {x} {top} L {x + w} .62 L {x + w * 0.15} .62 Z", 0x566EA6)
        h = 0.62 - top
        pen.fill(
            f"M {x} {top} L {x + w * 0.42} {top + h * 0.42} L {x + w * 0.2} {top + h * 0.34} L "
            f"{x + w * 0.04} {top + h * 0.46} "
            f"L {x - w * 0.16} {top + h * 0.34} L {x - w * 0.42} {top + h * 0.42} Z",
            0xFFFFFF,
        )
    pen.fill(
        f"M {-EDGE} .64 C -1.4 .54 -.8 .63 -.2 .60 C .5 .55 1.2 .64 {EDGE} .58 L {EDGE} .7 L {-EDGE} .7 Z",
        0xFBFDFF,
    )
    pen.band(0.66, BOTTOM, 0xFBFDFF, 0xBFD1EC)
    for x, base, height in (
        (-2.0, 0.74, 0.5),
        (-1.1, 0.72, 0.4),
        (-0.56, 0.76, 0.52),
        (-0.27, 0.68, 0.26),
        (0.34, 0.69, 0.30),
        (0.66, 0.77, 0.55),
        (1.2, 0.72, 0.42),
        (1.9, 0.75, 0.5),
    ):
        pine(pen, x, base, height, 0x2C6470)


def _tower(pen: Pen, x0: float, x1: float, top: float, wall: int, row: int) -> None:
    pen.rect(x0, top, x1, 0.66, wall)
    pen.rect(x1 - (x1 - x0) * 0.18, top, x1, 0.66, mix(wall, 0x20243C, 0.22))
    count = max(2, int((x1 - x0) / 0.13))
    step = (x1 - x0) / count
    for level in range(4):
        y = top + 0.05 + level * 0.125
        for column in range(count):
            if y + 0.08 < 0.6:
                lit = pen.night and (row + level * 2 + column * 3) % 4 != 0
                x = x0 + (column + 0.28) * step
                pen.rect(x, y, x + step * 0.48, y + 0.075, LAMP if lit else 0xDDE6EE, lit=lit)


def street(pen: Pen) -> None:
    """Towers with large windows, a pavement, a zebra crossing and lamp posts."""
    sky(pen, 0xA9C0DC, 0xE9EEF2, 0.62)
    towers = (
        (-2.4, -1.95, 0.12, 0x7A8BAF),
        (-1.93, -1.5, 0.26, 0xB0857A),
        (-1.48, -1.02, 0.06, 0x5C6F96),
        (-1.0, -0.58, 0.22, 0x8F9BB5),
        (-0.56, -0.16, 0.07, 0x5F729B),
        (-0.14, 0.13, 0.33, 0xBC8B7C),
        (0.15, 0.60, 0.12, 0x7587AE),
        (0.62, 1.0, 0.02, 0xA9A3A8),
        (1.02, 1.5, 0.2, 0x5F729B),
        (1.52, 1.9, 0.08, 0xB0857A),
        (1.92, 2.4, 0.25, 0x7587AE),
    )
    for row, (x0, x1, top, wall) in enumerate(towers):
        _tower(pen, x0, x1, top, wall, row)
    pen.band(0.64, 0.71, 0xC9C5C2, 0xB7B3B4)
    pen.band(0.71, BOTTOM, 0x74757F, 0x5C5D69)
    for i in range(-8, 9):
        pen.fill(
            f"M {i * 0.20 - 0.05} .80 L {i * 0.20 + 0.05} .80 L {i * 0.27 + 0.075} 1.0 L {i * 0.27 - 0.075} 1.0 Z",
            0xEDEBE6,
        )
    for x in (-1.55, -0.36, 0.44, 1.55):
        pen.rect(x - 0.012, 0.22, x + 0.012, 0.71, 0x3B4152)
        if pen.night:
            pen.glow(x, 0.2, 0.2)
        pen.rect(x - 0.035, 0.15, x + 0.035, 0.23, LAMP if pen.night else 0xFFF2CF, lit=True, round_=0.02)


def kitchen(pen: Pen) -> None:
    """Mint walls, white cupboards, a teal counter and copper lamps."""
    pen.band(TOP, 0.66, 0xC9EBD9, 0xA9D9C2)
    for x in (-2.05, -1.0, 0.56, 1.65):
        window(pen, x - 0.16, 0.14, x + 0.16, 0.42, 0xFFFAF0)
    for x in (-1.55, -0.36, 1.1):
        pen.rect(x - 0.28, TOP, x + 0.28, 0.27, 0xFFF8EA)
        pen.rect(x - 0.01, TOP, x + 0.01, 0.27, 0xD9CDB8)
        for knob in (-0.05, 0.05):
            pen.oval(x + knob, 0.21, 0.014, 0.014, 0xC98442)
        pen.rect(x - 0.28, 0.36, x + 0.28, 0.38, 0xB9763F)
        for dx, colour in ((-0.2, 0xE2664A), (-0.1, 0xF5C95B), (0.08, 0x4F9FB0), (0.19, 0xE2664A)):
            pen.rect(x + dx - 0.035, 0.295, x + dx + 0.035, 0.36, colour, round_=0.012)
    pen.band(0.70, BOTTOM, 0xEAD0A2, 0xD6B481)
    pen.rect(-EDGE, 0.50, EDGE, 0.73, 0x2F8C8A)
    pen.rect(-EDGE, 0.475, EDGE, 0.515, 0xCB8A50)
    for i in range(-7, 8):
        pen.rect(i * 0.34 - 0.14, 0.545, i * 0.34 + 0.14, 0.70, 0x46A5A0, round_=0.012)
    for i in range(-7, 8):
        pen.fill(f"M {i * 0.42} .76 L {i * 0.46 + 0.2} .87 L {i * 0.52} 1.0 L {i * 0.46 - 0.2} .87 Z", 0xF6E6C6)
    for x in (-1.25, -0.02, 0.30, 1.4):
        lamp(pen, x, 0.17, 0.075, 0xD9743A)


_BOOKS = (0x9C3B36, 0xD9A34A, 0x3F6B5C, 0xE6D3AC, 0x42567F, 0xB9683A, 0x6E8F6A, 0x7A3F4E)


def library(pen: Pen) -> None:
    """Shelves of broad, many-coloured books, and a green rug."""
    pen.band(TOP, 0.72, 0x55352A, 0x55352A)
    for row in range(6):
        shelf = 0.70 - row * 0.185
        for column in range(-26, 27):
            mark = (column * 7 + row * 5 + column * column) % 8
            height = 0.115 + 0.012 * (mark % 4)
            x = column * 0.088 + 0.01 * row
            pen.rect(x, shelf - height, x + 0.078, shelf, _BOOKS[mark])
        pen.rect(-EDGE, shelf, EDGE, shelf + 0.025, 0xB27C4C)
    for x in (-2.1, -1.28, -0.46, 0.46, 1.28, 2.1):
        pen.rect(x - 0.035, TOP, x + 0.035, 0.73, 0xC08A58)
        if pen.night:
            pen.glow(x, 0.24, 0.24)
        pen.oval(x, 0.24, 0.04, 0.05, LAMP if pen.night else 0xFFF0C2, lit=True)
    pen.band(0.725, BOTTOM, 0xA86F42, 0x8C5933)
    pen.oval(0.0, 0.92, 0.85, 0.13, 0x3D7A5F)
    pen.oval(0.0, 0.92, 0.74, 0.10, 0x55977A)


def _train_view(pen: Pen, x: float) -> None:
    canvas = pen.canvas
    canvas.save()
    canvas.clipRRect(skia.RRect.MakeRectXY(skia.Rect(x - 0.40, 0.10, x + 0.40, 0.50), 0.05, 0.05), True)
    canvas.translate(x, 0)
    sky(pen, 0x8CCBEA, 0xE6F3EC, 0.5, (0.24, 0.2))
    pen.fill("M -.5 .42 C -.3 .26 -.1 .3 .05 .36 C .2 .24 .4 .3 .5 .38 L .5 .6 L -.5 .6 Z", 0x86BE84)
    pen.fill("M -.5 .44 C -.2 .38 0 .46 .2 .42 C .35 .39 .45 .42 .5 .43 L .5 .6 L -.5 .6 Z", 0x5B9E5E)
    canvas.restore()


def train(pen: Pen) -> None:
    """A compartment: a wide window on green hills, mustard curtains, crimson seats."""
    pen.band(TOP, 0.75, 0xF5E8CB, 0xE7D3AA)
    pen.band(0.58, 0.78, 0xA9693C, 0x8E5530)
    pen.band(TOP, 0.035, 0x9C6238, 0xA9693C)
    for x in (-2.1, -1.05, 0.0, 1.05, 2.1):
        pen.rect(x - 0.43, 0.07, x + 0.43, 0.53, 0x7E4C2C, round_=0.07)
        _train_view(pen, x)
        for side in (-1, 1):
            a, b = x + side * 0.40, x + side * 0.25
            pen.fill(
                f"M {a} .09 L {b} .09 C {b} .25 {a - side * 0.07} .3 {a - side * 0.04} .36 "
                f"C {a - side * 0.08} .42 {a - side * 0.09} .48 {a - side * 0.09} .51 L {a} .51 Z",
                0xE0A532,
            )
        if pen.night:
            pen.glow(x + 0.525, 0.2, 0.22)
        pen.oval(x + 0.525, 0.2, 0.035, 0.045, LAMP, lit=True)
    pen.band(0.78, BOTTOM, 0x7A6A68, 0x5E5052)
    for x in (-1.62, -0.53, 0.53, 1.62):
        pen.rect(x - 0.16, 0.36, x + 0.16, 0.90, 0x8E2F3C, round_=0.05)
        pen.rect(x - 0.13, 0.39, x + 0.13, 0.66, 0xB04350, round_=0.04)
        pen.rect(x - 0.19, 0.66, x + 0.19, 0.80, 0xC25560, round_=0.04)


def _boat(pen: Pen, x: float, size: float, sail: int, hull: int) -> None:
    s = size
    pen.line(f"M {x} .56 L {x} {0.56 - s}", 0x6A5140, 0.016)
    pen.fill(
        f"M {x + 0.015} {0.55 - s * 0.96} Q {x + s * 0.52} {0.55 - s * 0.5} {x + s * 0.5} "
        f"{0.55 - s * 0.14} L {x + 0.015} {0.55 - s * 0.14} Z",
        sail,
    )
    pen.fill(
        f"M {x - 0.015} {0.55 - s * 0.86} L {x - 0.015} {0.55 - s * 0.14} L {x - s * 0.36} {0.55 - s * 0.14} Z",
        mix(sail, 0xFFFFFF, 0.45),
    )
    pen.fill(
        f"M {x - s * 0.5} .54 L {x + s * 0.6} .54 L {x + s * 0.42} {0.54 + s * 0.2} L {x - s * 0.36} "
        f"{0.54 + s * 0.2} Z",
        hull,
    )


def harbour(pen: Pen) -> None:
    """A rosy sky, sails, a striped lighthouse and a pier."""
    sky(pen, 0xB9C7E6, 0xFBD9CB, 0.55, (0.0, 0.14))
    for x in (-1.1, 0.75, 1.75):
        pen.fill(f"M {x - 0.06} .56 L {x - 0.04} .12 L {x + 0.04} .12 L {x + 0.06} .56 Z", 0xF8F3EC)
        pen.fill(f"M {x - 0.054} .42 L {x - 0.048} .30 L {x + 0.048} .30 L {x + 0.054} .42 Z", 0xD94F45)
        pen.rect(x - 0.05, 0.03, x + 0.05, 0.12, 0xFFE9A8, lit=pen.night)
        pen.fill(f"M {x - 0.065} .04 L {x} -.04 L {x + 0.065} .04 Z", 0xD94F45)
        if pen.night:
            pen.glow(x, 0.08, 0.28)
        pen.fill(f"M {x - 0.28} .57 C {x - 0.2} .5 {x + 0.2} .5 {x + 0.28} .57 Z", 0x6E7C7A)
    pen.band(0.55, 0.78, 0x3C87A8, 0x1F5F86)
    for y, x0 in ((0.60, -1.9), (0.63, -0.1), (0.66, 0.9), (0.69, -0.7)):
        for k in range(3):
            pen.rect(x0 + k * 0.85, y, x0 + k * 0.85 + 0.22, y + 0.014, 0x79B7CB, round_=0.007)
    for x, size, sail, hull in (
        (-1.7, 0.4, 0xF4EADB, 0x33506E),
        (-0.36, 0.46, 0xF6EBDB, 0xB8463C),
        (0.36, 0.36, 0xF2A65A, 0x2E5873),
        (1.25, 0.44, 0xF6EBDB, 0xB8463C),
    ):
        _boat(pen, x, size, sail, hull)
    pen.band(0.74, BOTTOM, 0xC19368, 0x9D734D)
    pen.rect(-EDGE, 0.73, EDGE, 0.755, 0xD8AE82)
    for i in range(-9, 10):
        pen.fill(
            f"M {i * 0.22 - 0.008} .755 L {i * 0.22 + 0.008} .755 L {i * 0.34 + 0.014} 1.3 L {i * 0.34 - 0.014} 1.3 Z",
            0x87613F,
        )
    for x in (-1.3, -0.52, 0.55, 1.4):
        pen.rect(x - 0.035, 0.64, x + 0.035, 0.79, 0x6B4A34, round_=0.015)
        pen.rect(x - 0.042, 0.63, x + 0.042, 0.66, 0xE9DFCF, round_=0.01)


def field(pen: Pen) -> None:
    """Golden wheat under a vivid sky, a red barn and a windmill."""
    sky(pen, 0x4FA3E3, 0xCFEAF7, 0.57)
    for x, y, size in (
        (-1.7, 0.22, 0.5),
        (-0.26, 0.24, 0.42),
        (0.34, 0.13, 0.30),
        (1.15, 0.25, 0.52),
        (2.0, 0.16, 0.4),
    ):
        cloud(pen, x, y, size)
    pen.fill(
        f"M {-EDGE} .56 C -1.5 .46 -1.0 .54 -.4 .53 C .3 .50 .8 .56 1.2 .5 C 1.7 .46 2.1 .52 {EDGE} .5 "
        f"L {EDGE} .7 L {-EDGE} .7 Z",
        0x6FA25A,
    )
    for x in (-1.2, 0.42, 1.85):
        pen.fill(f"M {x - 0.045} .55 L {x - 0.03} .30 L {x + 0.03} .30 L {x + 0.045} .55 Z", 0xF6EEDF)
        pen.line(f"M {x - 0.13} .17 L {x + 0.13} .41 M {x - 0.13} .41 L {x + 0.13} .17", 0x8A5A3C, 0.022)
    for x in (-0.48, 1.4):
        pen.rect(x - 0.15, 0.40, x + 0.15, 0.57, 0xB83E33)
        pen.fill(f"M {x - 0.18} .41 L {x - 0.1} .30 L {x + 0.1} .30 L {x + 0.18} .41 Z", 0x7C4A44)
        pen.rect(x - 0.045, 0.46, x + 0.045, 0.57, LAMP if pen.night else 0xF7EBD9, lit=pen.night)
    pen.band(0.56, BOTTOM, 0xF2C84B, 0xCE9127)
    for i in range(-12, 13):
        pen.fill(f"M {i * 0.16} .57 L {i * 0.16 + 0.05} .57 L {i * 0.55 + 0.17} 1.3 L {i * 0.55} 1.3 Z", 0xDDA535)
    for i in range(-24, 25):
        x = i * 0.1 + 0.03 * (i % 3)
        pen.oval(x, 0.60, 0.036, 0.055, 0xF7D86A if i % 2 else 0xE5B53E)


_BRICKS = "22 8 34 20 20 36 50 4 30 50 62 30 95 10 130 30 100 66 160 10 190 50"  # x and y, hundredths


def _brick_wall(pen: Pen, side: int) -> None:
    """One wall of the alley with a few large bricks; `side` is -1 or 1."""
    wall, dark = (0xB95B42, 0x9A4636) if side < 0 else (0xA04C39, 0x823A30)
    pen.fill(f"M {side * 0.13} {TOP} L {side * 0.13} .63 L {side * EDGE} 1.35 L {side * EDGE} {TOP} Z", wall)
    numbers = [int(word) / 100 for word in _BRICKS.split()]
    for number, (x, y) in enumerate(zip(numbers[::2], numbers[1::2], strict=True)):
        w, h = 0.07 + 0.05 * x, 0.03 + 0.025 * x
        colour = dark if number % 3 else mix(wall, 0xF0B48A, 0.3)
        pen.rect(side * x - w / 2, y, side * x + w / 2, y + h, colour, round_=0.008)
    skirting = f"M {side * 0.13} .60 L {side * EDGE} 1.28 L {side * EDGE} 1.36 L {side * 0.13} .635 Z"
    pen.fill(skirting, 0x6E3A33)


def alley(pen: Pen) -> None:
    """Two brick walls that run to a bright gap, washing across it, a teal door."""
    pen.band(TOP, 0.6, 0xFBE3B5, 0xF9EFD8)
    if pen.night:
        sky(pen, 0, 0, 0.6, (0.03, 0.12))
    pen.rect(-0.16, 0.34, 0.16, 0.64, 0xD9B48F)
    pen.rect(-0.05, 0.42, 0.05, 0.52, LAMP if pen.night else 0x8FB2B8, lit=pen.night)
    pen.band(0.62, BOTTOM, 0xA39A98, 0x7F7678)
    for side in (-1, 1):
        _brick_wall(pen, side)
    pen.fill("M -.62 .36 L -.44 .40 L -.44 .76 L -.62 .84 Z", 0x2F8F93)
    pen.fill("M .44 .30 L .64 .24 L .64 .46 L .44 .48 Z", LAMP if pen.night else 0xF3E3C0, lit=pen.night)
    pen.fill(
        "M -1.4 .2 L -1.0 .26 L -1.0 .50 L -1.4 .52 Z M 1.1 .2 L 1.5 .14 L 1.5 .46 L 1.1 .48 Z",
        LAMP if pen.night else 0xF3E3C0,
        lit=pen.night,
    )
    pen.line("M -.60 .10 Q 0 .17 .60 .10", 0xF2E6D2, 0.012)
    for x, colour in ((-0.42, 0xF7F2E6), (-0.24, 0x5FA5B8), (0.16, 0xF7F2E6), (0.34, 0xF0C35A)):
        pen.fill(f"M {x - 0.07} .125 L {x + 0.07} .125 L {x + 0.06} .27 L {x - 0.06} .27 Z", colour)


def living_room(pen: Pen) -> None:
    """Rose walls, pictures, a plum sofa, a standard lamp and a plant."""
    pen.band(TOP, 0.7, 0xF3C6BA, 0xE6AC9E)
    pen.band(0.69, 0.72, 0xFBEDE2, 0xFBEDE2)
    pen.band(0.72, BOTTOM, 0xC68D5B, 0xA87145)
    for x, y, w, h, colour in (
        (-1.55, 0.24, 0.15, 0.18, 0x4E93A8),
        (-0.27, 0.22, 0.11, 0.13, 0x3F8C92),
        (0.25, 0.17, 0.12, 0.10, 0xE9B54A),
        (1.0, 0.24, 0.16, 0.14, 0x4E93A8),
    ):
        pen.rect(x - w - 0.02, y - h - 0.02, x + w + 0.02, y + h + 0.02, 0xFFF6E6)
        pen.rect(x - w, y - h, x + w, y + h, colour)
        pen.fill(
            f"M {x - w} {y + h} C {x - w * 0.3} {y - h * 0.2} {x + w * 0.2} {y + h * 0.3} {x + w} "
            f"{y - h * 0.3} L {x + w} {y + h} Z",
            mix(colour, 0xFFF2DC, 0.6),
        )
    for x in (-0.9, 1.6):
        window(pen, x - 0.18, 0.08, x + 0.18, 0.44, 0xFFF6E6)
    pen.rect(-0.66, 0.50, 0.66, 0.80, 0x5F4B84, round_=0.06)
    for x in (-0.70, 0.56):
        pen.rect(x, 0.57, x + 0.15, 0.84, 0x4E3D70, round_=0.05)
    pen.rect(-0.55, 0.66, 0.56, 0.80, 0x7661A0, round_=0.04)
    pen.oval(0.0, 0.95, 0.95, 0.10, 0xF1DFC2)
    for x in (0.72, -1.25, 1.9):
        pen.rect(x - 0.012, 0.34, x + 0.012, 0.86, 0x5A4A45)
        if pen.night:
            pen.glow(x, 0.30, 0.42)
        pen.fill(
            f"M {x - 0.06} .18 L {x + 0.06} .18 L {x + 0.11} .35 L {x - 0.11} .35 Z",
            LAMP if pen.night else 0xF7E2A6,
            lit=True,
        )
    for x in (-0.47, 1.25):
        _house_plant(pen, x)


def _house_plant(pen: Pen, x: float) -> None:
    """Five long leaves in a pale pot."""
    for dx, top in ((-0.13, 0.36), (-0.06, 0.27), (0.02, 0.23), (0.09, 0.30), (0.14, 0.40)):
        pen.fill(
            f"M {x} .68 Q {x + dx * 1.5} {top + 0.16} {x + dx} {top} Q {x + dx * 0.3} {top + 0.16} {x} .68 Z",
            0x3F8F5F,
        )
    pen.fill(f"M {x - 0.07} .66 L {x + 0.07} .66 L {x + 0.05} .82 L {x - 0.05} .82 Z", 0xF4EAD8)


def garden(pen: Pen) -> None:
    """Pink blossom, round hedges and a pale path."""
    sky(pen, 0xBFE8F2, 0xF2FBEA, 0.6)
    for x in np.arange(-2.3, 2.4, 0.38):
        pen.oval(float(x), 0.60, 0.26, float(0.13 + 0.03 * np.sin(9 * x)), 0xA8D67E)
    pen.band(0.62, BOTTOM, 0x9CCB63, 0x6FA94B)
    for x, s in ((-1.85, 1.1), (-1.0, 0.8), (-0.46, 1.0), (0.44, 0.9), (1.1, 1.1), (1.8, 0.85)):
        pen.line(f"M {x} .74 L {x} .36 M {x} .5 L {x + 0.1 * s} .38 M {x} .46 L {x - 0.1 * s} .34", 0x7A5346, 0.035)
        for dx, dy, r, colour in (
            (-0.15, 0.06, 0.13, 0xEE8FB0),
            (0.16, 0.08, 0.12, 0xEE8FB0),
            (0, -0.04, 0.16, 0xF7B3C8),
            (0.05, 0.14, 0.11, 0xF9C6D5),
            (-0.09, -0.03, 0.09, 0xFBD3DE),
        ):
            pen.oval(x + dx * s, 0.24 + dy * s, r * s, r * s, colour)
    pen.fill("M -.09 .62 L .09 .62 C .1 .8 .3 1.0 .42 1.3 L -.42 1.3 C -.3 1.0 -.1 .8 -.09 .62 Z", 0xF4E6C4)
    for x in (-1.7, -1.15, -0.62, -0.26, 0.28, 0.66, 1.3, 1.95):
        pen.oval(x, 0.70, 0.15, 0.085, 0x58994A)
        for dx, dy, colour in (
            (-0.08, -0.03, 0xFFF3D0),
            (0.0, -0.05, 0xF2699B),
            (0.08, -0.02, 0xFFD95C),
            (-0.03, 0.02, 0xFFF3D0),
        ):
            pen.oval(x + dx, 0.70 + dy, 0.024, 0.024, colour)
    if pen.night:
        for x in np.arange(-1.9, 2.0, 0.38):
            pen.glow(float(x), 0.5, 0.11)
            pen.oval(float(x), 0.5, 0.02, 0.024, LAMP, lit=True)


def theatre(pen: Pen) -> None:
    """Red curtains in folds, a golden pelmet, boards and footlights."""
    pen.band(TOP, 0.72, 0xA81E2E, 0x8C1526)
    for i in range(-17, 18):
        x = i * 0.14
        pen.fill(f"M {x} {TOP} L {x + 0.055} {TOP} L {x + 0.06} .72 L {x - 0.01} .72 Z", 0x74101F)
        pen.fill(f"M {x + 0.075} {TOP} L {x + 0.105} {TOP} L {x + 0.11} .72 L {x + 0.075} .72 Z", 0xC9394A)
    pen.band(0.69, 0.725, 0xE2AE48, 0xC98F30)
    for i in range(-8, 9):
        x = i * 0.30
        pen.fill(
            f"M {x - 0.15} {TOP} L {x + 0.15} {TOP} L {x + 0.15} .06 Q {x} .24 {x - 0.15} .06 Z",
            0x9C1A2B if i % 2 else 0xB32538,
        )
        pen.line(f"M {x - 0.15} .06 Q {x} .24 {x + 0.15} .06", 0xF0C05A, 0.026)
    pen.band(0.725, BOTTOM, 0xD59C5E, 0xB3793F)
    pen.oval(0.0, 0.90, 0.62, 0.12, 0xF3CF94, 0.8, lit=pen.night)
    if pen.night:
        pen.fill(f"M -.10 {TOP} L .10 {TOP} L .60 .9 L -.60 .9 Z", 0xFFE7B0, 0.20, lit=True)
    for i in range(-9, 10):
        if pen.night:
            pen.glow(i * 0.24, 1.0, 0.10)
        pen.oval(i * 0.24, 1.0, 0.045, 0.03, LAMP, lit=True)


INDOORS = frozenset({"kitchen", "library", "train", "living room", "theatre"})
PLACE_PAINTERS: dict[str, Callable[[Pen], None]] = {
    "beach": beach,
    "forest": forest,
    "desert": desert,
    "mountains": mountains,
    "street": street,
    "kitchen": kitchen,
    "library": library,
    "train": train,
    "harbour": harbour,
    "field": field,
    "alley": alley,
    "living room": living_room,
    "garden": garden,
    "theatre": theatre,
}


# --- the figure: outlines in body heights -------------------------------------------------------------------

TORSOS = {
    ("man", "shirt"): mirrored(
        "M -.036 .205 C -.070 .220 -.116 .222 -.124 .268 C -.118 .34 -.098 .40 -.096 .46 L -.094 .545"
    ),
    ("man", "sweater"): mirrored(
        "M -.036 .205 C -.074 .220 -.120 .222 -.128 .268 C -.122 .34 -.104 .40 -.102 .46 L -.098 .56"
    ),
    ("man", "coat"): mirrored(
        "M -.036 .203 C -.074 .216 -.124 .220 -.132 .268 C -.126 .34 -.106 .40 -.104 .46 L -.122 .72"
    ),
    ("woman", "sweater"): mirrored(
        "M -.032 .205 C -.060 .222 -.098 .224 -.106 .265 C -.102 .33 -.078 .37 -.076 .42 C -.078 .47 "
        "-.094 .50 -.094 .55"
    ),
    ("woman", "coat"): mirrored(
        "M -.032 .203 C -.062 .218 -.102 .222 -.110 .265 C -.106 .33 -.080 .37 -.078 .42 C -.082 .52 "
        "-.112 .60 -.124 .73"
    ),
    ("woman", "dress"): mirrored(
        "M -.040 .212 C -.062 .222 -.094 .226 -.102 .265 C -.098 .33 -.070 .37 -.068 .42 C -.076 .52 "
        "-.130 .62 -.148 .75"
    ),
}
FACES = {
    "man": mirrored(
        "M -.030 .028 C -.048 .032 -.058 .048 -.060 .070 C -.063 .110 -.062 .140 -.050 .164 C -.038 "
        ".186 -.016 .191 .0 .191"
    ),
    "woman": mirrored(
        "M -.030 .028 C -.046 .032 -.056 .048 -.058 .070 C -.062 .112 -.058 .138 -.044 .162 C -.030 "
        ".182 -.012 .191 .0 .191"
    ),
}
_CURLS = "".join(
    f" O {x} {y} {r} {r}"
    for x, y, r in (
        (0, 0.025, 0.042),
        (-0.045, 0.035, 0.042),
        (0.045, 0.035, 0.042),
        (-0.076, 0.075, 0.040),
        (0.076, 0.075, 0.040),
        (-0.086, 0.120, 0.040),
        (0.086, 0.120, 0.040),
        (-0.078, 0.165, 0.038),
        (0.078, 0.165, 0.038),
        (0, 0.09, 0.07),
    )
)
_CURL_FRINGE = "".join(
    f" O {x} {y} {r} {r}"
    for x, y, r in (
        (-0.052, 0.060, 0.026),
        (-0.022, 0.048, 0.028),
        (0.014, 0.046, 0.028),
        (0.047, 0.058, 0.027),
        (-0.066, 0.088, 0.020),
        (0.066, 0.088, 0.020),
        (-0.03, 0.03, 0.035),
        (0.03, 0.03, 0.035),
    )
)
_SLEEK = (
    "M -.070 .112 C -.080 .03 -.052 .002 0 .002 C .052 .002 .080 .03 .070 .112 C .066 .12 .060 .12 .057 "
    ".108 C .054 .082 .034 .058 .012 .050 "
    "C -.02 .066 -.050 .078 -.057 .108 C -.060 .12 -.066 .12 -.070 .112 Z"
)
HAIR_FRONTS = {
    "short": "M -.069 .112 C -.080 .04 -.060 0 0 -.003 C .060 0 .080 .04 .069 .112 L .059 .104 C .058 "
    ".080 .052 .066 .034 .060 "
    "C 0 .052 -.034 .056 -.050 .066 C -.056 .078 -.058 .09 -.059 .104 Z",
    "quiff": "M -.067 .106 C -.080 .05 -.078 .004 -.040 -.008 C .010 -.024 .088 -.020 .084 .030 C .082 "
    ".056 .070 .076 .067 .106 L .058 .098 "
    "C .057 .076 .050 .064 .030 .058 C -.010 .056 -.044 .058 -.058 .098 Z",
    "crop": "M -.067 .100 C -.072 .03 -.052 .006 0 .004 C .052 .006 .072 .03 .067 .100 L .058 .094 C "
    ".057 .08 .055 .07 .050 .064 Q 0 .052 -.050 .064 "
    "C -.055 .07 -.057 .08 -.058 .094 Z",
    "swept": "M -.070 .130 C -.088 .03 -.052 -.008 .010 -.008 C .074 -.006 .090 .05 .071 .130 L .060 "
    ".124 C .061 .09 .052 .07 .036 .046 "
    "C .014 .068 -.028 .082 -.056 .078 L -.060 .124 Z",
    "long": "M .008 -.004 C .060 -.004 .088 .03 .088 .10 C .088 .16 .100 .22 .090 .285 Q .076 .305 .060 "
    ".285 C .070 .22 .056 .16 .056 .115 "
    "C .052 .085 .036 .062 .008 .044 C -.026 .062 -.052 .085 -.056 .115 C -.056 .16 -.070 .22 -.060 "
    ".285 Q -.076 .305 -.090 .285 "
    "C -.100 .22 -.088 .16 -.088 .10 C -.088 .03 -.056 -.004 .008 -.004 Z",
    "bob": "M -.088 .186 C -.104 .05 -.064 -.005 0 -.005 C .064 -.005 .104 .05 .088 .186 Q .072 .200 "
    ".054 .186 C .060 .14 .058 .11 .055 .074 "
    "Q 0 .086 -.055 .074 C -.058 .11 -.060 .14 -.054 .186 Q -.072 .200 -.088 .186 Z",
    "bun": _SLEEK,
    "ponytail": _SLEEK,
    "curly": _CURL_FRINGE,
}
HAIR_BACKS = {
    "long": "M 0 -.002 C .07 -.002 .090 .05 .090 .11 C .090 .19 .104 .24 .094 .29 Q .06 .33 .03 .30 L "
    "-.03 .30 Q -.06 .33 -.094 .29 "
    "C -.104 .24 -.090 .19 -.090 .11 C -.090 .05 -.07 -.002 0 -.002 Z",
    "bob": "M -.080 .05 L .080 .05 L .080 .19 Q 0 .22 -.080 .19 Z",
    "bun": "O 0 -.004 .038 .034",
    "ponytail": "M -.045 .03 C -.125 .01 -.140 .10 -.122 .20 C -.118 .27 -.100 .30 -.082 .285 C -.094 "
    ".22 -.080 .12 -.040 .09 Z",
    "curly": _CURLS,
}
BEARD = (
    "M -.061 .112 C -.060 .142 -.050 .168 -.036 .184 C -.020 .198 .020 .198 .036 .184 C .050 .168 .060 "
    ".142 .061 .112 "
    "C .054 .132 .046 .142 .030 .139 C .014 .133 -.014 .133 -.030 .139 C -.046 .142 -.054 .132 -.061 .112 Z"
)
ARM_WIDTH = {"man": 0.058, "woman": 0.047}
SHOULDER = {"man": 0.099, "woman": 0.083}
# elbow and wrist of the left and the right arm, as (x, y) with x outwards
REST_ARMS = (
    (((0.128, 0.40), (0.120, 0.52)), ((0.128, 0.40), (0.120, 0.52))),
    (((0.185, 0.375), (0.100, 0.475)), ((0.126, 0.40), (0.118, 0.52))),
    (((0.128, 0.40), (0.030, 0.455)), ((0.128, 0.40), (0.030, 0.475))),
)
PROP_ARMS: dict[str, tuple[Point, Point]] = {
    "umbrella": ((0.150, 0.405), (0.108, 0.305)),
    "balloon": ((0.170, 0.390), (0.165, 0.275)),
    "lantern": ((0.185, 0.375), (0.160, 0.105)),
    "flowers": ((0.160, 0.395), (0.112, 0.280)),
    "trumpet": ((0.180, 0.340), (0.085, 0.190)),
}


# --- props: behind the figure, and before it ----------------------------------------------------------------


def umbrella_behind(pen: Pen) -> None:
    """The canopy, turquoise and ivory."""
    dome = "M -.235 .080 C -.225 -.08 -.06 -.155 .055 -.155 C .17 -.155 .335 -.08 .345 .080 "
    rim = (
        "Q .295 .045 .245 .080 Q .20 .045 .15 .080 Q .055 .03 -.04 .080 Q -.09 .045 -.135 .080 Q -.185 "
        ".045 -.235 .080 Z"
    )
    pen.shape(dome + rim, 0x17A8A5)
    pen.fill(
        "M -.135 .080 C -.13 -.04 -.02 -.13 .055 -.155 C .0 -.10 -.035 .0 -.04 .080 Q -.09 .045 -.135 .080 Z",
        0xFFF6E2,
    )
    pen.fill(
        "M .245 .080 C .24 -.04 .13 -.13 .055 -.155 C .11 -.10 .145 .0 .15 .080 Q .20 .045 .245 .080 Z",
        0xFFF6E2,
    )


def umbrella_before(pen: Pen) -> None:
    """The stick and its crook."""
    pen.line("M .098 .06 L .110 .36 Q .112 .39 .128 .385 Q .138 .38 .136 .365", 0x5B3A2A, 0.014)


def balloon_behind(pen: Pen) -> None:
    """A red balloon and its string."""
    pen.line("M .165 .275 Q .185 .20 .165 .12", 0xFFF6E6, 0.008)
    pen.shape("M .165 .125 L .148 .145 L .182 .145 Z", 0xC81E3A)
    pen.shape("O .165 .035 .082 .094", 0xEF2F4F, shade=0.205)
    pen.fill("O .137 .0 .016 .028", 0xFFFFFF, 0.65)


def lantern_before(pen: Pen) -> None:
    """A glowing lantern with a dark frame."""
    pen.glow(0.145, 0.165, 0.16, alpha=0.85)
    pen.line("M .112 .125 Q .145 .065 .178 .125", 0x3A3140, 0.010)
    pen.shape("M .105 .130 L .185 .130 L .192 .205 L .098 .205 Z", 0xFFE27A, lit=True)
    pen.fill("O .145 .170 .022 .030", 0xFFF9DC, lit=True)
    pen.shape(
        "M .112 .118 L .178 .118 L .190 .134 L .100 .134 Z M .094 .202 L .196 .202 L .190 .220 L .100 .220 Z",
        0x3A3140,
    )


def flowers_before(pen: Pen) -> None:
    """A bouquet in white paper."""
    pen.shape("O .082 .165 .034 .034 O .155 .165 .034 .034 O .118 .205 .04 .034", 0x3F9A57)
    pen.shape("M .068 .195 Q .118 .225 .168 .195 L .128 .315 L .108 .315 Z", 0xFFF8EA, shade=0.125)
    blooms = (
        (0.080, 0.140, 0xF25C9A),
        (0.120, 0.105, 0xFFD84D),
        (0.160, 0.140, 0xFF8FB7),
        (0.118, 0.160, 0xF25C9A),
        (0.088, 0.185, 0xFFD84D),
        (0.152, 0.186, 0xF25C9A),
    )
    for x, y, colour in blooms:
        pen.shape(f"O {x} {y} .027 .027", colour)
        pen.oval(x, y, 0.010, 0.010, 0xFFF6DC if colour != 0xFFD84D else 0xE88A2A)


def trumpet_before(pen: Pen) -> None:
    """A golden trumpet from the lips to the side."""
    pen.line("M .010 .158 L .140 .150", edge_of(0xF2BE3C), 0.018 + 2 * pen.key)
    pen.shape(
        "M .115 .141 C .145 .135 .160 .115 .172 .092 Q .190 .150 .176 .212 C .162 .185 .147 .165 .115 .161 Z",
        0xF2BE3C,
        shade=0.165,
    )
    pen.line("M .010 .158 L .140 .150", 0xF2BE3C, 0.018)
    pen.shape("M .050 .150 L .108 .147 Q .122 .165 .108 .184 L .056 .186 Q .040 .168 .050 .150 Z", 0xD9982A)
    for x in (0.062, 0.079, 0.096):
        pen.shape(f"M {x - 0.004} .128 L {x + 0.004} .128 L {x + 0.004} .150 L {x - 0.004} .150 Z", 0xFFE08A)


def hat_behind(pen: Pen) -> None:
    """The brim of a straw hat, pushed back, like a halo."""
    pen.shape("O 0 .048 .165 .060", 0xE3BE72)
    pen.fill("O 0 .056 .145 .046", 0xC79A50)


def hat_before(pen: Pen) -> None:
    """Its crown, with a teal ribbon."""
    pen.shape(
        "M -.078 .032 C -.082 -.02 -.066 -.056 0 -.058 C .066 -.056 .082 -.02 .078 .032 Q 0 .000 -.078 .032 Z",
        0xF2D48C,
        shade=0.035,
    )
    pen.fill("M -.078 .032 L -.080 .006 Q 0 -.028 .080 .006 L .078 .032 Q 0 .000 -.078 .032 Z", 0x1F7F86)


def parrot_before(pen: Pen) -> None:
    """A lime-green parrot with a blue wing."""
    pen.shape("M .104 .205 L .140 .205 L .152 .33 L .124 .33 Z", 0x2B74D9)
    pen.shape(
        "M .112 .050 C .155 .035 .172 .075 .166 .115 C .172 .165 .160 .225 .130 .228 C .098 .228 .086 "
        ".180 .092 .140 C .088 .10 .086 .062 .112 .050 Z",
        0x6CCB3C,
        shade=0.148,
    )
    pen.shape("M .128 .120 C .168 .125 .168 .185 .146 .222 C .122 .20 .112 .145 .128 .120 Z", 0x2B74D9)
    pen.shape("M .094 .070 C .066 .072 .066 .100 .080 .112 C .086 .100 .096 .098 .100 .096 Z", 0xFF9A2E)
    pen.fill("O .116 .078 .017 .017", 0xFFFFFF)
    pen.fill("O .112 .078 .009 .009", 0x1B1820)


PROPS_BEHIND: dict[str, Callable[[Pen], None]] = {
    "umbrella": umbrella_behind,
    "balloon": balloon_behind,
    "hat": hat_behind,
}
PROPS_BEFORE: dict[str, Callable[[Pen], None]] = {
    "umbrella": umbrella_before,
    "lantern": lantern_before,
    "flowers": flowers_before,
    "trumpet": trumpet_before,
    "hat": hat_before,
    "parrot": parrot_before,
}


# --- drawing a figure ---------------------------------------------------------------------------------------


def _legs(pen: Pen, person: Person, pose: Pose) -> None:
    spread = 0.012 + pose.stride
    bare = person.garment == "dress"
    colour = SKIN_INKS[person.skin] if bare else TROUSER_INKS[person.trousers]
    top, hip = (0.026, 0.052) if bare else (0.050, 0.046)
    foot = 0.016 if bare else 0.027
    for side in (-1, 1):
        x = side * (foot + spread)
        pen.shape(
            f"M {x - 0.022} .955 C {x - 0.024} .975 {x - 0.026 + side * 0.014} .985 "
            f"{x - 0.034 + side * 0.014} 1 L {x + 0.034 + side * 0.014} 1 "
            f"C {x + 0.026 + side * 0.014} .98 {x + 0.024} .975 {x + 0.022} .955 Z",
            0x33261F,
        )
        pen.shape(
            f"M {side * hip - top} .52 L {side * hip + top} .52 L {x + foot} .965 L {x - foot} .965 Z",
            colour,
            shade=x + foot * 0.35,
        )


def _coat_details(pen: Pen, colour: int) -> None:
    dark = edge_of(colour)
    pen.line("M .006 .30 L .010 .70", dark, 0.008)
    pen.shape(
        "M -.030 .198 L .006 .300 L -.058 .268 L -.052 .210 Z M .030 .198 L .006 .300 L .058 .268 L .052 .210 Z",
        mix(colour, 0xFFFFFF, 0.10),
    )
    for y in (0.345, 0.415, 0.485):
        pen.oval(0.028, y, 0.009, 0.009, dark)


def _garment_details(pen: Pen, person: Person, colour: int) -> None:
    """Collars, cuffs and hems: what tells a coat from a sweater, a shirt or a dress."""
    if person.garment == "coat":
        _coat_details(pen, colour)
    elif person.garment == "sweater":
        light = mix(colour, 0xFFFFFF, 0.14)
        pen.shape("M -.040 .190 Q 0 .204 .040 .190 L .046 .226 Q 0 .244 -.046 .226 Z", light, shade=0.018)
        half = 0.098 if person.who == "man" else 0.094
        pen.fill(f"M -{half} .53 L {half} .53 L {half} .555 L -{half} .555 Z", shadow_of(colour))
    elif person.garment == "shirt":
        pen.line("M 0 .25 L 0 .54", edge_of(colour), 0.006)
        pen.shape(
            "M -.036 .196 L 0 .246 L -.034 .266 L -.058 .214 Z M .036 .196 L 0 .246 L .034 .266 L .058 .214 Z",
            mix(colour, 0xFFFFFF, 0.14),
        )
        pen.fill("M -.094 .528 L .094 .528 L .094 .550 L -.094 .550 Z", 0x4A3628)
    else:
        pen.fill("M -.069 .405 L .069 .405 L .069 .432 L -.069 .432 Z", edge_of(colour))


def _neck(pen: Pen, person: Person) -> None:
    skin = SKIN_INKS[person.skin]
    half = 0.031 if person.who == "man" else 0.025
    pen.shape(
        f"M -{half} .15 L {half} .15 L {half} .205 C {half + 0.006} .218 {half + 0.02} .222 .05 .226 Q "
        f"0 .262 -.05 .226 "
        f"C -{half + 0.02} .222 -{half + 0.006} .218 -{half} .205 Z",
        shadow_of(skin),
    )


def _mouth(pen: Pen, person: Person, pose: Pose) -> None:
    lip = mix(SKIN_INKS[person.skin], 0xB3262E if person.who == "woman" else 0x6E2A26, 0.72)
    width = 0.009 if person.who == "woman" else 0.0065
    if pose.expression == "smile":
        pen.fill("M -.023 .150 Q 0 .157 .023 .150 Q .015 .172 0 .172 Q -.015 .172 -.023 .150 Z", lip)
        pen.fill("M -.017 .1525 Q 0 .158 .017 .1525 Q .010 .161 0 .161 Q -.010 .161 -.017 .1525 Z", 0xFFF8F0)
    elif pose.expression == "surprised":
        pen.fill("O 0 .160 .010 .012", lip)
    elif pose.expression == "serious":
        pen.line("M -.016 .158 L .018 .158", lip, width)
    else:
        pen.line("M -.020 .154 Q 0 .167 .020 .154", lip, width)


def _features(pen: Pen, person: Person, pose: Pose) -> None:
    """Cheeks, nose, eyes, brows and mouth, moved to the side of the gaze."""
    skin = SKIN_INKS[person.skin]
    pen.canvas.save()
    pen.canvas.translate(pose.gaze, 0.0)
    brow = mix(HAIR_INKS[person.hair_colour], 0x2A1E1C, 0.35)
    lift = -0.007 if pose.expression == "surprised" else 0.0
    weight = 0.009 if person.who == "man" else 0.0065
    for side in (-1, 1):
        pen.oval(side * 0.036, 0.142, 0.012, 0.009, 0xE8604C, 0.28)
        x = side * 0.027
        pen.oval(x, 0.113, 0.0135, 0.0120, 0xFFFDF8)
        pen.oval(x + pose.gaze * 0.35, 0.1135, 0.0085, 0.0100, 0x241A1E)
        pen.oval(x + pose.gaze * 0.35 - 0.003, 0.1095, 0.0028, 0.0030, 0xFFFFFF)
        if person.who == "woman":
            pen.line(f"M {x - 0.015} .108 Q {x} .097 {x + 0.015} .108", 0x241A1E, 0.005)
        inner = 0.001 if pose.expression == "serious" else -0.001
        pen.line(
            f"M {side * 0.013} {0.091 + lift + inner} Q {side * 0.028} {0.083 + lift} {side * 0.043} "
            f"{0.091 + lift - inner}",
            brow,
            weight,
        )
    pen.line("M .001 .118 Q .010 .133 .007 .138 Q .002 .141 -.004 .138", shadow_of(shadow_of(skin)), 0.006)
    _mouth(pen, person, pose)
    pen.canvas.restore()


def _head(pen: Pen, person: Person, pose: Pose, detailed: bool) -> None:
    skin, hair = SKIN_INKS[person.skin], HAIR_INKS[person.hair_colour]
    pen.shape("O -.062 .118 .012 .018 O .062 .118 .012 .018", skin)
    pen.shape(FACES[person.who], skin, shade=0.030)
    if person.beard:
        pen.fill(BEARD, hair)
    if detailed:
        _features(pen, person, pose)
    front = HAIR_FRONTS[person.hair_style]
    pen.shape(front, hair, shade=0.036)
    if detailed and person.hair_style != "curly":
        shine = mix(hair, 0xFFFFFF, 0.30)
        pen.line("M -.052 .040 Q -.040 .020 -.014 .014", shine, 0.009)


def _turned(pen: Pen, pose: Pose, part: Callable[[], None]) -> None:
    """Draws a part of the head with the head's tilt."""
    pen.canvas.save()
    pen.canvas.rotate(pose.tilt, 0.0, 0.19)
    part()
    pen.canvas.restore()


def _hair_back(pen: Pen, person: Person) -> None:
    back = HAIR_BACKS.get(person.hair_style)
    if back:
        pen.shape(
            back,
            shadow_of(HAIR_INKS[person.hair_colour])
            if person.hair_style in ("long", "bob")
            else HAIR_INKS[person.hair_colour],
        )


def _behind_head(pen: Pen, person: Person, hat: bool) -> None:
    if hat:
        hat_behind(pen)
    _hair_back(pen, person)


def _arm(pen: Pen, person: Person, side: int, elbow: Point, wrist: Point) -> None:
    """A sleeve from the shoulder over the elbow to the wrist, and a hand; `side` is -1 or 1."""
    colour, width = GARMENT_INKS[person.garment_colour], ARM_WIDTH[person.who]
    (ex, ey), (wx, wy) = elbow, wrist
    text = f"M {side * SHOULDER[person.who]} .258 L {side * ex} {ey} L {side * wx} {wy}"
    length = max(float(np.hypot(wx - ex, wy - ey)), 1e-6)
    hx, hy = wx + (wx - ex) / length * 0.026, wy + (wy - ey) / length * 0.026
    pen.shape(f"O {side * hx} {hy} .022 .024", SKIN_INKS[person.skin])
    pen.line(text, edge_of(colour, pen.night), width + 2 * pen.key)
    sleeve = shadow_of(colour) if side > 0 else colour
    pen.line(text, sleeve, width)
    pen.oval(side * (SHOULDER[person.who] - 0.016), 0.264, width * 0.5, width * 0.44, sleeve)  # no seam at the shoulder


def _arms(pen: Pen, person: Person, pose: Pose, prop: str | None) -> None:
    left, right = REST_ARMS[pose.arms]
    if prop in PROP_ARMS:
        left = REST_ARMS[min(pose.arms, 1)][0]
        right = PROP_ARMS[prop]
    if prop == "trumpet":
        left = ((0.150, 0.350), (-0.030, 0.200))
    for side, (elbow, wrist) in ((-1, left), (1, right)):
        held = prop in PROP_ARMS and (side == 1 or prop == "trumpet")
        sway = 0.0 if held else pose.sway
        _arm(pen, person, side, elbow, (wrist[0], wrist[1] + sway))


def _grip(pen: Pen, person: Person, prop: str) -> None:
    """The fingers over what the hand holds."""
    (ex, ey), (wx, wy) = PROP_ARMS[prop]
    length = float(np.hypot(wx - ex, wy - ey))
    pen.shape(
        f"O {wx + (wx - ex) / length * 0.026} {wy + (wy - ey) / length * 0.026} .021 .019",
        SKIN_INKS[person.skin],
    )


def _body(pen: Pen, person: Person, pose: Pose) -> None:
    colour = GARMENT_INKS[person.garment_colour]
    _legs(pen, person, pose)
    if person.garment in ("dress", "shirt"):
        pen.shape(TORSOS[person.who, person.garment], colour, shade=0.045)
        _neck(pen, person)
    else:
        _neck(pen, person)
        pen.shape(TORSOS[person.who, person.garment], colour, shade=0.045)
    _garment_details(pen, person, colour)


def figure(pen: Pen, person: Person, pose: Pose, prop: str | None, detailed: bool) -> None:
    """A person in body coordinates, from what is behind to what is before."""
    behind, before = PROPS_BEHIND.get(prop or ""), PROPS_BEFORE.get(prop or "")
    canvas, hat = pen.canvas, prop == "hat"
    canvas.save()
    canvas.scale(person.build, 1.0)
    if behind and not hat:
        behind(pen)
    _turned(pen, pose, lambda: _behind_head(pen, person, hat))
    _body(pen, person, pose)
    canvas.save()
    canvas.scale(1 / person.build, 1.0)
    _turned(pen, pose, lambda: _head(pen, person, pose, detailed))
    canvas.restore()
    _arms(pen, person, pose, prop)
    if before and hat:
        _turned(pen, pose, lambda: hat_before(pen))
    elif before:
        before(pen)
    if prop in PROP_ARMS:
        _grip(pen, person, prop)
    canvas.restore()


# --- the frame ----------------------------------------------------------------------------------------------

_HEADROOM = (
    (0.2, 0.06),
    (0.32, 0.08),
    (0.6, 0.105),
    (1.05, 0.12),
    (1.9, 0.36),
)  # distance, part of the frame above the crown
HIGH_PROPS = ("umbrella", "hat", "balloon")


@dataclass(frozen=True)
class Staging:
    """Where the first figure stands, in frame coordinates: crown at (x, top), `body` is its height."""

    x: float
    top: float
    body: float


def staging(shot: Shot) -> Staging:
    """The distance as a scale: `distance` bodies fit between the crown and the frame's lower edge."""
    distances, rooms = zip(*_HEADROOM, strict=True)
    top = float(np.interp(shot.distance, distances, rooms)) + shot.headroom
    top += 0.03 if shot.prop in HIGH_PROPS else 0.0
    return Staging(shot.offset, top, (1 - top) / shot.distance)


def _backdrop_picture(place: str, tone: Tone) -> skia.Picture:
    recorder = skia.PictureRecorder()
    bounds = skia.Rect(-EDGE, TOP, EDGE, BOTTOM)
    canvas = recorder.beginRecording(bounds)
    PLACE_PAINTERS[place](Pen(canvas, tone))
    return recorder.finishRecordingAsPicture()


_backdrop = lru_cache(maxsize=512)(_backdrop_picture)


def _lens(shot: Shot) -> skia.Matrix:
    """Place to frame: nearer shots enlarge what is behind, about a point on the ground line."""
    zoom = 1.07 * shot.distance**-0.3
    matrix = skia.Matrix()
    matrix.setScale(-zoom if shot.flip else zoom, zoom)
    matrix.postTranslate(shot.pan, 0.55 * (1 - zoom))
    return matrix


def soft_rows(distance: float) -> int:
    """The rows that the backdrop is drawn with before it is enlarged: the softness behind a near subject."""
    return 2 * int(32 * (distance / 0.25) ** 1.25)


def _blurred(surface: skia.Surface) -> skia.Image:
    """The surface's picture after a small blur, which hides the steps of its few rows."""
    result = skia.Surface(surface.width(), surface.height())
    paint = skia.Paint(ImageFilter=skia.ImageFilters.Blur(1.2, 1.2, skia.TileMode.kClamp))
    result.getCanvas().drawImage(surface.makeImageSnapshot(), 0, 0, skia.SamplingOptions(), paint)
    return result.makeImageSnapshot()


def _paint_backdrop(canvas: skia.Canvas, shot: Shot, left: int, width: int, height: int) -> None:
    night = "night-indoors" if shot.place in INDOORS else "night"
    picture = _backdrop(shot.place, Tone(shot.film.grade, night if shot.night else "day"))
    rows = soft_rows(shot.distance)
    if rows >= height:
        canvas.save()
        canvas.translate(-left, 0)
        canvas.scale(height, height)
        canvas.concat(_lens(shot))
        canvas.drawPicture(picture)
        canvas.restore()
        return
    # The small grid is anchored at the square's centre, so that square and wide frames agree.
    before = int(np.ceil(-left * rows / height)) + 3
    columns = before + int(np.ceil((left + width) * rows / height)) + 3
    small = skia.Surface(columns, rows + 6)
    inner = small.getCanvas()
    inner.translate(before, 3)
    inner.scale(rows, rows)
    inner.concat(_lens(shot))
    inner.drawPicture(picture)
    step = height / rows
    x0 = -left - before * step
    target = skia.Rect(x0, -3 * step, x0 + columns * step, (rows + 3) * step)
    sampling = skia.SamplingOptions(skia.CubicResampler.Mitchell())
    canvas.drawImageRect(_blurred(small), target, sampling)


def _stand(canvas: skia.Canvas, x: float, top: float, body: float, flip: bool, part: Callable[[], None]) -> None:
    """Draws a part in body coordinates at a place of the canvas; x, top and body are in pixels."""
    canvas.save()
    canvas.translate(x, top)
    canvas.scale(-body if flip else body, body)
    part()
    canvas.restore()


def _shadow(canvas: skia.Canvas, x: float, ground: float, body: float, pen: Pen) -> None:
    _stand(canvas, x, ground, body, False, lambda: pen.oval(0.03, 0.0, 0.17, 0.022, 0x2A2440, 0.32))


def _second(shot: Shot, stage: Staging) -> Staging:
    """The second person: to the viewer's right, a little behind, of their own height."""
    first, second = shot.people
    tall = {("man", "woman"): 0.955, ("woman", "man"): 1.035}.get((first.who, second.who), 0.99)
    apart = float(np.interp(shot.distance, (0.3, 1.0), (0.155, 0.25))) + 0.04 * shot.partner
    ground = stage.top + stage.body * 0.985
    body = stage.body * tall
    return Staging(stage.x + apart * stage.body, ground - body, body)


def _paint_person(canvas: skia.Canvas, shot: Shot, number: int, place: Staging, left: int, height: int) -> None:
    """The first (0) or second (1) person of a shot, with their shadow."""
    tone = Tone(shot.film.grade, "night-figure" if shot.night else "day")
    body = place.body * height
    pen = Pen(canvas, tone, key=(0.0032 + 0.0034 * min(place.body / 3, 1)) * height / body)
    x, top = place.x * height - left, place.top * height
    prop = shot.prop if number == 0 else None
    _shadow(canvas, x, top + body, body, pen)

    def part() -> None:
        figure(pen, shot.people[number], shot.poses[number], prop, detailed=body > 70)

    _stand(canvas, x, top, body, shot.mirror, part)


def _paint_people(canvas: skia.Canvas, shot: Shot, left: int, height: int, stage: Staging) -> None:
    if len(shot.people) > 1:
        _paint_person(canvas, shot, 1, _second(shot, stage), left, height)
    _paint_person(canvas, shot, 0, stage, left, height)


def window_left(shot: Shot, height: int, aspect: float) -> int:
    """The wide frame's left edge in pixels from the square's centre: the subject is central or at a third."""
    reach = max(0.0, min(aspect / 6, aspect / 2 - 0.5))
    return round((shot.window * reach - aspect / 2) * height)


def head_outline(person: Person) -> Box:
    """The head with its hair in body heights: (x0, y0, x1, y1)."""
    bounds = [path(FACES[person.who]).getBounds(), path(HAIR_FRONTS[person.hair_style]).getBounds()]
    if person.hair_style in ("bun", "curly"):
        bounds.append(path(HAIR_BACKS[person.hair_style]).getBounds())
    top = min(b.top() for b in bounds)
    half = max(b.right() for b in bounds)
    return -half, top, half, 0.191


def _boxes(shot: Shot, stage: Staging, left: int, height: int) -> tuple[Box, Box]:
    person = shot.people[0]
    x0, y0, x1, y1 = head_outline(person)
    half = 0.15 * person.build

    def pixels(a: float, b: float, c: float, d: float) -> Box:
        across = [(stage.x + v * stage.body) * height - left for v in (a, c)]
        down = [(stage.top + v * stage.body) * height for v in (b, d)]
        return across[0], down[0], across[1], down[1]

    return pixels(-half, y0, half, 1.0), pixels(x0, y0, x1, y1)


def draw(shot: Shot, height: int, aspect: float | None = None) -> Drawn:
    """One frame, `height` pixels high and `aspect` times as wide (None: the film's own).

    `aspect=1.0` is the square about the subject; it equals the square of a wider frame about the same point.
    """
    aspect = shot.film.aspect if aspect is None else aspect
    width = round(aspect * height)
    left = window_left(shot, height, aspect)
    pixels = np.zeros((height, width, 4), np.uint8)
    surface = skia.Surface(pixels, colorType=skia.kRGBA_8888_ColorType)
    canvas = surface.getCanvas()
    stage = staging(shot)
    _paint_backdrop(canvas, shot, left, width, height)
    _paint_people(canvas, shot, left, height, stage)
    subject, head = _boxes(shot, stage, left, height)
    return Drawn(np.ascontiguousarray(pixels[..., :3]), subject, head)
