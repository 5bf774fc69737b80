"""What ingest keeps, what it rejects and why, and that a broken run loses nothing."""

import io
import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.Image import Transpose

from dreamshot import paths
from dreamshot.errors import StudyError
from dreamshot.params import NearDuplicate, load_params
from dreamshot.records import Pool
from dreamshot.seeds import frame_id
from stages import chunks
from stages.ingest import __main__ as ingest
from stages.ingest import decode, rules
from stages.ingest.listing import Entry
from tests.stills import FRAMES, run_module, save, scene, write_csv, write_params

STILLS = Path(FRAMES)
MAX_PIXELS = 1_000_000


@pytest.fixture(autouse=True)
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    return tmp_path


def list_stills(rows: list[tuple[Any, ...]], header: str = "file film year") -> None:
    write_csv(STILLS / "frames.csv", header, rows)


def kept() -> pd.DataFrame:
    return pd.read_parquet(paths.FRAMES)


def ledger() -> dict[str, str]:
    rows = pd.read_parquet(paths.LEDGER)
    return dict(zip(rows["file"], rows["rule"], strict=True))


def opened(path: Path) -> Image.Image:
    return decode.load(io.BytesIO(path.read_bytes()), MAX_PIXELS)


def read(path: Path) -> np.ndarray:
    """A file's pixels as ingest would keep them, but for the bars."""
    picture = opened(path)
    return np.asarray(decode.upright(decode.to_rgb(picture), decode.orientation(picture)))


# --- the rules ---


