"""One frame: the backdrop through the lens, and before it the people with their shadows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import skia

from demo.draw.camera import Staging, boxes, lens, second_staging, soft_rows, staging, window_left
from demo.draw.colour import Tone
from demo.draw.figure import figure
from demo.draw.pen import BOTTOM, EDGE, TOP, Box, Pen
from demo.draw.places import INDOORS, PLACE_PAINTERS
from demo.world import Shot


@dataclass(frozen=True)
class Drawn:
    """A picture. `pixels` is (H, W, 3) uint8 RGB; boxes are (x0, y0, x1, y1) in its pixels, never clipped.

    Both boxes belong to the first person, without the prop; the head's box includes the hair.
    """

    pixels: np.ndarray
    subject_box: Box
    head_box: Box


def _backdrop_picture(place: str, tone: Tone) -> skia.Picture:
    recorder = skia.PictureRecorder()
    bounds = skia.Rect(-EDGE, TOP, EDGE, BOTTOM)
    canvas = recorder.beginRecording(bounds)
    PLACE_PAINTERS[place](Pen(canvas, tone))
    return recorder.finishRecordingAsPicture()


_backdrop = lru_cache(maxsize=512)(_backdrop_picture)


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
        canvas.concat(lens(shot))
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
    inner.concat(lens(shot))
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
        _paint_person(canvas, shot, 1, second_staging(shot, stage), left, height)
    _paint_person(canvas, shot, 0, stage, left, height)


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
    subject, head = boxes(shot, stage, left, height)
    return Drawn(np.ascontiguousarray(pixels[..., :3]), subject, head)


def people_boxes(shot: Shot, height: int, aspect: float | None = None) -> list[tuple[Box, Box]]:
    """The boxes of everybody in the frame that ``draw`` would draw, and of their heads: ``Drawn``'s for the first."""
    left = window_left(shot, height, shot.film.aspect if aspect is None else aspect)
    stage = staging(shot)
    stages = [stage, *(second_staging(shot, stage) for _ in shot.people[1:])]
    return [boxes(shot, place, left, height, number) for number, place in enumerate(stages)]
