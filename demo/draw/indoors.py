"""The places under a roof, a function each, in place coordinates."""

import skia

from demo.draw.colour import LAMP, mix
from demo.draw.pen import BOTTOM, EDGE, TOP, Pen
from demo.draw.scenery import lamp, sky, window


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
