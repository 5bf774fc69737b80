"""The pictures that the tiny models learn from: square frames of films that are not among the study's.

    python -m demo.data

Renders two splits of the embedded world, each of its own films, into ``.work/demo/frames/``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from demo.draw import draw
from demo.world import Film, attributes, caption, is_border, make_films, sample_shot, shot_type
from stages.chunks import cores, executor

FOLDER = Path(".work/demo/frames")
SIDE = 128  # pixels of a training picture
DRAWN = 256  # pixels at which it is drawn: reduced by area, as the study reduces its crops

# Seeds of films: the study's own come from `demo.pool`; these two are for the models.
SPLITS = {"train": (90001, 320, 75), "valid": (90002, 40, 50)}  # film seed, films, frames a film

Rows = list[dict[str, object]]


@dataclass(frozen=True)
class Frames:
    """Pictures (N, 128, 128, 3) uint8 RGB, their captions, and their truth, a row a picture.

    Boxes (x0, y0, x1, y1) are in pixels of the 128-pixel picture.
    """

    pixels: np.ndarray
    truth: pd.DataFrame

    @property
    def captions(self) -> list[str]:
        return list(self.truth["caption"])


def reduce_by_area(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Mean over squares of ``factor`` pixels: (h, w, 3) uint8 -> (h / factor, w / factor, 3) uint8."""
    height, width, channels = pixels.shape
    squares = pixels.reshape(height // factor, factor, width // factor, factor, channels)
    return np.round(squares.mean(axis=(1, 3))).astype(np.uint8)


def film_frames(film: Film, seed: int, count: int) -> tuple[np.ndarray, Rows]:
    """``count`` square frames of a film and their truth."""
    pixels, rows = [], []
    for index in range(count):
        shot = sample_shot(film, index, seed)
        drawn = draw(shot, DRAWN, aspect=1.0)
        factor = DRAWN // SIDE
        pixels.append(reduce_by_area(drawn.pixels, factor))
        boxes = {f"{name}_{axis}": value / factor for name, box in
                 (("subject", drawn.subject_box), ("head", drawn.head_box))
                 for axis, value in zip(("x0", "y0", "x1", "y1"), box, strict=True)}  # fmt: skip
        rows.append({
            "film": film.id, "caption": caption(shot), "shot_type": shot_type(shot.distance),
            "border": is_border(shot.distance), "distance": shot.distance, **attributes(shot), **boxes,
        })  # fmt: skip
    return np.stack(pixels), rows


def render_films(
    path: Path, films: Sequence[Film], draw_film: Callable[[Film], tuple[np.ndarray, Rows]], shape: tuple[int, ...]
) -> Rows:
    """Draw the films on all cores into one array on disk, ``shape`` of it a film; return the films' rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part, each = path.with_suffix(".part"), shape[0]
    out = np.lib.format.open_memmap(part, "w+", np.uint8, (len(films) * each, *shape[1:]))
    rows: Rows = []
    with executor(cores()) as workers:
        done = workers.map(draw_film, films, chunksize=4)
        for index, (pixels, truth) in enumerate(tqdm(done, total=len(films), desc=f"render {path.stem}", unit="film")):
            out[index * each : (index + 1) * each] = pixels
            rows += truth
    out.flush()
    part.replace(path)
    return rows


def render_split(split: str) -> None:
    """Render a split into ``<split>.npy`` and ``<split>.parquet``; nothing is done where both are there."""
    pictures, table = FOLDER / f"{split}.npy", FOLDER / f"{split}.parquet"
    if pictures.is_file() and table.is_file():
        return
    seed, count, each = SPLITS[split]
    draw_film = partial(film_frames, seed=seed, count=each)
    rows = render_films(pictures, make_films(seed, count), draw_film, (each, SIDE, SIDE, 3))
    pd.DataFrame(rows).to_parquet(table)


def load_split(split: str) -> Frames:
    """The frames of ``train`` or ``valid``, rendered if they are not there yet."""
    render_split(split)
    return Frames(np.load(FOLDER / f"{split}.npy", mmap_mode="r"), pd.read_parquet(FOLDER / f"{split}.parquet"))


if __name__ == "__main__":
    for name in SPLITS:
        print(f"{name}: {len(load_split(name).pixels)} frames")
