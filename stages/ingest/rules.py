"""The rules for one file, then the two that compare files."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dreamshot.params import Ingest
from dreamshot.records import picture_hash
from dreamshot.seeds import frame_id
from stages.chunks import Done
from stages.ingest.decode import (
    TooManyPixels,
    Undecodable,
    bands,
    chroma,
    dhash,
    load,
    orientation,
    to_rgb,
    upright,
    without_bars,
)
from stages.ingest.listing import Entry

Row = dict[str, Any]
RULES = (
    "unlisted", "missing_film", "missing_year", "too_old", "too_many_pixels", "undecodable", "channels", "chroma",
    "min_side", "duplicate", "near_duplicate",
)  # fmt: skip
ASPECT_SHARE = 0.02  # a row of bars more or less


class Rejected(Exception):
    """The rule that a file fails, what was found and what the limit was."""

    def __init__(self, rule: str, value: object = "", limit: object = "") -> None:
        super().__init__(rule)
        self.rule, self.value, self.limit = rule, str(value), str(limit)


def ledger_row(row: Row, rejected: Rejected) -> Row:
    """A row of the ledger from one with file, frame and film."""
    told = {"rule": rejected.rule, "value": rejected.value, "limit": rejected.limit}
    return {key: row[key] for key in ("file", "frame", "film")} | told


def check_entry(entry: Entry, params: Ingest) -> None:
    """The rules that need no pixels."""
    if not entry.listed:
        raise Rejected("unlisted")
    if not entry.film:
        raise Rejected("missing_film")
    if entry.year is None:
        raise Rejected("missing_year", entry.film)
    if entry.year < params.min_year:
        raise Rejected("too_old", entry.year, params.min_year)


def decoded(content: bytes, params: Ingest) -> tuple[Image.Image, Image.Image]:
    """(the file's own picture, the upright RGB one without bars)."""
    try:
        own = load(content, params.max_pixels)
        rgb = to_rgb(own)
    except TooManyPixels as error:
        raise Rejected("too_many_pixels", error, params.max_pixels) from None
    except Undecodable as error:
        raise Rejected("undecodable", error) from None
    return own, without_bars(upright(rgb, orientation(own)), params.bar_level)


def check_picture(own: Image.Image, rgb: Image.Image, params: Ingest) -> None:
    """The rules on the pixels of one file."""
    if bands(own) < params.min_channels:
        raise Rejected("channels", bands(own), params.min_channels)
    colour = chroma(rgb) if params.min_chroma > 0 else params.min_chroma
    if colour < params.min_chroma:
        raise Rejected("chroma", f"{colour:.2f}", params.min_chroma)
    if min(rgb.size) < params.min_side:
        raise Rejected("min_side", min(rgb.size), params.min_side)


def examine(entry: Entry, folder: Path, params: Ingest) -> Done:
    """One file: a row of frames.parquet with its pixels' hash, or a row of the ledger."""
    content = (folder / entry.file).read_bytes()
    frame = frame_id(entry.film, content) if entry.film else ""
    row: Row = {"file": entry.file, "frame": frame, "film": entry.film}
    try:
        check_entry(entry, params)
        own, rgb = decoded(content, params)
        check_picture(own, rgb, params)
    except Rejected as rejected:
        return Done(ledger_row(row, rejected))
    pixels = np.asarray(rgb)
    row |= {"year": entry.year, "width": rgb.width, "height": rgb.height, "mode": own.mode}
    return Done(row | {"dhash": dhash(rgb), "pixels": picture_hash(pixels)}, frame, pixels)


def distance(one: Row, other: Row) -> int:
    """Bits in which two dHashes differ."""
    return (int(one["dhash"], 16) ^ int(other["dhash"], 16)).bit_count()


def same_shape(one: Row, other: Row) -> bool:
    """Whether two frames may be one still at two sizes: their aspects differ by no more than ASPECT_SHARE."""
    return bool(abs(one["width"] * other["height"] / (one["height"] * other["width"]) - 1) <= ASPECT_SHARE)


def nearest(row: Row, film: list[Row]) -> tuple[int, str]:
    """(distance, file) of the kept frame of the film that is most alike; (65, "") where none has its shape."""
    return min(((distance(row, kept), kept["file"]) for kept in film if same_shape(row, kept)), default=(65, ""))


def without_duplicates(rows: list[Row], params: Ingest) -> tuple[list[Row], list[Row]]:
    """(kept, ledger rows) of the rows that passed alone; of several that are alike the largest is kept."""
    pixels: dict[str, str] = {}
    films: dict[str, list[Row]] = defaultdict(list)
    ledger = []
    for row in sorted(rows, key=lambda row: (-row["width"] * row["height"], row["file"])):
        twin = pixels.setdefault(row["pixels"], row["file"])
        if twin != row["file"]:
            ledger.append(ledger_row(row, Rejected("duplicate", twin)))
            continue
        away, alike = nearest(row, films[row["film"]])
        if away <= params.dhash_distance:
            ledger.append(ledger_row(row, Rejected("near_duplicate", f"{alike} ({away} bits)", params.dhash_distance)))
        else:
            films[row["film"]].append(row)
    return [row for film in films.values() for row in film], ledger
