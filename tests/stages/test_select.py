"""The splits: disjoint in films, balanced in shot types, and the same for the same seed."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dreamshot import paths
from dreamshot.errors import StudyError
from dreamshot.params import SHOT_TYPES, Select
from dreamshot.records import write_table
from stages import select
from tests.stills import LABELS, run_module, write_csv, write_params


@pytest.fixture(autouse=True)
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    return tmp_path


def have(films: int = 3, each: int = 2, rejected: tuple[str, ...] = ("old.png",)) -> list[tuple[str, str]]:
    """The records of ``films`` films with ``each`` crops a shot type; returns the labels (file, shot type)."""
    rows = [
        (f"{film:02d}{kind}{index:02d}".ljust(16, "0"), f"film {film}", f"{film}-{shot_type}-{index}.png", shot_type)
        for film in range(films)
        for kind, shot_type in enumerate(SHOT_TYPES)
        for index in range(each)
    ]
    table = pd.DataFrame(rows, columns=["frame", "film", "file", "shot_type"])
    write_table(table[["frame", "film", "file"]], paths.FRAMES, by="frame")
    write_table(table[["frame", "film"]], paths.CROP_ROWS, by="frame")
    gone = pd.DataFrame({"file": rejected, "frame": [f"gone {file}" for file in rejected]})
    write_table(gone.assign(film="f", rule="too_old", value="", limit=""), paths.LEDGER, by="file")
    return list(zip(table["file"], table["shot_type"], strict=True))


def chosen() -> pd.DataFrame:
    return pd.read_parquet(paths.SELECT_ROWS)


def pool(seed: int, films: int = 40) -> pd.DataFrame:
    """Labelled frames as they come: films of very different sizes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 15, (films, 3))
    rows = [
        (f"{film}-{kind}-{index}", f"film {film}", SHOT_TYPES[kind])
        for film in range(films)
        for kind in range(3)
        for index in range(sizes[film, kind])
    ]
    return pd.DataFrame(rows, columns=["frame", "film", "shot_type"])


@pytest.mark.parametrize("seed", range(5))
def test_quotas_caps_and_films_hold(seed: int) -> None:
    params = Select(train=30, test=20, probe=15, max_per_film=4)
    rows = select.select(pool(seed), params, study_seed=seed)
    counts = rows.groupby(["split", "shot_type"]).size().unstack()
    for split in select.SPLITS:
        assert (counts.loc[split] == getattr(params, split)).all()
    assert (rows.groupby("film")["split"].nunique() == 1).all()
    assert rows.groupby(["film", "shot_type"]).size().max() <= 4
    assert not rows["frame"].duplicated().any()


def test_the_same_seed_chooses_the_same_whatever_the_order_and_another_seed_another() -> None:
    params = Select(train=30, test=20, probe=15, max_per_film=4)
    rows = pool(0)
    first = select.select(rows, params, 1).sort_values("frame").reset_index(drop=True)
    again = select.select(rows.sample(frac=1, random_state=3), params, 1).sort_values("frame").reset_index(drop=True)
    other = select.select(rows, params, 2)
    assert first.equals(again)
    assert set(first["frame"]) != set(other["frame"])


def test_every_film_gives_one_frame_before_any_gives_two() -> None:
    rows = pd.DataFrame({"frame": [f"{i:03d}" for i in range(60)], "film": [f"{i % 6}" for i in range(60)]})
    few = select.choose(rows.assign(shot_type="close", split="train"), 9, study_seed=0)
    assert sorted(few.groupby("film").size()) == [1, 1, 1, 2, 2, 2]


def test_where_chance_fails_the_exact_search_finds_the_only_way() -> None:
    """A film has one type; its sizes are powers of two, so that each quota is one sum of them."""
    offer = np.kron(np.eye(3, dtype=int), 2 ** np.arange(6)[:, None])
    quotas = np.array([32 + 8 + 2, 16 + 4, 1])
    assert select.shortfall(select.by_chance(offer, quotas, np.random.default_rng(0)), offer, quotas).any()
    split_of = select.assign(offer, quotas, np.random.default_rng(0))
    assert not select.shortfall(split_of, offer, quotas).any()
    assert list(split_of[:6]) == [2, 0, 1, 0, 1, 0]


