"""The places under the sky, a function each, in place coordinates."""

import numpy as np

from demo.draw.colour import LAMP, mix
from demo.draw.pen import BOTTOM, EDGE, TOP, Pen
from demo.draw.scenery import cloud, pine, sky


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
