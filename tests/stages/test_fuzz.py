"""Whatever lies in the folder: every file ends kept or in the ledger, every table as entries or as one line."""

import io
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dreamshot import paths
from dreamshot.errors import StudyError
from stages.ingest.listing import Entry, read_listing
from stages.ingest.rules import RULES
from tests.stages.test_profiles import grey_profile, ink_profile, matrix_profile
from tests.stills import FRAMES, run_module, scene, write_csv, write_params

MUTANTS = 16  # of each picture
WIDTH, HEIGHT = 36, 24

# --- pictures ---


def rgb(seed: int = 0) -> Image.Image:
    return Image.fromarray(scene(seed, WIDTH, HEIGHT))


def with_alpha() -> Image.Image:
    picture = rgb().convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112], tags[0x010E] = 6, "a still"
    return tags


def grey16() -> Image.Image:
    return Image.fromarray(np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 70)


ANIMATED: dict[str, Any] = {"save_all": True, "append_images": [rgb(1), rgb(2)], "duration": 100}
# (format, picture, how to save it); what is kept of each when it is whole is the picture's size.
KINDS: dict[str, tuple[str, Callable[[], Image.Image], dict[str, Any]]] = {
    "jpeg": ("JPEG", rgb, {"quality": 90}),
    "jpeg-progressive": ("JPEG", rgb, {"progressive": True, "optimize": True}),
    "jpeg-restart": ("JPEG", rgb, {"restart_marker_blocks": 1}),
    "jpeg-grey": ("JPEG", lambda: rgb().convert("L"), {"icc_profile": grey_profile(2.2)}),
    "jpeg-cmyk": ("JPEG", lambda: rgb().convert("CMYK"), {"icc_profile": ink_profile()}),
    "jpeg-exif": ("JPEG", rgb, {"exif": exif()}),
    "jpeg-icc": ("JPEG", rgb, {"icc_profile": matrix_profile()}),
    "png": ("PNG", rgb, {}),
    "png-alpha": ("PNG", with_alpha, {"icc_profile": matrix_profile()}),
    "png-grey-alpha": ("PNG", lambda: with_alpha().convert("LA"), {}),
    "png-palette": ("PNG", lambda: rgb().quantize(16), {"transparency": 3}),
    "png-bits": ("PNG", lambda: rgb().convert("1"), {"transparency": 0}),
    "png-16": ("PNG", grey16, {}),
    "png-trns": ("PNG", rgb, {"transparency": (100, 100, 100)}),
    "png-exif": ("PNG", rgb, {"exif": exif()}),
    "apng": ("PNG", rgb, ANIMATED),
    "webp": ("WEBP", rgb, {"exif": exif(), "icc_profile": matrix_profile()}),
    "webp-lossless": ("WEBP", with_alpha, {"lossless": True}),
    "webp-animated": ("WEBP", rgb, ANIMATED),
    "tiff": ("TIFF", rgb, {"exif": exif()}),
    "tiff-lzw": ("TIFF", with_alpha, {"compression": "tiff_lzw"}),
    "tiff-deflate": ("TIFF", rgb, {"compression": "tiff_adobe_deflate", "icc_profile": matrix_profile()}),
    "tiff-jpeg": ("TIFF", rgb, {"compression": "jpeg"}),
    "tiff-fax": ("TIFF", lambda: rgb().convert("1"), {"compression": "group4"}),
    "tiff-cmyk": ("TIFF", lambda: rgb().convert("CMYK"), {"icc_profile": ink_profile()}),
    "tiff-lab": ("TIFF", lambda: Image.frombytes("LAB", (WIDTH, HEIGHT), rgb().tobytes()), {}),
    "tiff-16": ("TIFF", grey16, {"compression": "tiff_lzw"}),
    "tiff-pages": ("TIFF", rgb, ANIMATED),
    "gif": ("GIF", lambda: rgb().quantize(32), {"transparency": 1}),
    "gif-animated": ("GIF", rgb, ANIMATED),
    "bmp": ("BMP", rgb, {}),
    "bmp-palette": ("BMP", lambda: rgb().quantize(16), {}),
    "ppm": ("PPM", rgb, {}),
    "jpeg2000": ("JPEG2000", rgb, {}),
    "avif": ("AVIF", rgb, {"exif": exif(), "speed": 10}),
}


def encode(kind: str) -> bytes:
    name, make, options = KINDS[kind]
    buffer = io.BytesIO()
    make().save(buffer, name, **options)
    return buffer.getvalue()


# --- mutations ---


def flipped(data: bytearray, rng: np.random.Generator, start: int = 0) -> bytes:
    for place in rng.integers(start, len(data), rng.integers(1, 20)):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def flipped_head(data: bytearray, rng: np.random.Generator) -> bytes:
    return flipped(data[:200], rng) + bytes(data[200:])


def cut(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: rng.integers(len(data))])


def stuffed(data: bytearray, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(len(data)))
    return bytes(data[:place]) + rng.bytes(int(rng.integers(1, 400))) + bytes(data[place:])


def doubled(data: bytearray, rng: np.random.Generator) -> bytes:
    start, end, place = (int(value) for value in np.sort(rng.integers(len(data), size=3)))
    return bytes(data[:place] + data[start:end] + data[place:])


