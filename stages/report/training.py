"""How training went: the numbers of ``reports/metrics/training.json``, and its part of the page.

Keys of ``training.json``: ``<shot type>.{loss,held_out.before,held_out.after,steps,frames,class_pictures}``. ``loss``
is the mean of the last ``LAST`` steps, weighed as it was trained on; the held-out loss weighs all time steps alike, so
the two are not to be compared. What has not been measured or recorded is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from dreamshot.params import ShotType
from stages.report import charts
from stages.report.records import Curve, Training

LAST = 20
POINTS = 200  # of a curve; a longer log is averaged over equal stretches
LOOKS = 6  # validation pictures in a row
COUNTS = ("frames", "class_pictures")  # as the record has them
DECIMALS = 6


def fact(training: Training) -> dict[str, Any]:
    """What training one shot type came to."""
    steps = training.loss[-1][0]
    held_out = dict(training.held_out)
    ends = {"before": held_out.get(0), "after": held_out.get(steps)}
    known = {key: round(value, DECIMALS) for key, value in ends.items() if value is not None}
    counts: dict[str, Any] = {key: value for key, value in training.record.items() if key in COUNTS}
    loss = float(np.mean([value for _, value in training.loss[-LAST:]]))
    return {"loss": round(loss, DECIMALS), "steps": steps, **counts, **({"held_out": known} if known else {})}


def facts(found: Mapping[ShotType, Training]) -> dict[str, Any]:
    """The content of ``training.json``."""
    return {shot_type: fact(training) for shot_type, training in found.items()}


# --- the page ---


def thinned(curve: Curve) -> Curve:
    """A curve of at most ``POINTS`` points: means over equal stretches, each at its last step."""
    stretch = -(-len(curve) // POINTS)
    parts = [curve[start : start + stretch] for start in range(0, len(curve), stretch)]
    return [(part[-1][0], float(np.mean([value for _, value in part]))) for part in parts]


def spread(steps: Sequence[int]) -> list[int]:
    """At most ``LOOKS`` of the steps, evenly, the first and the last among them."""
    if len(steps) <= LOOKS:
        return list(steps)
    return [steps[round(place * (len(steps) - 1) / (LOOKS - 1))] for place in range(LOOKS)]


def picture_key(shot_type: ShotType, step: int) -> str:
    """The key of a validation picture among the page's."""
    return f"training {shot_type} {step}"


def chart(kind: str, curve: Curve, x_axis: charts.Scale, y_axis: charts.Scale, label: str) -> Markup:
    """One curve by step."""
    points = [(float(step), value) for step, value in curve]
    return charts.lines({kind: points}, x_axis, y_axis, [f"{tick:g}" for tick in y_axis.ticks], label, height=96)


def around(curve: Curve, span: float) -> charts.Scale:
    """An axis of that span with the curve in its middle."""
    values = [value for _, value in curve]
    middle = (min(values) + max(values)) / 2
    return charts.scale([middle - span / 2, middle + span / 2], ticks=3, pad=0.25)


def panel(
    shot_type: ShotType, training: Training, x_axis: charts.Scale, y_axis: charts.Scale, span: float
) -> dict[str, Any]:
    """What the page shows of one shot type: ``y_axis`` is the loss's, ``span`` that of the held-out loss's own."""
    told, held_out = fact(training), training.held_out
    found: dict[str, Any] = {
        "shot_type": shot_type,
        "told": told,
        "loss": chart("loss", thinned(training.loss), x_axis, y_axis, f"training loss, at the end {told['loss']:.4f}"),
        "axis": charts.axis_row(x_axis, [f"{tick:g}" for tick in x_axis.ticks]),
        "pictures": [(step, picture_key(shot_type, step)) for step in spread(sorted(training.pictures))],
    }
    if held_out:
        label = "held-out loss: " + ", ".join(f"{value:.4f} after {step} steps" for step, value in held_out)
        found["held_out"] = chart("held-out", thinned(held_out), x_axis, around(held_out, span), label)
    return found


def panels(found: Mapping[ShotType, Training]) -> list[dict[str, Any]]:
    """A panel a shot type: the losses on one axis, the held-out losses on axes of one span."""
    if not found:
        return []
    thin = {shot_type: thinned(training.loss) for shot_type, training in found.items()}
    x_axis = charts.scale([0, *(step for curve in thin.values() for step, _ in curve)], pad=0.02)
    y_axis = charts.scale([0, *(value for curve in thin.values() for _, value in curve)], ticks=3, pad=0.05)
    levels = [[value for _, value in training.held_out] or [0.0] for training in found.values()]
    span = max(max(values) - min(values) for values in levels)
    return [panel(shot_type, training, x_axis, y_axis, span) for shot_type, training in found.items()]
