"""The square lies on what matters, is as large as it can be and never enlarged."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dreamshot import paths
from dreamshot.errors import StudyError
from dreamshot.models import fetch, load_detector, write_model_record
from dreamshot.params import Crop, Weights
from dreamshot.records import Pool
from stages import chunks, crop
from stages.detect import Found, find, known, place
from stages.fetch import NONE
from stages.ingest import __main__ as ingest
from tests.stills import FRAMES, run_module, save, scene, write_csv, write_params
from tests.tiny_models import write_captioner, write_detector

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


def head(x: float, y: float = 20.0, size: float = 20.0, score: float = 0.9) -> Found:
    return Found("head", score, (x, y, x + size, y + size))


def person(x: float, width: float = 60.0, score: float = 0.9, y: float = 20.0, bottom: float = 100.0) -> Found:
    return Found("person", score, (x, y, x + width, bottom))


@pytest.mark.parametrize(("found", "x"), [
    ([head(200)], 160),
    ([head(10)], 0),
    ([person(200), head(220)], 180),
    ([person(170, width=100), head(240)], 170),
    ([person(100, width=190), head(200)], 160),
    ([person(0), head(20), person(240), head(260, size=30)], 200),
    ([person(0), head(20, score=0.5), person(240), head(260, score=0.95)], 200),
    ([head(100, size=40), head(150, size=20)], 70),
    ([head(100, size=40), head(190, size=20)], 105),
    ([Found("dog", 0.8, (150.0, 50.0, 190.0, 90.0))], 120),
    ([head(80, size=140)], 100),
], ids=[
    "in the middle", "as near to it as the frame lets", "the whole body, then the head in the middle",
    "a whole body before the middle", "what is wider than the square counts everywhere alike", "the larger of two",
    "the surer of two", "both where both fit, about the larger", "both where both just fit", "neither head nor person",
    "a head wider than the square",
])  # fmt: skip
def test_the_square_lies_about_what_was_found(found: list[Found], x: int) -> None:
    assert place(found, 300, 100) == pytest.approx((x, 0), abs=5)


def test_a_whole_head_goes_before_much_of_a_body() -> None:
    found = [person(100, width=150), head(90)]
    assert place(found, 300, 100)[0] <= 90
    assert place(found[:1], 300, 100)[0] >= 100


def test_the_place_does_not_hang_on_the_order() -> None:
    found = [person(0), head(20), person(200, width=70), head(225), person(120), head(140)]
    assert len({place(found[turn:] + found[:turn], 300, 100) for turn in range(6)}) == 1


def test_a_tall_frame_is_cut_below_the_head_of_whom_no_head_was_found() -> None:
    x, y = place([person(20, width=60, y=50, bottom=300)], 100, 300)
    assert x == 0
    assert 0 <= y <= 50


@pytest.mark.parametrize(("width", "height"), [(300, 100), (100, 300), (100, 100), (101, 100)])
def test_every_place_lies_in_the_frame(width: int, height: int) -> None:
    rng = np.random.default_rng(width + height)
    for _ in range(50):
        corners = np.sort(rng.uniform(0, 1, (3, 2, 2)), axis=1) * (width, height)
        found = [
            Found(name, 0.7, tuple(box.ravel())) for name, box in zip(("person", "head", "dog"), corners, strict=True)
        ]
        x, y = place(found, width, height)
        assert 0 <= x <= width - min(width, height)
        assert 0 <= y <= height - min(width, height)


def test_classes_are_known_in_any_case_and_one_is_enough() -> None:
    assert known(["head", "PERSON"], {0: "N/A", 1: "Person", 2: "dog"}) == {1: "person"}


def test_classes_that_the_model_does_not_know_are_named_with_those_that_it_knows() -> None:
    with pytest.raises(StudyError, match=r"crop.keep = \['dragon'\]: the detector knows none .* knows person, head"):
        known(["dragon"], {0: "person", 1: "head"})
    with pytest.raises(StudyError, match=r"knows a0, a1, .*, a11 and 79 more$"):
        known(["dragon"], {number: f"a{number}" for number in range(91)})


DETECTOR = Weights(source="tiny/detector", revision="")


@pytest.fixture
def detecting(study: Path) -> Path:
    """A study whose squares are placed by a tiny detector that was fetched."""
    write_detector(study / DETECTOR.source, seed=1)
    set_detector(study)
    write_model_record("detector", fetch("detector", DETECTOR))
    return study


def set_detector(study: Path, **changes: object) -> None:
    settings = {"crop__method": "detector", "models__detector__source": DETECTOR.source, "crop__threshold": 0.2}
    write_params(study, **(settings | changes))


def test_the_detector_s_crops_are_placed_by_what_it_finds(detecting: Path) -> None:
    take_in(spotted(60), scene(1, 80, 120))
    crop.run()
    frames = Pool(paths.INGEST / "shards")
    params = Crop(method="detector", size=64, keep=["person", "head"], threshold=0.2)
    for row in pd.read_parquet(paths.CROP_ROWS).itertuples():
        pixels = frames.pixels(row.frame)
        found = find(pixels, *load_detector(DETECTOR), params)
        assert found
        assert (row.x, row.y) == place(found, pixels.shape[1], pixels.shape[0])
        assert row.side == min(pixels.shape[:2])
    run = json.loads((paths.CROPS / "run.json").read_text())
    assert run["models"] == {"detector": fetch("detector", DETECTOR)["sha256"]}
    assert run["blind"] == 0


def test_what_is_found_is_wanted_sure_and_in_the_frame(detecting: Path) -> None:
    processor, model = load_detector(DETECTOR)
    every = find(scene(1), processor, model, Crop(method="detector", size=64, keep=["head", "person"], threshold=0.0))
    assert {thing.name for thing in every} == {"head", "person"}
    assert [thing.score for thing in every] == sorted((thing.score for thing in every), reverse=True)
    for thing in every:
        x0, y0, x1, y1 = thing.box
        assert 0 <= x0 < x1 <= 120
        assert 0 <= y0 < y1 <= 80
    sure = every[2].score
    assert every[1].name == "head"
    some = find(scene(1), processor, model, Crop(method="detector", size=64, keep=["Head"], threshold=sure))
    assert some == [every[1]]


def test_where_nothing_is_found_attention_serves_and_is_counted(
    detecting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take_in(spotted(60), scene(1, 80, 120))
    set_detector(detecting, crop__threshold=1.0)
    crop.run()
    blind = paths.CROP_ROWS.read_bytes()
    assert json.loads((paths.CROPS / "run.json").read_text())["blind"] == 2
    assert "by detector, 2 of them by attention: nothing was found" in capsys.readouterr().out
    write_params(detecting)
    crop.run()
    assert paths.CROP_ROWS.read_bytes() == blind


def test_several_processes_place_as_one(detecting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_in(*(scene(seed, 120 + seed, 80) for seed in range(20)))
    tables = set()
    for cores in (1, 2):
        monkeypatch.setattr(chunks, "cores", lambda count=cores: count)
        crop.run()
        tables.add(paths.CROP_ROWS.read_bytes())
    assert len(tables) == 1


@pytest.mark.parametrize("record", [NONE, {"source": "another", "revision": "", "sha256": "0"}])
def test_a_detector_that_was_not_fetched_is_named(detecting: Path, record: dict[str, str]) -> None:
    take_in(scene(1))
    write_model_record("detector", record)
    with pytest.raises(StudyError, match=r"data/models/detector.json: .*, not 'tiny/detector'; run `dvc repro fetch`"):
        crop.run()


def test_classes_are_checked_before_any_frame_is_cut(detecting: Path) -> None:
    take_in(scene(1))
    set_detector(detecting, crop__keep=["dragon"])
    with pytest.raises(StudyError, match=r"knows none of them; it knows Person, Head"):
        crop.run()
    assert not list(Path(".work/crop").glob("*/*"))


@pytest.mark.parametrize(("write", "reason"), [
    (write_captioner, r"config.json says \['Blip2ForConditionalGeneration'\], which finds no objects; take "),
    (lambda folder: folder.mkdir(), r"cannot be loaded \("),
])  # fmt: skip
def test_a_folder_that_is_no_detector_is_one_line(study: Path, write: Callable[[Path], object], reason: str) -> None:
    write(study / "wrong")
    weights = Weights(source="wrong", revision="")
    with pytest.raises(StudyError, match=rf"^models.detector.source = 'wrong': {reason}") as error:
        load_detector(weights)
    assert "\n" not in str(error.value)


def test_a_wrong_class_ends_the_command_with_one_line(detecting: Path) -> None:
    take_in(scene(1))
    set_detector(detecting, crop__keep=["dragon"])
    done = run_module("stages.crop", detecting)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: crop.keep = ['dragon']: the detector knows none of them; it knows Person, Head"
    ]
