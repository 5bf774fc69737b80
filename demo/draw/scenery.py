"""What places are made of: sky, cloud, window, lamp and pine, in place coordinates."""

from demo.draw.colour import LAMP, MOON
from demo.draw.pen import TOP, Pen, Point


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