def blanked(data: bytearray, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    fill = int(rng.choice([0, 255]))
    return bytes(data[:start]) + bytes([fill]) * min(64, len(data) - start) + bytes(data[start + 64 :])


def beheaded(data: bytearray, rng: np.random.Generator) -> bytes:
    """Under another format's first bytes."""
    heads = [
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"BM",
        b"II*\0",
        b"MM\0*",
        b"RIFF\0\0\1\0WEBPVP8X",
        b"P6\n",
    ]
    head = heads[int(rng.integers(len(heads)))]
    return head + bytes(data[len(head) :])


def resized(data: bytearray, rng: np.random.Generator) -> bytes:
    """Wherever the size stands, another: none, a little off, or far over any limit."""
    for old in (WIDTH, HEIGHT):
        new = int(rng.choice([0, 1, old + 1, 300, 40_000, 65_535]))
        for layout in (">I", "<I", ">H", "<H"):
            data = data.replace(struct.pack(layout, old), struct.pack(layout, new))
    return bytes(data)


MUTATIONS = [flipped, flipped_head, cut, stuffed, doubled, blanked, beheaded, resized]


def mutants(kind: str) -> Iterator[tuple[str, bytes]]:
    """(name, content): the picture whole, then MUTANTS of it."""
    whole = encode(kind)
    yield f"{kind}-whole", whole
    for number in range(MUTANTS):
        change = MUTATIONS[number % len(MUTATIONS)]
        rng = np.random.default_rng([number, *kind.encode()])
        yield f"{kind}-{change.__name__}-{number}", change(bytearray(whole), rng)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study that keeps whatever can be read."""
    monkeypatch.chdir(tmp_path)
    limits = {"min_side": 8, "max_pixels": 1_000_000, "min_channels": 1, "min_chroma": 0.0}
    limits["near_duplicate__dhash_distance"] = -1
    write_params(tmp_path, **{f"ingest__{key}": value for key, value in limits.items()})
    (tmp_path / FRAMES).mkdir()
    return tmp_path


def test_every_picture_ends_kept_or_in_the_ledger(folder: Path) -> None:
    for kind in KINDS:
        for name, content in mutants(kind):
            (folder / FRAMES / f"{name}.img").write_bytes(content)
    files = sorted(path.name for path in (folder / FRAMES).iterdir())
    write_csv(folder / FRAMES / "frames.csv", "file film year", [(file, file, 2020) for file in files])
    start = time.monotonic()
    done = run_module("stages.ingest", folder)
    seconds = time.monotonic() - start
    assert done.returncode == 0, done.stderr[-2000:]
    assert [
        line for line in done.stderr.replace("\r", "\n").splitlines() if line and not line.startswith("ingest:")
    ] == []
    kept, ledger = (pd.read_parquet(path) for path in (paths.FRAMES, paths.LEDGER))
    assert len(files) - len(KINDS) >= 500
    assert sorted([*kept["file"], *ledger["file"]]) == files
    assert set(ledger["rule"]) <= set(RULES)
    assert ledger.loc[ledger["rule"] == "undecodable", "value"].str.len().gt(0).all()
    assert set(ledger.loc[ledger["file"].str.contains("-whole"), "rule"]) == {"duplicate"}
    assert set(ledger["rule"]) >= {"too_many_pixels", "undecodable"}
    assert seconds < 60


# --- tables ---

HEADERS = ("file,film,year", "file,film,year,licence,source", "film,title,year", "film,year", '"file", film ,year', "x")
CELLS = (
    "f",
    "g",
    "2020",
    "2020.0",
    "",
    "",
    " ",
    '"an ""f"""',
    '"two\nlines"',
    "1899",
    "MMXX",
    "../a.png",
    ".",
    "x" * 300,
)
ODD = ('"', '""', ",", ";", "\t", "\n", "\r", "\0", "\ufeff", "\x85", "\u2028", "é", "\U0001f3ac", "९", "'", "\\")

odd = st.lists(st.sampled_from(ODD) | st.characters(codec="utf-8"), max_size=8).map("".join)
files = st.sampled_from(["a.png", "b/c.png"])
years = st.sampled_from(["2020", "2021.0", ""])


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table most of whose rows have as many cells as columns, and most of those what the column says."""
    header = draw(st.sampled_from(HEADERS))
    columns = [
        years if "year" in name else files if "file" in name else st.sampled_from("fg") for name in header.split(",")
    ]
    lines = []
    for _ in range(draw(st.integers(0, 3))):
        cells = [draw(column) for column in columns]
        if draw(st.integers(0, 3)) == 0:
            cells[draw(st.integers(0, len(cells) - 1))] = draw(st.sampled_from(CELLS) | odd)
        lines.append(",".join(cells))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return (draw(st.sampled_from(["", "\ufeff"])) + end.join([header, *lines])).encode()


texts = st.integers(0, 9).flatmap(lambda turn: st.binary(max_size=200) if turn == 0 else tables())


@settings(
    max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(frames=texts | st.none(), films=texts | st.none())
def test_every_table_gives_entries_or_one_line(tmp_path: Path, frames: bytes | None, films: bytes | None) -> None:
    (tmp_path / "b").mkdir(exist_ok=True)
    for name in ("a.png", "b/c.png"):
        (tmp_path / name).touch()
    for name, content in (("frames.csv", frames), ("films.csv", films)):
        (tmp_path / name).unlink(missing_ok=True)
        if content is not None:
            (tmp_path / name).write_bytes(content)
    told, entries = listed(tmp_path)
    assert len(told.splitlines()) <= 1
    assert len(told) < len(str(tmp_path)) + 300
    assert told or {entry.file for entry in entries} == {"a.png", "b/c.png"}
    assert all(entry.year is None or 1880 <= entry.year <= 2100 for entry in entries)


def listed(folder: Path) -> tuple[str, list[Entry]]:
    """(the error, the entries): one of them is empty."""
    try:
        return "", read_listing(folder)
    except StudyError as error:
        return str(error), []
