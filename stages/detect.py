"""Where the square goes when a detector says what is in the frame.

A square has one way to go: along the frame's longer side. Every place on it is tried, and the best one is that which
holds, in this order, the weightiest whole heads, the most of everything found, and the weightiest thing in its middle.
What is large and surely found weighs most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from dreamshot.errors import StudyError
from dreamshot.models import load_detector
from dreamshot.params import Crop, Weights

HEADS = ("head", "face")
PERSON = "person"
HEAD_ACROSS, HEAD_DOWN = 0.5, 0.65  # a head's width and height in widths of its person's box, at the top in the middle
WHOLE = 0.999  # a head of which so much is kept is whole
ROUNDING = 1e-6  # of a share

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Found:
    """Something in the frame: its class in lower case, how sure it is (0 to 1), and (x0, y0, x1, y1) in pixels."""

    name: str
    score: float
    box: Box

    @property
    def weight(self) -> float:
        return self.score * (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def known(keep: Sequence[str], classes: Mapping[int, str]) -> dict[int, str]:
    """The numbers and names, in lower case, of the model's classes that are among ``keep``.

    Raises:
        StudyError: the model knows none of them.
    """
    wanted = {name.lower() for name in keep}
    found = {number: name.lower() for number, name in classes.items() if name.lower() in wanted}
    if not found:
        raise StudyError(f"crop.keep = {list(keep)}: the detector knows none of them; it knows {listed(classes)}")
    return found


def listed(classes: Mapping[int, str], most: int = 12) -> str:
    """The names of the first classes in one line."""
    names = [classes[number] for number in sorted(classes)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@lru_cache(maxsize=1)
def detector(weights: Weights) -> tuple[Any, Any]:
    """This process's processor and model; it computes on one thread, for the cores are shared out over frames."""
    import torch

    torch.set_num_threads(1)
    return load_detector(weights)


def find(pixels: np.ndarray, processor: Any, model: Any, params: Crop) -> list[Found]:
    """What the model sees of ``crop.keep`` in (height, width, 3) uint8 pixels, the surest first.

    Boxes end at the frame's edge.
    """
    import torch

    height, width = pixels.shape[:2]
    with torch.inference_mode():
        seen = model(**processor(images=pixels.copy(), return_tensors="pt", input_data_format="channels_last"))
    sizes = torch.tensor([[height, width]])
    result = processor.post_process_object_detection(seen, threshold=params.threshold, target_sizes=sizes)[0]
    names = known(params.keep, model.config.id2label)
    rows = zip(result["labels"].tolist(), result["scores"].tolist(), result["boxes"].tolist(), strict=True)
    found = [Found(names[label], score, inside(box, width, height)) for label, score, box in rows if label in names]
    return sorted((thing for thing in found if thing.weight > 0), key=lambda thing: -thing.score)


def inside(box: Sequence[float], width: int, height: int) -> Box:
    """The part of a box that is in the frame."""
    x0, y0, x1, y1 = box
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def head_of(person: Found) -> Found:
    """Where a person's head is who stands upright, for a detector that knows no heads or has missed this one."""
    x0, y0, x1, y1 = person.box
    side = HEAD_ACROSS * (x1 - x0) / 2
    middle, bottom = (x0 + x1) / 2, min(y1, y0 + HEAD_DOWN * (x1 - x0))
    return Found(HEADS[0], person.score, (middle - side, y0, middle + side, bottom))


def holds(person: Found, head: Found) -> bool:
    """Whether the middle of the head is in the person's box."""
    x, y = (head.box[0] + head.box[2]) / 2, (head.box[1] + head.box[3]) / 2
    return person.box[0] <= x <= person.box[2] and person.box[1] <= y <= person.box[3]


def heads_of(found: Sequence[Found]) -> list[Found]:
    """The heads that were found, and one for each person without."""
    heads = [thing for thing in found if thing.name in HEADS]
    people = [thing for thing in found if thing.name == PERSON]
    return heads + [head_of(person) for person in people if not any(holds(person, head) for head in heads)]


def kept(thing: Found, starts: np.ndarray, side: int, axis: int) -> np.ndarray:
    """The share of a box that squares hold which begin at ``starts`` along the axis (0 across, 1 down)."""
    low, high = thing.box[axis], thing.box[axis + 2]
    overlap = np.minimum(high, starts + side) - np.maximum(low, starts)
    return np.asarray(overlap.clip(0) / (high - low))


def best(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Those of the places ``among`` (a mask) whose value is the greatest."""
    top = values[among].max()
    return np.asarray(among & (values >= top - ROUNDING * max(abs(top), 1.0)))


def place(found: Sequence[Found], width: int, height: int) -> tuple[int, int]:
    """(x, y) of the upper left corner of the largest square of a frame, by what was found in it (one at least)."""
    found = sorted(found, key=lambda thing: (-thing.weight, thing.box, thing.name))
    side, axis = min(width, height), int(height > width)
    starts = np.arange(abs(width - height) + 1)
    heads = heads_of(found)
    whole = sum((head.weight * (kept(head, starts, side, axis) >= WHOLE) for head in heads), np.zeros(len(starts)))
    total = sum((thing.weight * kept(thing, starts, side, axis) for thing in found), np.zeros(len(starts)))
    good = best(total, best(whole, np.ones(len(starts), bool)))
    main = max(heads or found, key=lambda thing: thing.weight * kept(thing, starts[good], side, axis).max())
    off = np.abs(starts + side / 2 - (main.box[axis] + main.box[axis + 2]) / 2)
    start = int(starts[good][off[good].argmin()])
    return (0, start) if axis else (start, 0)
