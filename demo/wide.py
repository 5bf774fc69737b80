"""What the tiny detector learns from: whole stills, squashed to one size, and the boxes of everybody in them.

    python -m demo.wide

The shots are those of the square frames (``demo.data``), drawn as wide as their films are. Renders
``.work/demo/frames/wide-<split>.npy`` with the boxes beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from demo.data import DRAWN, FOLDER, SPLITS, Rows, render_films
from demo.draw import draw, people_boxes
from demo.world import Film, make_films, sample_shot

HEIGHT, WIDTH = 160, 256  # pixels; the processor squashes every frame to them, as those of DETR's family do
FRAMES = {"train": 40, "valid": 25}  # a film
CLASSES = ("person", "head")
PEOPLE = 2  # at most
SEEN = 0.25  # the part of a box that must be in the frame for it to be there to be found


@dataclass(frozen=True)
class Wide:
    """Pictures (N, HEIGHT, WIDTH, 3) uint8 RGB and boxes (N, PEOPLE, classes, 4).

    A box is (x0, y0, x1, y1) in parts of the frame and inside it; NaN where there is none.
    """

    pixels: np.ndarray
    boxes: np.ndarray


def squashed(pixels: np.ndarray) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8, as the detector's processor makes it."""
    return np.asarray(Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def seen(box: Sequence[float], width: float, height: float) -> np.ndarray:
    """The part of a box that is in the frame, in parts of the frame; NaN if too little of it is."""
    whole = np.array(box) / (width, height, width, height)
    inside = whole.clip(0, 1)
    share = np.prod(inside[2:] - inside[:2]) / np.prod(whole[2:] - whole[:2])
    return inside if share >= SEEN else np.full(4, np.nan)


def boxes_of(people: Sequence[Sequence[Sequence[float]]], width: float, height: float) -> np.ndarray:
    """(PEOPLE, classes, 4) from each person's box and head."""
    found = np.full((PEOPLE, len(CLASSES), 4), np.nan, np.float32)
    for row, pair in zip(found, people, strict=False):
        row[:] = [seen(box, width, height) for box in pair]
    return found


def wide_frames(film: Film, seed: int, count: int) -> tuple[np.ndarray, Rows]:
    """``count`` frames of a film, squashed, and their boxes."""
    pixels: list[np.ndarray] = []
    rows: Rows = []
    for index in range(count):
        shot = sample_shot(film, index, seed)
        drawn = draw(shot, DRAWN).pixels
        pixels.append(squashed(drawn))
        rows.append({"boxes": boxes_of(people_boxes(shot, DRAWN), drawn.shape[1], drawn.shape[0])})
    return np.stack(pixels), rows


def render_wide(split: str) -> None:
    """Render a split; nothing is done where it is there."""
    pictures, table = FOLDER / f"wide-{split}.npy", FOLDER / f"wide-{split}-boxes.npy"
    if pictures.is_file() and table.is_file():
        return
    (seed, count, _), each = SPLITS[split], FRAMES[split]
    draw_film = partial(wide_frames, seed=seed, count=each)
    rows = render_films(pictures, make_films(seed, count), draw_film, (each, HEIGHT, WIDTH, 3))
    np.save(table, np.array([row["boxes"] for row in rows], np.float32))


def load_wide(split: str) -> Wide:
    """The frames of ``train`` or ``valid``, rendered if they are not there yet."""
    render_wide(split)
    pictures = np.load(FOLDER / f"wide-{split}.npy", mmap_mode="r")
    return Wide(pictures, np.load(FOLDER / f"wide-{split}-boxes.npy"))


if __name__ == "__main__":
    for name in SPLITS:
        print(f"{name}: {len(load_wide(name).pixels)} frames")