def test_what_cannot_be_met_is_told_with_the_best_that_can() -> None:
    params = Select(train=3, test=2, probe=2, max_per_film=2)
    films = [f"film {number}" for number in range(3)]
    rows = pd.DataFrame([(f"{film}{t}{i}", film, t) for film in films for t in SHOT_TYPES for i in range(2)])
    rows.columns = pd.Index(["frame", "film", "shot_type"])
    with pytest.raises(
        StudyError, match=r"shot type close: train has 2 of 3 frames .*; lower select.train or label more"
    ):
        select.select(rows, params, 0)


def test_a_film_with_many_frames_does_not_fill_a_quota_alone() -> None:
    params = Select(train=4, test=4, probe=4, max_per_film=4)
    films = [f"film {number}" for number in range(3)]
    rows = pd.DataFrame([(f"{film}{t}{i}", film, t) for film in films for t in SHOT_TYPES for i in range(9)])
    rows.columns = pd.Index(["frame", "film", "shot_type"])
    assert (select.select(rows, params, 0).groupby(["film", "shot_type"]).size() == 4).all()
    with pytest.raises(StudyError, match=r"has 3 of 4 frames .*at most 3 a film and type"):
        select.select(rows, params.model_copy(update={"max_per_film": 3}), 0)


def test_a_few_frames_are_enough() -> None:
    write_csv(Path(LABELS), "file shot_type", have(films=3, each=1))
    select.run()
    rows = chosen()
    assert len(rows) == 9
    assert (rows.groupby(["split", "shot_type"]).size() == 1).all()


def test_labels_may_name_frames_instead_of_files() -> None:
    labels = have()
    frames = pd.read_parquet(paths.FRAMES).set_index("file")["frame"]
    write_csv(Path(LABELS), "frame shot_type who", [(frames[file], label, "me") for file, label in labels])
    select.run()
    assert len(chosen()) == 9


def test_labels_that_are_not_used_and_those_of_rejected_frames_are_left_out() -> None:
    labels = have(films=4)
    spare = [file for file, _ in labels if file.startswith("3-")]
    words = dict(zip(spare, ["reject", "unknown", ""] * 2, strict=True))
    write_csv(
        Path(LABELS), "file shot_type", [*((file, words.get(file, t)) for file, t in labels), ("old.png", "close")]
    )
    select.run()
    assert "film 3" not in set(chosen()["film"])
    facts = json.loads((paths.SELECT / "run.json").read_text())
    assert (facts["labels"], facts["labels_of_rejected_frames"]) == (25, 1)


BAD = {
    "an unknown file": ([("nowhere.png", "close")], r"labels.csv row 20: file 'nowhere.png' is none that ingest"),
    "an unknown word": ([("old.png", "wide")], r"row 20: shot_type 'wide' is not one of close, medium, long, reject"),
    "two labels": ([("0-close-0.png", "long")], r"row 20: shot_type 'long', but 'close' in row 2 for the same frame"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_label_is_named_with_its_row_and_the_last_result_stays(case: str) -> None:
    labels = have()
    write_csv(Path(LABELS), "file shot_type", labels)
    select.run()
    before = paths.SELECT_ROWS.read_bytes()
    extra, message = BAD[case]
    write_csv(Path(LABELS), "file shot_type", [*labels, *extra])
    with pytest.raises(StudyError, match=message):
        select.run()
    assert paths.SELECT_ROWS.read_bytes() == before


def test_a_label_of_an_unknown_frame_is_named() -> None:
    have()
    write_csv(Path(LABELS), "frame shot_type", [("0" * 15 + "f", "close")])
    with pytest.raises(StudyError, match=r"row 2: frame '000000000000000f' is none that ingest has seen"):
        select.run()


def test_an_empty_class_is_named() -> None:
    write_csv(Path(LABELS), "file shot_type", [label for label in have() if label[1] != "long"])
    with pytest.raises(StudyError, match="shot type long: none of 18 frames has this label"):
        select.run()


def test_a_table_without_shot_types_is_named() -> None:
    have()
    write_csv(Path(LABELS), "file label", [])
    with pytest.raises(StudyError, match=r"labels.csv: no column 'shot_type' \(found: file, label\)"):
        select.run()


def test_the_command_ends_with_one_line_and_code_2_without_labels(study: Path) -> None:
    have()
    done = run_module("stages.select", study)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "labels.csv: no such file" in done.stderr
