"""Render the raw pool of the embedded world: stills as people find them, with the faults that such pools have.

    python -m demo.pool

Writes ``data/raw/demo/``: the stills, one subfolder a film; ``frames.csv`` (file, film, year), ``films.csv`` (film,
title, year, licence, source) and ``truth.csv``, which no stage of the study reads: file, caption, shot_type, border,
distance, the boxes of subject and head, the attributes and the planted defect. Boxes are "x0 y0 x1 y1" in pixels of the
upright picture without bars.

The world does not hang on params.yaml: its seed is fixed, as the films of a collection are, so that the committed
labels stay true whatever is tried with the parameters.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.Image import Transpose
from tqdm import tqdm

from demo.draw import draw
from demo.world import Film, Shot, attributes, caption, generator, is_border, make_films, sample_shot, shot_type
from dreamshot.work import clean, write_atomic
from stages.chunks import cores, executor

FOLDER = Path("data/raw/demo")
SEED = 1_002_024  # far from the seeds of the films that the tiny models learn from
FILMS = 80
FRAMES = 26  # a film
HEIGHT = 256  # pixels, without bars
QUALITY = 92
SCREENS = {1.33: 1.85, 1.85: 1.33, 2.39: 1.85}  # by a film's aspect, that of its stills with bars around the picture
TINY = 64  # pixels of height
RIGHTS = {"licence": "MIT", "source": "rendered by demo/pool.py"}  # the project's own
# How many stills of recent films have each fault; those of old films stay whole and are too old.
DEFECTS = {
    "grey": 13, "grey_in_rgb": 12, "cmyk": 8, "exif": 12, "tiny": 10, "truncated": 8, "duplicate": 15,
    "near_duplicate": 6, "png": 30, "webp": 20,
}  # fmt: skip
RECENT = 2013
# EXIF orientation: what was done to the upright picture, so that the viewer must undo it.
UNTURNED = {
    2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_270,
}  # fmt: skip


@dataclass(frozen=True)
class Still:
    """One file of the pool."""

    film: Film
    index: int
    defect: str = ""

    @property
    def file(self) -> str:
        """Its path in the pool: a copy lies beside what it copies."""
        suffix = {"png": ".png", "webp": ".webp"}.get(self.defect, ".jpg")
        copy = {"duplicate": "_copy", "near_duplicate": "_again"}.get(self.defect, "")
        return f"{self.film.id}/{self.index:03d}{copy}{suffix}"


def plan(films: Sequence[Film]) -> list[Still]:
    """Every still of the pool: the films' own, some of them with a defect, and the copies."""
    whole = [Still(film, index) for film in films for index in range(FRAMES)]
    recent = [place for place, still in enumerate(whole) if still.film.year >= RECENT]
    defects = [name for name, count in DEFECTS.items() for _ in range(count)]
    chosen = generator("pool", SEED).permutation(recent)[: len(defects)]
    copies = []
    for place, defect in zip(chosen, defects, strict=True):
        still = Still(whole[place].film, whole[place].index, defect)
        if defect in ("duplicate", "near_duplicate"):
            copies.append(still)
        else:
            whole[place] = still
    return sorted(whole + copies, key=lambda still: still.file)


def with_bars(pixels: np.ndarray, aspect: float) -> np.ndarray:
    """The picture in the middle of a black one of the given aspect."""
    height, width = pixels.shape[:2]
    full = (round(width / aspect), width) if aspect * height < width else (height, round(height * aspect))
    top, left = (full[0] - height) // 2, (full[1] - width) // 2
    canvas = np.zeros((*full, 3), np.uint8)
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def encode(picture: Image.Image, kind: str = "JPEG", quality: int = QUALITY, **options: Any) -> bytes:
    """A picture as a file, colours at full resolution."""
    buffer = io.BytesIO()
    if kind == "JPEG" and picture.mode == "RGB":
        options["subsampling"] = "4:4:4"
    picture.save(buffer, kind, quality=quality, **options)
    return buffer.getvalue()


def turned(picture: Image.Image, orientation: int) -> bytes:
    """A JPEG whose pixels lie on their side, or mirrored, and whose EXIF says so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(picture.transpose(UNTURNED[orientation]), exif=exif)


def brighter(picture: Image.Image) -> Image.Image:
    """A slightly brighter copy."""
    return picture.point(lambda value: min(255, value + 3))


def with_defect(still: Still, picture: Image.Image) -> bytes:
    """The still's file."""
    match still.defect:
        case "grey":
            return encode(picture.convert("L"))
        case "grey_in_rgb":
            return encode(picture.convert("L").convert("RGB"))
        case "cmyk":
            return encode(picture.convert("CMYK"))
        case "exif":
            return turned(picture, 2 + still.index % len(UNTURNED))
        case "tiny":
            return encode(picture.resize((round(picture.width * TINY / picture.height), TINY)))
        case "truncated":
            data = encode(picture)
            return data[: len(data) * 6 // 10]
        case "near_duplicate":
            return encode(brighter(picture), quality=75)
        case "png" | "webp":
            return encode(picture, still.defect.upper())
        case _:
            return encode(picture)


def box(values: Iterable[float]) -> str:
    """A box as text, to a tenth of a pixel."""
    return " ".join(f"{value:.1f}" for value in values)


def truth(still: Still, shot: Shot, subject: Iterable[float], head: Iterable[float]) -> dict[str, Any]:
    """A row of truth.csv."""
    return {
        "file": still.file, "caption": caption(shot), "shot_type": shot_type(shot.distance),
        "border": is_border(shot.distance), "distance": round(shot.distance, 4),
        "subject": box(subject), "head": box(head), "attributes": json.dumps(attributes(shot)), "defect": still.defect,
    }  # fmt: skip


def render(still: Still) -> tuple[bytes, dict[str, Any]]:
    """A still's file and its truth."""
    shot = sample_shot(still.film, still.index, SEED)
    drawn = draw(shot, HEIGHT)
    screen = SCREENS[still.film.aspect] if still.film.letterboxed else still.film.aspect
    pixels = with_bars(drawn.pixels, screen) if still.film.letterboxed else drawn.pixels
    data = with_defect(still, Image.fromarray(pixels))
    scale = TINY / pixels.shape[0] if still.defect == "tiny" else 1.0
    boxes = [[value * scale for value in values] for values in (drawn.subject_box, drawn.head_box)]
    return data, truth(still, shot, *boxes)


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of equal keys."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def film_row(film: Film) -> dict[str, Any]:
    """A row of films.csv."""
    return {"film": film.id, "title": film.title, "year": film.year} | RIGHTS


def write_pool(folder: Path, films: Sequence[Film], stills: Sequence[Still]) -> None:
    """Render the stills into an empty folder, with the three tables."""
    clean(folder)
    rows = []
    with executor(cores()) as workers:
        done = workers.map(render, stills, chunksize=15)
        for still, (data, row) in zip(stills, tqdm(done, total=len(stills), desc="pool", unit="still"), strict=True):
            path = folder / still.file
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            rows.append(row)
    listed = [{"file": still.file, "film": still.film.id, "year": still.film.year} for still in stills]
    write_csv(folder / "frames.csv", listed)
    write_csv(folder / "films.csv", [film_row(film) for film in films])
    write_csv(folder / "truth.csv", rows)


def main() -> None:
    films = make_films(SEED, FILMS)
    stills = plan(films)
    write_pool(FOLDER, films, stills)
    print(f"pool: {len(stills)} stills of {len(films)} films in {FOLDER}")


if __name__ == "__main__":
    main()