def awkward_stills() -> dict[str, str]:
    """One file for each rule but ``unlisted``: its name is the rule's."""
    grey = np.asarray(Image.fromarray(scene(1)).convert("L"))
    save(STILLS / "channels.png", grey)
    save(STILLS / "chroma.png", np.dstack([grey] * 3))
    save(STILLS / "min_side.png", scene(2, width=120, height=63))
    save(STILLS / "too_many_pixels.gif", np.zeros((4, 4), np.uint8))
    header = bytearray((STILLS / "too_many_pixels.gif").read_bytes())
    header[6:10] = b"\xff\xff\x40\x06"  # 65535 x 1600: over the limit, and harmless should it ever be decoded
    (STILLS / "too_many_pixels.gif").write_bytes(header)
    whole = save(STILLS / "undecodable.jpg", scene(3)).read_bytes()
    (STILLS / "undecodable.jpg").write_bytes(whole[: len(whole) // 2])
    save(STILLS / "too_old.png", scene(4))
    save(STILLS / "missing_year.png", scene(5))
    save(STILLS / "missing_film.png", scene(6))
    save(STILLS / "a.png", scene(7))
    save(STILLS / "duplicate.bmp", scene(7))
    save(STILLS / "near_duplicate.jpg", scene(7), quality=60)
    return {path.name: path.stem for path in STILLS.iterdir() if path.stem in rules.RULES}


def test_each_rule_rejects_its_file_and_the_ledger_says_why() -> None:
    wanted = awkward_stills()
    years = {"too_old": 2012, "missing_year": ""}
    films = {"missing_film": "", "duplicate": "another"}
    rows = [(file, films.get(rule, "film"), years.get(rule, 2013)) for file, rule in wanted.items()]
    list_stills([*rows, ("a.png", "film", 2013)])
    save(STILLS / "poster.jpg", scene(8))
    ingest.run()
    assert ledger() == wanted | {"poster.jpg": "unlisted"}
    assert list(kept()["file"]) == ["a.png"]
    told = pd.read_parquet(paths.LEDGER).set_index("file")[["value", "limit"]].T.to_dict("list")
    assert told["too_old.png"] == ["2012", "2013"]
    assert told["min_side.png"] == ["63", "64"]
    assert told["channels.png"] == ["1", "3"]
    assert told["too_many_pixels.gif"] == [str(65535 * 1600), "50000000"]
    assert told["duplicate.bmp"] == ["a.png", ""]
    assert told["near_duplicate.jpg"] == ["a.png (0 bits, likeness 0.999)", "2 bits, likeness 0.98"]
    facts = json.loads((paths.INGEST / "run.json").read_text())
    assert facts["kept"] == 1
    assert sum(facts["rejected"].values()) == len(wanted) + 1


def test_a_file_goes_by_the_first_rule_that_it_fails() -> None:
    save(STILLS / "old_grey_tiny.png", np.zeros((4, 4), np.uint8))
    save(STILLS / "grey_tiny.png", np.zeros((4, 4), np.uint8))
    save(STILLS / "good.png", scene())
    list_stills([("old_grey_tiny.png", "f", 1990), ("grey_tiny.png", "f", 2020), ("good.png", "f", 2020)])
    ingest.run()
    assert ledger() == {"old_grey_tiny.png": "too_old", "grey_tiny.png": "channels"}


def test_rules_are_turned_off_by_their_parameters(study: Path) -> None:
    write_params(study, ingest__min_chroma=0.0, ingest__min_channels=1, ingest__near_duplicate__dhash_distance=-1)
    save(STILLS / "grey.png", Image.fromarray(scene(1)).convert("L"))
    save(STILLS / "one.png", scene(2))
    save(STILLS / "one_again.jpg", scene(2), quality=80)
    list_stills([("grey.png", "f", 2020), ("one.png", "f", 2020), ("one_again.jpg", "f", 2020)])
    ingest.run()
    assert len(kept()) == 3


def test_of_two_sizes_of_a_still_the_larger_is_kept_whatever_the_film() -> None:
    save(STILLS / "a_small.png", scene(1, width=120, height=80))
    save(STILLS / "b_large.png", Image.fromarray(scene(1)).resize((240, 160), Image.Resampling.BICUBIC))
    save(STILLS / "c_other_film.jpg", scene(1), quality=85)
    save(STILLS / "d_other_scene.png", scene(2))
    films = {"c_other_film.jpg": "g"}
    list_stills([(path.name, films.get(path.name, "f"), 2020) for path in sorted(STILLS.iterdir())])
    ingest.run()
    assert ledger() == {"a_small.png": "near_duplicate", "c_other_film.jpg": "near_duplicate"}
    told = pd.read_parquet(paths.LEDGER).set_index("file")["value"]
    assert told["c_other_film.jpg"].startswith("b_large.png (")


@pytest.mark.parametrize(("limit", "near"), [(-1, []), (0, ["b"]), (2, ["b", "c"]), (3, ["b", "c", "d"])])
def test_near_duplicates_are_within_the_limit_of_a_kept_frame(limit: int, near: list[str]) -> None:
    hashes = {"a": 0b0, "b": 0b0, "c": 0b11, "d": 0b111, "e": 0b11111111}
    limits = NearDuplicate(dhash_distance=limit, likeness=0.98)
    kept, ledger = rules.without_duplicates(passed(hashes)[::-1], limits, lambda frame: scene()[:16, :16])
    assert [row["file"] for row in ledger] == near
    assert sorted(row["file"] for row in kept + ledger) == list(hashes)


def passed(hashes: dict[str, int]) -> list[rules.Row]:
    """Rows of frames of one size, of two films, by file and dHash."""
    return [
        {
            "file": file,
            "frame": file,
            "film": file < "c",
            "width": 3,
            "height": 2,
            "pixels": file,
            "dhash": f"{value:016x}",
        }
        for file, value in hashes.items()
    ]


def test_a_copy_of_a_near_duplicate_is_told_of_as_near_to_what_is_kept() -> None:
    rows = passed({"a": 0, "b": 1, "c": 1})
    rows[2]["pixels"] = "b"
    limits = NearDuplicate(dhash_distance=2, likeness=0.98)
    _, ledger = rules.without_duplicates(rows, limits, lambda frame: scene()[:16, :16])
    assert [(row["file"], row["rule"], row["value"][:1]) for row in ledger] == [
        ("b", "near_duplicate", "a"),
        ("c", "near_duplicate", "a"),
    ]


def test_when_nothing_is_kept_the_error_counts_the_reasons_and_the_ledger_stays() -> None:
    save(STILLS / "a.png", scene())
    list_stills([("a.png", "f", 1999)])
    with pytest.raises(StudyError, match=r"none of 1 files is kept \(1 too_old\)"):
        ingest.run()
    assert ledger() == {"a.png": "too_old"}


def test_frame_ids_hang_on_film_and_content_and_on_nothing_else() -> None:
    path = save(STILLS / "a.png", scene())
    list_stills([("a.png", "f", 2020)])
    ingest.run()
    first = kept()["frame"][0]
    assert first == frame_id("f", path.read_bytes())
    path.rename(STILLS / "z.png")
    save(STILLS / "b.png", scene(1))
    list_stills([("z.png", "f", 2020), ("b.png", "g", 2020)])
    ingest.run()
    assert kept().set_index("file").loc["z.png", "frame"] == first


# --- pixels ---

UNTURNED = {
    1: None, 2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_90, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_270,
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", UNTURNED)
def test_exif_orientations_are_undone(orientation: int, suffix: str) -> None:
    turn = UNTURNED[orientation]
    upright = Image.fromarray(scene())
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if turn is None else upright.transpose(turn)
    assert np.array_equal(read(save(STILLS / f"a.{suffix}", stored, exif=exif)), scene())


def test_corrupt_exif_leaves_the_picture_as_it_is() -> None:
    path = save(STILLS / "a.jpg", scene(), exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x12\x01")
    assert read(path).shape == (80, 120, 3)


def test_cmyk_counts_four_bands_and_looks_the_same() -> None:
    path = save(STILLS / "a.jpg", Image.fromarray(scene()).convert("CMYK"), quality=95)
    assert decode.bands(opened(path)) == 4
    assert np.abs(read(path).astype(int) - scene()).mean() < 3


def test_sixteen_bits_keep_their_upper_eight() -> None:
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    path = save(STILLS / "a.png", Image.fromarray(grey))
    assert decode.bands(opened(path)) == 1
    assert np.array_equal(read(path)[..., 0], grey >> 8)


def test_lab_is_converted_to_the_colours_it_names() -> None:
    lab = np.zeros((8, 8, 3), np.uint8)
    lab[:] = (139, 81, 70)  # L* 54.3, a* 80.8, b* 69.9 (D50): sRGB red
    picture = Image.frombytes("LAB", (8, 8), lab.tobytes())
    assert np.abs(np.asarray(decode.to_rgb(picture)).astype(int) - (255, 0, 0)).max() <= 10  # LAB in bytes


def test_alpha_is_composited_over_black() -> None:
    rgba = np.dstack([scene(), np.full((80, 120), 255, np.uint8)])
    rgba[:40, :, 3] = 0
    pixels = read(save(STILLS / "a.png", rgba))
    assert not pixels[:40].any()
    assert np.array_equal(pixels[40:], scene()[40:])


def test_a_palette_counts_the_bands_of_its_colours() -> None:
    path = save(STILLS / "a.png", Image.fromarray(scene()).quantize(256))
    assert decode.bands(opened(path)) == 3
    assert np.abs(read(path).astype(int) - scene()).mean() < 8


def test_of_an_animation_the_first_picture_counts() -> None:
    frames = [Image.fromarray(scene(seed)) for seed in (1, 2)]
    path = save(STILLS / "a.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(read(path), scene(1))


def test_pixels_of_unknown_range_are_undecodable() -> None:
    path = save(STILLS / "a.tif", Image.fromarray(np.ones((8, 8), np.float32)))
    with pytest.raises(decode.Undecodable, match="mode F"):
        read(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif", "bmp"])
def test_a_file_cut_short_is_undecodable(suffix: str) -> None:
    whole = save(STILLS / f"a.{suffix}", scene()).read_bytes()
    with pytest.raises(decode.Undecodable):
        decode.load(io.BytesIO(whole[: len(whole) * 2 // 3]), MAX_PIXELS)


def with_bars(top: int, bottom: int, left: int, right: int, level: int = 12) -> Image.Image:
    return Image.fromarray(np.pad(scene(), ((top, bottom), (left, right), (0, 0)), constant_values=level))


@pytest.mark.parametrize(
    ("bars", "size"),
    [
        ((0, 0, 0, 0), (120, 80)),
        ((15, 15, 0, 0), (120, 80)),  # letterbox
        ((0, 0, 30, 30), (120, 80)),  # pillarbox
        ((15, 15, 20, 20), (120, 80)),  # both
        ((15, 17, 0, 0), (120, 80)),  # not quite equal
        ((30, 0, 0, 0), (120, 110)),  # one end only is the picture's own dark
        ((30, 10, 0, 0), (120, 100)),  # a bar, and the night above the picture
        ((40, 40, 0, 0), (120, 160)),  # more than bars ever are
    ],
)
def test_bars_are_cut_and_the_pictures_own_dark_is_not(bars: tuple[int, ...], size: tuple[int, int]) -> None:
    assert decode.without_bars(with_bars(*bars), level=16).size == size


def test_bars_are_found_through_compression_and_up_to_their_level() -> None:
    path = save(STILLS / "a.jpg", with_bars(15, 15, 0, 0, level=0), quality=85)
    assert decode.without_bars(opened(path), level=16).size == (120, 80)
    dusty = with_bars(15, 15, 0, 0)
    dusty.putpixel((60, 7), (255, 255, 255))
    assert decode.without_bars(dusty, level=16).size == (120, 80)
    assert decode.without_bars(with_bars(15, 15, 0, 0), level=11).size == (120, 110)
    assert decode.without_bars(Image.new("RGB", (120, 80)), level=16).size == (120, 80)


@pytest.mark.parametrize(
    ("colour", "value"), [((255, 0, 0), 104.55), ((0, 0, 255), 133.81), ((128, 128, 128), 0.0), ((255, 255, 255), 0.0)]
)
def test_chroma_has_the_known_values(colour: tuple[int, int, int], value: float) -> None:
    assert decode.chroma(Image.new("RGB", (300, 200), colour)) == pytest.approx(value, abs=0.05)


def test_dhash_says_where_it_gets_brighter() -> None:
    ramp = np.tile(np.linspace(0, 255, 90, dtype=np.uint8), (80, 1))
    assert decode.dhash(Image.fromarray(np.dstack([ramp] * 3))) == "f" * 16
    assert decode.dhash(Image.fromarray(np.dstack([ramp[:, ::-1]] * 3))) == "0" * 16


def test_what_is_kept_is_upright_without_bars_and_in_rgb() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(STILLS / "a.png", with_bars(0, 0, 15, 15).transpose(Transpose.ROTATE_90), exif=exif)
    list_stills([("a.png", "f", 2020)])
    ingest.run()
    row = kept().iloc[0]
    assert (row["width"], row["height"], row["mode"]) == (120, 80, "RGB")
    assert np.array_equal(Pool(paths.INGEST / "shards").pixels(row["frame"]), scene())


# --- the listing ---


def test_years_may_stand_in_films_csv() -> None:
    save(STILLS / "2019" / "deep" / "a.png", scene(1))
    save(STILLS / "b.png", scene(2))
    list_stills([("2019/deep/a.png", "new"), ("b.png", "unknown")], header="file film")
    write_csv(STILLS / "films.csv", "film title year", [("new", "New", 2021), ("old", "Old", 1950)])
    ingest.run()
    assert list(kept()["year"]) == [2021]
    assert ledger() == {"b.png": "missing_year"}


def test_a_subfolder_a_film_needs_films_csv_alone() -> None:
    save(STILLS / "new" / "a.png", scene(1))
    save(STILLS / "old" / "a.png", scene(2))
    save(STILLS / "2019" / "a.png", scene(3))
    save(STILLS / "poster.png", scene(4))
    write_csv(STILLS / "films.csv", "film title year", [("new", "New", "2021.0"), ("old", "Old", 1950)])
    ingest.run()
    assert list(kept()["file"]) == ["new/a.png"]
    assert ledger() == {"old/a.png": "too_old", "2019/a.png": "missing_year", "poster.png": "unlisted"}


def bad_listings() -> dict[str, tuple[str, list[tuple[Any, ...]], str]]:
    """Name: (header, rows, what the error says)."""
    good = ("a.png", "f", 2020)
    return {
        "a file that is not there": ("file film year", [good, ("b.png", "f", 2020)], r"row 3: file 'b.png' is not in"),
        "a path out of the folder": (
            "file film year",
            [("../a.png", "f", 2020)],
            r"row 2: file '../a.png' is not a path",
        ),
        "no file name": ("file film year", [("", "f", 2020)], r"row 2: file '' is not a path"),
        "a year that is none": ("file film year", [("a.png", "f", "MMXX")], r"row 2: year 'MMXX'"),
        "a file listed twice": ("file film year", [good, ("./a.png", "g", 2020)], r"row 3: file 'a.png' stands in an"),
        "a missing column": ("file movie year", [good], r"no column 'film' \(found: file, movie, year\)"),
        "no years anywhere": ("file film", [("a.png", "f")], r"no column 'year'"),
        "no rows": ("file film year", [], r"frames.csv: no rows; list your stills"),
    }


@pytest.mark.parametrize("case", bad_listings())
def test_a_bad_listing_is_named_with_its_row(case: str) -> None:
    header, rows, message = bad_listings()[case]
    save(STILLS / "a.png", scene())
    list_stills(rows, header)
    with pytest.raises(StudyError, match=message):
        ingest.run()


def test_rows_are_counted_as_a_spreadsheet_does() -> None:
    save(STILLS / "a.png", scene())
    table = 'file,film,year,note\n\na.png,f,2020,"two\nlines"\n,,,\nb.png,f,2020,\n'
    (STILLS / "frames.csv").write_text(table)
    with pytest.raises(StudyError, match=r"frames.csv row 5: file 'b.png' is not in"):
        ingest.run()


def bad_texts() -> dict[str, tuple[bytes, str]]:
    """Name: (frames.csv, what the error says)."""
    head = b"file,film,year\n"
    return {
        "too few cells": (head + b"a.png,f\n", r"row 2: 2 cells for 3 columns; quote a value that holds a comma"),
        "too many cells": (head + b"a.png,f,2020\na.png,me, myself,2020\n", r"row 3: 4 cells for 3 columns"),
        "a NUL byte": (head + b"a.png,f\0,2020\n", r"row 2: column 'film' holds a NUL byte; remove it"),
        "a quote left open": (
            head + b'a.png,f,2020\n"b.png,f,2020\nc.png,f,2020\n',
            r"row 3: not CSV \(unexpected end",
        ),
        "a quote within": (head + b'a.png,"f"f,2020\n', r"row 2: not CSV \(',' expected after"),
        "an endless value": (head + b"a.png," + b"f" * 200_000 + b",2020\n", r"row 2: not CSV \(field larger than"),
        "a long name": (head + b"x" * 5_000 + b".png,f,2020\n", r"row 2: file 'xxxxx[x]+...' is not in stills; put it"),
        "a year of many digits": (head + b"a.png,f," + b"2" * 5_000 + b"\n", r"row 2: year '2+...' is not a year from"),
        "a year of other digits": (head + "a.png,f,२०२०\n".encode(), r"row 2: year '२०२०' is not a year from"),
        "a column twice": (b"file,film,year,film\na.png,f,2020,g\n", r"row 1: column 'film' stands twice; rename one"),
        "lines in a name": (head + b'"a\nb.png",f,2020\n', r"row 2: file 'a\\nb.png' is not in stills"),
        "lines in the header": (b'"a\nb",film,year\n', r"no column 'file' \(found: a\\nb, film, year\)"),
        "UTF-16": ("file,film,year\na.png,f,2020\n".encode("utf-16"), r"frames.csv line 1: not UTF-8 \(byte 0xff\)"),
        "nothing": (b"", r"no column 'file' \(found: none\); name it in the first line"),
    }


@pytest.mark.parametrize("case", bad_texts())
def test_a_malformed_table_is_one_line_with_its_row(case: str) -> None:
    content, message = bad_texts()[case]
    save(STILLS / "a.png", scene())
    (STILLS / "frames.csv").write_bytes(content)
    with pytest.raises(StudyError, match=message) as error:
        ingest.run()
    assert len(str(error.value)) < 300
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_any_system_are_read(end: str) -> None:
    save(STILLS / "a.png", scene())
    lines = ["\ufeff file , film,year", ' a.png,"The ""f"", again",2020', ",,", ""]
    (STILLS / "frames.csv").write_bytes(end.join(lines).encode())
    ingest.run()
    assert kept()[["file", "film", "year"]].to_numpy().tolist() == [["a.png", 'The "f", again', 2020]]


def test_licence_source_and_title_go_with_the_frame_its_own_before_its_film_s() -> None:
    for index, name in enumerate("abc"):
        save(STILLS / f"{name}.png", scene(index))
    rows = [("a.png", "f", "own", ""), ("b.png", "f", "", "page 2"), ("c.png", "g", "", "")]
    list_stills(rows, header="file film licence source")
    films = [("f", "F!", 2020, "film's", "page 1"), ("g", "", 2020, "", "")]
    write_csv(STILLS / "films.csv", "film title year licence source", films)
    ingest.run()
    told = kept().set_index("file")[["title", "licence", "source"]].T.to_dict("list")
    assert told == {"a.png": ["F!", "own", "page 1"], "b.png": ["F!", "film's", "page 2"], "c.png": ["", "", ""]}


def test_a_subfolder_a_film_has_its_film_s_licence() -> None:
    save(STILLS / "f" / "a.png", scene())
    write_csv(STILLS / "films.csv", "film year licence", [("f", 2020, "CC BY 4.0")])
    ingest.run()
    assert kept()[["title", "licence", "source"]].to_numpy().tolist() == [["", "CC BY 4.0", ""]]


def test_a_film_without_a_name_or_with_two_licences_is_an_error() -> None:
    save(STILLS / "f" / "a.png", scene())
    write_csv(STILLS / "films.csv", "film year", [("f", 2020), ("", 2021)])
    with pytest.raises(StudyError, match=r"films.csv row 3: film is empty; name it or remove the row"):
        ingest.run()
    write_csv(STILLS / "films.csv", "film year licence", [("f", 2020, "mine"), ("f", 2020, "yours")])
    with pytest.raises(StudyError, match=r"films.csv row 3: film 'f' has another title, licence or source above"):
        ingest.run()


def test_folders_that_are_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "a.png", scene(1))
    save(STILLS / "g" / "b.png", scene(2))
    (STILLS / "f").symlink_to(tmp_path / "elsewhere")
    (STILLS / "g" / "again").symlink_to(STILLS.absolute())
    write_csv(STILLS / "films.csv", "film year", [("f", 2020), ("g", 2020)])
    ingest.run()
    assert list(kept()["file"].sort_values()) == ["f/a.png", "g/b.png"]


def test_a_link_to_nothing_is_named_before_any_work() -> None:
    save(STILLS / "f" / "a.png", scene())
    (STILLS / "f" / "b.png").symlink_to("nowhere.png")
    write_csv(STILLS / "films.csv", "film year", [("f", 2020)])
    with pytest.raises(StudyError, match=r"stills/f/b.png: a link to nothing, or no regular file; fetch it or remove"):
        ingest.run()
    assert not Path(".work").exists()


def test_what_only_looks_like_a_picture_and_is_not_listed_does_not_matter() -> None:
    save(STILLS / "a.png", scene())
    list_stills([("a.png", "f", 2020)])
    (STILLS / "folder.png").mkdir()
    (STILLS / "link.png").symlink_to("nowhere.png")
    os.mkfifo(STILLS / "pipe.png")
    ingest.run()
    assert ledger() == {"link.png": "unlisted", "pipe.png": "unlisted"}


def test_names_that_are_not_utf8_are_written_out() -> None:
    save(STILLS / "f" / "a.png", scene())
    (STILLS / "f" / "a.png").rename(STILLS / "f" / os.fsdecode(b"caf\xe9.png"))
    save(STILLS / "old" / "b.png", scene()).parent.rename(STILLS / os.fsdecode(b"\xe9t\xe9"))
    write_csv(STILLS / "films.csv", "film year", [("f", 2020)])
    ingest.run()
    assert list(kept()["file"]) == ["f/caf\\udce9.png"]
    assert ledger() == {"\\udce9t\\udce9/b.png": "missing_year"}


def test_a_file_that_may_not_be_read_is_in_the_ledger_and_one_that_the_disk_does_not_give_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = Entry("a.png", "f", 2020)
    params = load_params().ingest
    STILLS.mkdir()
    with pytest.raises(StudyError, match=r"stills/a.png: cannot be read \(No such file or directory\); mend that or"):
        rules.examine(entry, folder=STILLS, params=params)
    monkeypatch.setattr(rules, "frame_of", forbid)
    row = rules.examine(entry, folder=STILLS, params=params).row
    assert (row["rule"], row["value"]) == ("undecodable", "Permission denied")


def forbid(film: str, path: Path) -> str:
    raise PermissionError(13, "Permission denied", str(path))


def test_pixels_that_do_not_convert_are_undecodable(monkeypatch: pytest.MonkeyPatch) -> None:
    save(STILLS / "a.png", scene())
    monkeypatch.setattr(rules, "to_rgb", lambda picture: picture.convert("nothing"))
    row = rules.examine(Entry("a.png", "f", 2020), folder=STILLS, params=load_params().ingest).row
    assert (row["rule"], row["value"]) == ("undecodable", "image has wrong mode")


def test_a_file_that_ends_its_process_is_undecodable(monkeypatch: pytest.MonkeyPatch) -> None:
    many_stills(3)
    monkeypatch.setattr(ingest, "examine", deadly)
    ingest.run()
    assert len(kept()) == 2
    row = pd.read_parquet(paths.LEDGER).iloc[0]
    assert row.to_dict() == {
        "file": "01.png", "frame": "", "film": "film 1", "rule": "undecodable",
        "value": "ended its process, or took too long", "limit": "",
    }  # fmt: skip


def deadly(entry: Entry, **options: Any) -> chunks.Done:
    if entry.file == "01.png":
        os._exit(1)
    return rules.examine(entry, **options)


def test_two_tables_that_disagree_on_a_year_are_an_error() -> None:
    save(STILLS / "a.png", scene())
    list_stills([("a.png", "f", 2020)])
    write_csv(STILLS / "films.csv", "film title year", [("f", "F", 2019)])
    with pytest.raises(StudyError, match=r"row 2: year 2020, but films.csv says 2019"):
        ingest.run()
    write_csv(STILLS / "films.csv", "film title year", [("f", "F", 2020), ("f", "F", 2019)])
    with pytest.raises(StudyError, match=r"films.csv row 3: film 'f' has the year 2020 in another row"):
        ingest.run()


def test_an_empty_folder_says_what_to_put_there() -> None:
    with pytest.raises(StudyError, match=r"stills: no such folder; put your stills and frames.csv"):
        ingest.run()
    STILLS.mkdir()
    with pytest.raises(StudyError, match=r"no frames.csv, nor films.csv .*; put your stills"):
        ingest.run()
    write_csv(STILLS / "films.csv", "film title year", [("f", "F", 2020)])
    with pytest.raises(StudyError, match="no pictures in the subfolders"):
        ingest.run()


def test_a_table_in_another_encoding_is_named() -> None:
    STILLS.mkdir()
    (STILLS / "frames.csv").write_bytes("file,film,year\na.png,Amélie,2001\n".encode("latin-1"))
    with pytest.raises(StudyError, match=r"frames.csv line 2: not UTF-8 \(byte 0xe9\); save it as CSV in UTF-8"):
        ingest.run()


# --- the run ---


def many_stills(count: int) -> None:
    for index in range(count):
        save(STILLS / f"{index:02d}.png", scene(index))
    list_stills([(f"{index:02d}.png", f"film {index % 3}", 2020) for index in range(count)])


def output() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(paths.INGEST.rglob("*")) if path.is_file()}


def interrupted(entry: Any, log: Path, **options: Any) -> chunks.Done:
    """Examine a file, but break at the end of the second chunk; the log has a line for each file."""
    with log.open("a") as file:
        file.write(f"{entry.file}\n")
    if len(log.read_text().split()) == 2 * chunks.CHUNK:
        raise KeyboardInterrupt
    return rules.examine(entry, **options)


def test_a_broken_run_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    many_stills(3 * chunks.CHUNK)
    ingest.run()
    unbroken = output()
    shutil.rmtree(paths.INGEST)
    monkeypatch.setattr(chunks, "cores", lambda: 1)
    log = tmp_path / "seen"

    monkeypatch.setattr(ingest, "examine", partial(interrupted, log=log))
    with pytest.raises(KeyboardInterrupt):
        ingest.run()
    log.write_text("before\n" * 1000)
    ingest.run()
    again = log.read_text().split()[1000:]
    assert set(again) >= {f"{index:02d}.png" for index in range(chunks.CHUNK, 2 * chunks.CHUNK)}
    assert not set(again) & {f"{index:02d}.png" for index in range(chunks.CHUNK)}
    assert output() == unbroken


def test_a_changed_file_is_not_taken_from_the_work_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    save(STILLS / "a.bmp", scene(1))  # as large, in bytes, as what replaces it
    list_stills([("a.bmp", "f", 2020)])
    monkeypatch.setattr(ingest.shutil, "rmtree", lambda folder: None)  # as after a kill before the end
    ingest.run()
    save(STILLS / "a.bmp", scene(77))
    ingest.run()
    frame = kept()["frame"][0]
    assert np.array_equal(Pool(paths.INGEST / "shards").pixels(frame), scene(77))


def test_the_command_ends_with_one_line_and_code_2_on_bad_input(study: Path) -> None:
    done = run_module("stages.ingest", study)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: stills: no such folder; put your stills and frames.csv")


def test_the_command_names_an_unknown_parameter(study: Path) -> None:
    write_params(study, ingest__min_yeer=2013)
    done = run_module("stages.ingest", study)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "min_yeer" in done.stderr
