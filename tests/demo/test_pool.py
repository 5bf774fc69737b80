"""The demo's raw pool: the faults are where the truth says, and the committed labels belong to its crops."""

import csv
from collections import Counter
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from demo import labels, pool
from demo.draw import draw
from demo.world import SHOT_TYPES, Film, make_films, sample_shot, shot_type
from dreamshot import paths
from dreamshot.models import fetch, write_model_record
from dreamshot.params import load_params
from dreamshot.records import Pool
from dreamshot.work import folder_hash
from stages import crop
from stages.ingest import __main__ as ingest
from tests.stills import REPO, write_params

RULES = {"grey": "channels", "grey_in_rgb": "chroma", "tiny": "min_side", "truncated": "undecodable"}


@pytest.fixture(scope="module")
def films() -> tuple[Film, ...]:
    return make_films(pool.SEED, pool.FILMS)


@pytest.fixture(scope="module")
def stills(films: tuple[Film, ...]) -> list[pool.Still]:
    return pool.plan(films)


@pytest.fixture(scope="module")
def sample(films: tuple[Film, ...], stills: list[pool.Still], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some stills of every kind, each copy beside what it copies, and what ingest makes of them."""
    folder = tmp_path_factory.mktemp("pool")
    chosen = {
        still.file: still for defect in ("", *pool.DEFECTS) for still in [s for s in stills if s.defect == defect][:2]
    }
    chosen |= {s.file: s for s in stills if s.film.letterboxed and s.film.year >= pool.RECENT and s.index == 0}
    chosen |= {s.file: s for s in stills if s.film.year < pool.RECENT and s.index == 0}
    copied = {(s.film.id, s.index) for s in chosen.values() if s.defect in ("duplicate", "near_duplicate")}
    chosen |= {s.file: s for s in stills if (s.film.id, s.index) in copied}
    pool.write_pool(folder / "stills", films, sorted(chosen.values(), key=lambda still: still.file))
    write_params(folder, ingest__min_side=128)
    with chdir(folder):
        ingest.run()
    return folder


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_pool_is_large_enough_and_has_its_faults(films: tuple[Film, ...], stills: list[pool.Still]) -> None:
    assert len(films) >= 60
    assert len({still.file for still in stills}) == len(stills) > 900
    assert Counter(still.defect for still in stills if still.defect) == pool.DEFECTS
    assert any(film.year < pool.RECENT for film in films)
    assert all(still.film.year >= pool.RECENT for still in stills if still.defect)


def test_ingest_finds_every_fault_by_its_rule_and_keeps_the_rest(sample: Path) -> None:
    ledger = pd.read_parquet(sample / paths.LEDGER).set_index("file")["rule"].to_dict()
    rows = read_csv(sample / "stills/truth.csv")
    years = {row["file"]: int(row["year"]) for row in read_csv(sample / "stills/frames.csv")}
    wanted = {
        row["file"]: "too_old" if years[row["file"]] < pool.RECENT else RULES.get(row["defect"], row["defect"])
        for row in rows
        if years[row["file"]] < pool.RECENT or row["defect"] in (*RULES, "duplicate", "near_duplicate")
    }
    assert ledger == wanted
    assert set(ledger.values()) >= {"too_old", "channels", "chroma", "min_side", "undecodable", "near_duplicate"}
    kept = pd.read_parquet(sample / paths.FRAMES)
    assert (kept["height"] == pool.HEIGHT).all()  # the bars are gone, to the row


def test_the_boxes_hold_in_the_kept_frames(sample: Path, stills: list[pool.Still]) -> None:
    """What ingest kept of a still with bars is the very picture that the boxes were drawn for."""
    heads = {row["file"]: row["head"] for row in read_csv(sample / "stills/truth.csv")}
    frames = Pool(sample / paths.INGEST / "shards")
    kept = pd.read_parquet(sample / paths.FRAMES).set_index("file")["frame"]
    barred = [
        still for still in stills if still.file in kept and still.film.letterboxed and still.defect in ("", "exif")
    ]
    assert {still.film.aspect for still in barred} == set(pool.SCREENS)
    for still in barred:
        drawn = draw(sample_shot(still.film, still.index, pool.SEED), pool.HEIGHT)
        assert heads[still.file] == pool.box(drawn.head_box)
        difference = frames.pixels(kept[still.file]).astype(int) - drawn.pixels
        assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("orientation", pool.UNTURNED)
def test_a_turned_still_is_upright_for_who_reads_its_exif(orientation: int, tmp_path: Path) -> None:
    ramp = np.zeros((32, 48, 3), np.uint8)
    ramp[:16, :24] = 255
    path = tmp_path / "a.jpg"
    path.write_bytes(pool.turned(Image.fromarray(ramp), orientation))
    with Image.open(path) as picture:
        assert picture.getexif()[0x0112] == orientation
        assert np.abs(np.asarray(ImageOps.exif_transpose(picture)).astype(int) - ramp).mean() < 3


def test_the_same_stills_have_the_same_bytes(stills: list[pool.Still], films: tuple[Film, ...], tmp_path: Path) -> None:
    some = [still for still in stills if still.film == stills[0].film]
    pool.write_pool(tmp_path / "one", films[:1], some)
    pool.write_pool(tmp_path / "two", films[:1], some)
    assert folder_hash(tmp_path / "one") == folder_hash(tmp_path / "two")


def test_the_committed_labels_are_those_of_the_crops(sample: Path) -> None:
    detector = {"models__detector__source": str(REPO / "demo/models/detector"), "crop__method": "detector"}
    write_params(sample, ingest__min_side=128, **detector)
    with chdir(sample):
        write_model_record("detector", fetch("detector", load_params().models.detector))
        crop.run()
        squares = labels.read_squares()
    committed = {row["file"]: (row["shot_type"], row["reason"]) for row in read_csv(REPO / labels.LABELS)}
    truth = {row["file"]: row for row in read_csv(sample / "stills/truth.csv")}
    assert len(squares) >= 30
    for file, x, side in zip(squares["file"], squares["x"], squares["side"], strict=True):
        assert committed[file] == labels.label(truth[file], x, side)


def test_only_border_cases_and_cut_heads_are_rejected(stills: list[pool.Still]) -> None:
    rows = {row["file"]: row["shot_type"] for row in read_csv(REPO / labels.LABELS)}
    given = Counter(rows.values())
    assert given["reject"] < len(rows) / 4
    assert min(given[name] for name in SHOT_TYPES) > 300
    for still in stills:
        if rows.get(still.file, "reject") != "reject":
            assert rows[still.file] == shot_type(sample_shot(still.film, still.index, pool.SEED).distance)


@pytest.mark.parametrize(("left", "kept"), [(0, 1.0), (40, 1.0), (45, 0.75), (60, 0.0), (-70, 0.5), (-90, 0.0)])
def test_the_share_of_a_head_that_a_crop_keeps(left: float, kept: float) -> None:
    assert labels.head_kept((40, 10, 60, 40), left, 120) == kept


@pytest.mark.parametrize(("left", "wanted"), [(0, ("close", "")), (50, ("reject", "subject cut"))])
def test_a_crop_that_cuts_the_head_is_rejected(left: float, wanted: tuple[str, str]) -> None:
    truth = {"caption": "a man", "distance": "0.25", "head": "40 10 60 40", "border": "False", "shot_type": "close"}
    assert labels.label(truth, left, 120) == wanted
