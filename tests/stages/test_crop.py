"""The square lies on what matters, is as large as it can be and never enlarged."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dreamshot import paths
from dreamshot.errors import StudyError
from dreamshot.records import Pool
from stages import crop
from stages.ingest import __main__ as ingest
from tests.stills import FRAMES, run_module, save, scene, write_csv, write_params

STILLS = Path(FRAMES)


@pytest.fixture(autouse=True)
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    return tmp_path


def take_in(*pictures: np.ndarray) -> None:
    """The pictures as stills that ingest has kept."""
    for index, pixels in enumerate(pictures):
        save(STILLS / f"{index}.png", pixels)
    write_csv(STILLS / "frames.csv", "file film year", [(f"{index}.png", "f", 2020) for index in range(len(pictures))])
    ingest.run()


def spotted(x: int) -> np.ndarray:
    """A calm wide ground with one skin-coloured, detailed spot in the middle of column ``x``."""
    pixels = np.full((100, 300, 3), (90, 120, 150), np.uint8)
    noise = np.random.default_rng(0).integers(-30, 30, (40, 30, 1))
    pixels[30:70, x - 15 : x + 15] = np.clip(np.array((225, 160, 130)) + noise, 0, 255)
    return pixels


@pytest.mark.parametrize("method", ["attention", "entropy"])
@pytest.mark.parametrize("x", [60, 150, 240])
def test_the_square_holds_the_one_thing_in_the_picture(x: int, method: str) -> None:
    left, top, side = crop.square(spotted(x), method)
    assert (top, side) == (0, 100)
    assert left <= x - 15
    assert x + 15 <= left + side


@pytest.mark.parametrize(
    ("shape", "place"), [((80, 121), (20, 0, 80)), ((120, 80), (0, 20, 80)), ((64, 64), (0, 0, 64))]
)
def test_the_centre_is_the_centre(shape: tuple[int, int], place: tuple[int, int, int]) -> None:
    assert crop.square(scene(0, shape[1], shape[0]), "centre") == place


def test_the_crops_are_what_the_table_says(study: Path) -> None:
    take_in(spotted(60), spotted(240), scene(1, 80, 120))
    write_params(study, crop__size=64)
    crop.run()
    rows = pd.read_parquet(paths.CROP_ROWS)
    frames, crops = Pool(paths.INGEST / "shards"), Pool(paths.CROPS / "shards")
    assert list(rows["frame"]) == sorted(frames) == list(crops)
    for row in rows.itertuples():
        cut = frames.image(row.frame).crop((row.x, row.y, row.x + row.side, row.y + row.side))
        assert row.side == min(frames.image(row.frame).size)
        assert np.array_equal(crops.pixels(row.frame), np.asarray(cut.resize((64, 64), Image.Resampling.LANCZOS)))
    assert json.loads((paths.CROPS / "run.json").read_text())["params"]["method"] == "attention"


def test_a_frame_of_the_very_size_keeps_its_pixels() -> None:
    take_in(scene(3, 64, 64))
    crop.run()
    pool = Pool(paths.CROPS / "shards")
    assert np.array_equal(pool.pixels(next(iter(pool))), scene(3, 64, 64))


def test_nothing_is_enlarged(study: Path) -> None:
    take_in(scene(1), scene(2, 120, 70))
    write_params(study, crop__size=72)
    with pytest.raises(StudyError, match=r"crop.size = 72: .*\(1.png\) is 120 x 70 .* set ingest.min_side"):
        crop.run()
    assert not paths.CROPS.exists()


def test_the_command_ends_with_one_line_and_code_2_where_ingest_has_not_run(study: Path) -> None:
    done = run_module("stages.crop", study)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "data/ingest/frames.parquet: no such table" in done.stderr
