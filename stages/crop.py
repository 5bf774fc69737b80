"""Cut the square that holds what matters from every frame, and bring it down to the models' size.

    python -m stages.crop

Reads ``data/ingest/``, writes ``data/crops/``: ``crops.parquet`` (frame, film, x, y, side: the square in the frame's
pixels), the squares in ``shards/`` and ``run.json``. The square is always the largest one, as wide as the frame's
shorter side: a crop chooses where to look and never how near, so the shot scale stays what it was.
"""

import os
import shutil
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dreamshot.errors import StudyError, main
from dreamshot.params import Crop, load_params
from dreamshot.paths import CROP_ROWS, CROPS, FRAMES, INGEST
from dreamshot.provenance import write_run
from dreamshot.records import Pool, copy_shards, read_table, write_table
from dreamshot.seeds import digest
from dreamshot.work import clean, code_hash, file_hash, work_folder
from stages.chunks import Done, run_chunks

SHARDS = INGEST / "shards"


@dataclass(frozen=True)
class Frame:
    """A kept frame, by id, and its film."""

    id: str
    film: str


def square(pixels: np.ndarray, method: str) -> tuple[int, int, int]:
    """(x, y, side) of the largest square of (height, width, 3) uint8 pixels, placed by libvips' smartcrop."""
    os.environ.setdefault("VIPS_CONCURRENCY", "1")  # the cores are shared out over frames
    import pyvips

    side = min(pixels.shape[:2])
    out = pyvips.Image.new_from_array(pixels, interpretation="srgb").smartcrop(side, side, interesting=method)
    return -out.xoffset, -out.yoffset, side


def shrink(pixels: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) from a square at least as large, by Pillow's integer Lanczos: the same on every machine."""
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS))


@lru_cache(maxsize=1)
def open_pool(shards: Path) -> Pool:
    """The pool in this process; the shards' index is read once."""
    return Pool(shards)


def cut(frame: Frame, shards: Path, params: Crop) -> Done:
    """One frame's row and its square."""
    pixels = open_pool(shards).pixels(frame.id)
    x, y, side = square(pixels, params.method)
    row = {"frame": frame.id, "film": frame.film, "x": x, "y": y, "side": side}
    return Done(row, frame.id, shrink(pixels[y : y + side, x : x + side], params.size))


def check_sizes(rows: pd.DataFrame, size: int) -> None:
    """No square would have to be enlarged."""
    side = rows[["width", "height"]].min(axis=1)
    if (side < size).any():
        row = rows.iloc[int(side.argmin())]
        raise StudyError(
            f"crop.size = {size}: frame {row['frame']} ({row['file']}) is {row['width']} x {row['height']} and is not "
            f"enlarged; set ingest.min_side to at least crop.size"
        )


def run() -> None:
    params = load_params().crop
    rows = read_table(FRAMES)
    check_sizes(rows, params.size)
    frames = [Frame(*map(str, row)) for row in zip(rows["frame"], rows["film"], strict=True)]
    key = digest(file_hash(FRAMES), *(file_hash(path) for path in sorted(SHARDS.glob("*.tar"))))
    work = work_folder("crop", code_hash("stages/crop.py", "stages/chunks.py"), params.model_dump_json(), key)
    open_pool.cache_clear()
    crops = run_chunks("crop", "frame", partial(cut, shards=SHARDS, params=params), frames, work)
    clean(CROPS)
    write_table(pd.DataFrame(crops), CROP_ROWS, by="frame")
    copy_shards(Pool(work), sorted(frame.id for frame in frames), CROPS / "shards")
    write_run(CROPS, params, frames=len(frames))
    shutil.rmtree(work)
    print(f"crop: {len(frames)} squares of {params.size} x {params.size} by {params.method}")


if __name__ == "__main__":
    main(run)
