"""Paths from text, and the pen that draws them on a skia canvas under a tone."""

from functools import lru_cache

import skia

from demo.draw.colour import LAMP, Tone, edge_of, graded, shadow_of

Box = tuple[float, float, float, float]  # x0, y0, x1, y1
Point = tuple[float, float]

EDGE = 2.4  # places are painted for x in [-EDGE, EDGE]
TOP, BOTTOM = -0.25, 1.3  # and for y from TOP to BOTTOM

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
