"""The rules for one file, then the two that compare files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from tqdm import tqdm

from dreamshot.errors import StudyError
from dreamshot.params import Ingest, NearDuplicate
from dreamshot.records import picture_hash
from dreamshot.work import file_hash
from stages.alike import Look, Seen, Twin
from stages.chunks import Done
from stages.ingest.decode import (
    TooManyPixels,
    Undecodable,
    bands,
    chroma,
    dhash,
    load,
    orientation,
    reason,
    to_rgb,
    upright,
    without_bars,
)
from stages.ingest.listing import Entry, printable

Row = dict[str, Any]
RULES = (
    "unlisted", "missing_film", "missing_year", "too_old", "too_many_pixels", "undecodable", "channels", "chroma",
    "min_side", "duplicate", "near_duplicate",
)  # fmt: skip
CRASHED = "ended its process, or took too long"


class Rejected(Exception):
    """The rule that a file fails, what was found and what the limit was."""

    def __init__(self, rule: str, value: object = "", limit: object = "") -> None:
        super().__init__(rule)
        self.rule, self.value, self.limit = rule, str(value), str(limit)


def ledger_row(row: Row, rejected: Rejected) -> Row:
    """A row of the ledger from one with file, frame and film."""
    told = {"rule": rejected.rule, "value": rejected.value, "limit": rejected.limit}
    return {key: row[key] for key in ("file", "frame", "film")} | told


def check_film(entry: Entry) -> None:
    """The rules that do not need the file: without a film it has no id."""
    if not entry.listed:
        raise Rejected("unlisted")
    if not entry.film:
        raise Rejected("missing_film")


def check_year(entry: Entry, params: Ingest) -> None:
    """The rules on the year."""
    if entry.year is None:
        raise Rejected("missing_year", entry.film)
    if entry.year < params.min_year:
        raise Rejected("too_old", entry.year, params.min_year)


def decoded(file: BinaryIO, params: Ingest) -> tuple[Image.Image, Image.Image]:
    """(the file's own picture, the upright RGB one without bars)."""
    try:
        own = load(file, params.max_pixels)
        rgb = upright(to_rgb(own), orientation(own))
    except TooManyPixels as error:
        raise Rejected("too_many_pixels", error, params.max_pixels) from None
    except Undecodable as error:
        raise Rejected("undecodable", error) from None
    except MemoryError:
        raise
    except Exception as error:  # pixels that decode, in a mode that does not convert
        raise Rejected("undecodable", reason(error)) from None
    return own, without_bars(rgb, params.bar_level)


def check_picture(own: Image.Image, rgb: Image.Image, params: Ingest) -> None:
    """The rules on the pixels of one file."""
    if bands(own) < params.min_channels:
        raise Rejected("channels", bands(own), params.min_channels)
    colour = chroma(rgb) if params.min_chroma > 0 else params.min_chroma
    if colour < params.min_chroma:
        raise Rejected("chroma", f"{colour:.2f}", params.min_chroma)
    if min(rgb.size) < params.min_side:
        raise Rejected("min_side", min(rgb.size), params.min_side)


def first_row(entry: Entry) -> Row:
    """What is known of a file that has not been read."""
    return {"file": printable(entry.file), "frame": "", "film": entry.film}


def kept_row(row: Row, entry: Entry, mode: str, rgb: Image.Image, pixels: np.ndarray) -> Row:
    """A row of frames.parquet, with its pixels' hash."""
    said = {"title": entry.title, "year": entry.year, "licence": entry.licence, "source": entry.source}
    seen = {"width": rgb.width, "height": rgb.height, "mode": mode, "dhash": dhash(rgb)}
    return row | said | seen | {"pixels": picture_hash(pixels)}


def frame_of(film: str, path: Path) -> str:
    """The frame's id, as ``frame_id`` gives it; the file is not held whole."""
    return file_hash(path, "frame", film)[:16]


def judge(row: Row, entry: Entry, path: Path, params: Ingest) -> Done:
    """The row and the picture of a file that is kept."""
    with path.open("rb") as file:
        own, rgb = decoded(file, params)
    check_picture(own, rgb, params)
    pixels = np.asarray(rgb)
    return Done(kept_row(row, entry, own.mode, rgb, pixels), row["frame"], pixels)


def examine(entry: Entry, folder: Path, params: Ingest) -> Done:
    """One file: a row of frames.parquet with its pixels' hash, or a row of the ledger.

    Raises:
        StudyError: the disk does not give the file.
    """
    row, path = first_row(entry), folder / entry.file
    try:
        check_film(entry)
        row["frame"] = frame_of(entry.film, path)
        check_year(entry, params)
        return judge(row, entry, path, params)
    except Rejected as rejected:
        return Done(ledger_row(row, rejected))
    except PermissionError as error:
        return Done(ledger_row(row, Rejected("undecodable", error.strerror)))
    except OSError as error:
        told = error.strerror or error
        raise StudyError(f"{path}: cannot be read ({told}); mend that or remove it, and run again") from None


def crashed(entry: Entry) -> Row:
    """The ledger's row of a file that a decoder did not come back from."""
    return ledger_row(first_row(entry), Rejected("undecodable", CRASHED))


def near_duplicate(row: Row, other: Row, twin: Twin, limits: NearDuplicate) -> Row:
    """The ledger's row of a frame that is like another."""
    value = f"{other['file']} ({twin.bits} bits, likeness {twin.likeness:.3f})"
    limit = f"{limits.dhash_distance} bits, likeness {limits.likeness}"
    return ledger_row(row, Rejected("near_duplicate", value, limit))


def without_duplicates(
    rows: list[Row], limits: NearDuplicate, thumbnail: Callable[[str], np.ndarray]
) -> tuple[list[Row], list[Row]]:
    """(kept, ledger rows) of the rows that passed alone; of several that are alike the largest is kept.

    Args:
        thumbnail: a frame's id to its thumbnail (see ``stages.alike``).
    """
    rows = sorted(rows, key=lambda row: (-row["width"] * row["height"], row["file"]))
    looks = [Look(row["dhash"], row["width"], row["height"]) for row in rows]
    seen = Seen(looks, limits, lambda number: thumbnail(rows[number]["frame"]))
    pixels: dict[str, str] = {}
    kept, ledger = [], []
    for number, row in enumerate(tqdm(rows, desc="ingest: compare", unit="frame")):
        if row["pixels"] in pixels:
            ledger.append(ledger_row(row, Rejected("duplicate", pixels[row["pixels"]])))
        elif twin := next(seen.alike(number), None):
            ledger.append(near_duplicate(row, rows[twin.number], twin, limits))
        else:
            seen.add(number)
            pixels[row["pixels"]] = row["file"]
            kept.append(row)
    return kept, ledger
