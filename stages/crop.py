"""Cut the square that holds what matters from every frame, and bring it down to the models' size.

    python -m stages.crop

Reads ``data/ingest/``, writes ``data/crops/``: ``crops.parquet`` (frame, film, x, y, side: the square in the frame's
pixels), the squares in ``shards/`` and ``run.json``. The square is always the largest one, as wide as the frame's
shorter side: a crop chooses where to look and never how near, so the shot scale stays what it was.

``crop.method`` places it: libvips' ``attention`` or ``entropy``, the ``centre``, or what a ``detector`` finds of
``crop.keep``; where that finds nothing, attention.
"""

import json
import os
import shutil
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dreamshot.errors import StudyError, main
from dreamshot.models import detector_config, model_record, named, source_folder
from dreamshot.params import Crop, Weights, load_params
from dreamshot.paths import CROP_ROWS, CROPS, FRAMES, INGEST, MODELS
from dreamshot.provenance import write_run
from dreamshot.records import Pool, copy_shards, read_table, write_table
from dreamshot.seeds import digest
from dreamshot.work import clean, code_hash, file_hash, work_folder
from stages.chunks import Done, fresh, run_chunks
from stages.detect import detector, find, known, place

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


def placed(pixels: np.ndarray, params: Crop, weights: Weights) -> tuple[int, int, int, bool]:
    """(x, y, side) by ``crop.method``, and whether attention had to serve where a detector found nothing."""
    if params.method != "detector":
        return *square(pixels, params.method), False
    found = find(pixels, *detector(weights), params)
    if not found:
        return *square(pixels, "attention"), True
    height, width = pixels.shape[:2]
    return *place(found, width, height), min(width, height), False


def shrink(pixels: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) from a square at least as large, by Pillow's integer Lanczos: the same on every machine."""
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS))


@lru_cache(maxsize=1)
def open_pool(shards: Path) -> Pool:
    """The pool in this process; the shards' index is read once."""
    return Pool(shards)


def cut(frame: Frame, shards: Path, params: Crop, weights: Weights) -> Done:
    """One frame's row and its square."""
    pixels = open_pool(shards).pixels(frame.id)
    x, y, side, blind = placed(pixels, params, weights)
    row = {"frame": frame.id, "film": frame.film, "x": x, "y": y, "side": side, "blind": blind}
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


def models_of(params: Crop, weights: Weights) -> dict[str, str]:
    """The hash of the detector.

    Raises:
        StudyError: it was not fetched, is none, or knows nothing of ``crop.keep``.
    """
    record = model_record("detector")
    if (record["source"], record["revision"]) != (weights.source, weights.revision):
        raise StudyError(
            f"{MODELS}/detector.json: fetched was {record['source'] or 'none'!r}, not {weights.source!r}; "
            f"run `dvc repro fetch`"
        )
    known(params.keep, detector_config(weights).id2label)
    return {"detector": record["sha256"]}


def heavy(params: Crop, weights: Weights) -> tuple[str, ...]:
    """The modules of a detector's class: the processes that crop share their memory."""
    if params.method != "detector":
        return ()
    with named("detector", weights):
        config = json.loads((source_folder(weights) / "config.json").read_text())
        kind = str(config["model_type"]).replace("-", "_")
    parts = (f"transformers.models.{kind}.{part}_{kind}" for part in ("modeling", "image_processing"))
    return ("torch", "torchvision", *parts)


def check(params: Crop, weights: Weights, preload: tuple[str, ...]) -> dict[str, str]:
    """The models that place the squares, asked in a process of its own: this one never holds a detector's modules."""
    if params.method != "detector":
        return {}
    with fresh(1, preload) as pool:
        return pool.submit(models_of, params, weights).result()


def run() -> None:
    profile = load_params()
    params, weights = profile.crop, profile.models.detector
    rows = read_table(FRAMES)
    check_sizes(rows, params.size)
    modules = heavy(params, weights)
    models = check(params, weights, modules)
    frames = [Frame(*map(str, row)) for row in zip(rows["frame"], rows["film"], strict=True)]
    key = digest(file_hash(FRAMES), *(file_hash(path) for path in sorted(SHARDS.glob("*.tar"))), *models.values())
    code = code_hash("stages/crop.py", "stages/detect.py", "stages/chunks.py")
    work = work_folder("crop", code, params.model_dump_json(), key)
    open_pool.cache_clear()
    job = partial(cut, shards=SHARDS, params=params, weights=weights)
    done = run_chunks("crop", "frame", job, frames, work, preload=modules)
    crops = pd.DataFrame(done)
    blind = int(crops.pop("blind").sum())
    clean(CROPS)
    write_table(crops, CROP_ROWS, by="frame")
    copy_shards(Pool(work), sorted(frame.id for frame in frames), CROPS / "shards")
    write_run(CROPS, params, models, frames=len(frames), blind=blind)
    shutil.rmtree(work)
    note = f", {blind} of them by attention: nothing was found" if blind else ""
    print(f"crop: {len(frames)} squares of {params.size} x {params.size} by {params.method}{note}")


if __name__ == "__main__":
    main(run)
