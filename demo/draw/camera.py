"""Where things come to lie in a frame; nothing is painted here."""

from dataclasses import dataclass

import numpy as np
import skia

from demo.draw.head import head_outline
from demo.draw.pen import Box
from demo.world import Shot

# distance, part of the frame above the crown
_HEADROOM = (
    (0.2, 0.06),
    (0.32, 0.08),
    (0.6, 0.105),
    (1.05, 0.12),
    (1.9, 0.36),
)
HIGH_PROPS = ("umbrella", "hat", "balloon")


@dataclass(frozen=True)
class Staging:
    """Where a figure stands, in frame coordinates: crown at (x, top), `body` is its height."""

    x: float
    top: float
    body: float


def staging(shot: Shot) -> Staging:
    """The distance as a scale: `distance` bodies fit between the crown and the frame's lower edge."""
    distances, rooms = zip(*_HEADROOM, strict=True)
    top = float(np.interp(shot.distance, distances, rooms)) + shot.headroom
    top += 0.03 if shot.prop in HIGH_PROPS else 0.0
    return Staging(shot.offset, top, (1 - top) / shot.distance)


def second_staging(shot: Shot, stage: Staging) -> Staging:
    """The second person: to the viewer's right, a little behind, of their own height."""
    first, second = shot.people
    tall = {("man", "woman"): 0.955, ("woman", "man"): 1.035}.get((first.who, second.who), 0.99)
    apart = float(np.interp(shot.distance, (0.3, 1.0), (0.155, 0.25))) + 0.04 * shot.partner
    ground = stage.top + stage.body * 0.985
    body = stage.body * tall
    return Staging(stage.x + apart * stage.body, ground - body, body)


def lens(shot: Shot) -> skia.Matrix:
    """Place to frame: nearer shots enlarge what is behind, about a point on the ground line."""
    zoom = 1.07 * shot.distance**-0.3
    matrix = skia.Matrix()
    matrix.setScale(-zoom if shot.flip else zoom, zoom)
    matrix.postTranslate(shot.pan, 0.55 * (1 - zoom))
    return matrix


def soft_rows(distance: float) -> int:
    """The rows that the backdrop is drawn with before it is enlarged: the softness behind a near subject."""
    return 2 * int(32 * (distance / 0.25) ** 1.25)


def window_left(shot: Shot, height: int, aspect: float) -> int:
    """The wide frame's left edge in pixels from the square's centre: the subject is central or at a third."""
    reach = max(0.0, min(aspect / 6, aspect / 2 - 0.5))
    return round((shot.window * reach - aspect / 2) * height)


def boxes(shot: Shot, stage: Staging, left: int, height: int, number: int = 0) -> tuple[Box, Box]:
    """The boxes of the first person (0), or of the second standing at ``stage`` (1), and of their head, in pixels."""
    person = shot.people[number]
    x0, y0, x1, y1 = head_outline(person)
    half = 0.15 * person.build

    def pixels(a: float, b: float, c: float, d: float) -> Box:
        across = [(stage.x + v * stage.body) * height - left for v in (a, c)]
        down = [(stage.top + v * stage.body) * height for v in (b, d)]
        return across[0], down[0], across[1], down[1]

    return pixels(-half, y0, half, 1.0), pixels(x0, y0, x1, y1)
