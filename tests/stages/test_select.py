"""The splits: disjoint in films, balanced in shot types, and the same for the same seed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dreamshot import paths
from dreamshot.errors import StudyError
from dreamshot.labels import TABLE_COLUMNS, Label, append
from dreamshot.params import SHOT_TYPES, NearDuplicate, Select, load_params
from dreamshot.records import write_shards, write_table
from stages import select
from tests.stills import LABELS, run_module, scene, write_csv, write_params

NEAR = NearDuplicate(dhash_distance=6, likeness=0.98)


def quotas(train: int, test: int, probe: int, cap: int, film_disjoint: bool = True) -> Select:
    return Select(
        train=train, test=test, probe=probe, max_per_film=cap, film_disjoint=film_disjoint, near_duplicate=NEAR,
        medium_close_ups="keep",
    )  # fmt: skip


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
    table = table.assign(dhash=[f"{place:016x}" for place in range(len(table))], width=120, height=80)
    write_table(table.drop(columns="shot_type"), paths.FRAMES, by="frame")
    write_table(table[["frame", "film"]].assign(x=10, y=0, side=80), paths.CROP_ROWS, by="frame")
    write_shards(((frame, scene(place)) for place, frame in enumerate(table["frame"])), paths.INGEST / "shards")
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
    params = quotas(30, 20, 15, 4)
    rows = select.select(pool(seed), params, study_seed=seed)
    counts = rows.groupby(["split", "shot_type"]).size().unstack()
    for split in select.SPLITS:
        assert (counts.loc[split] == getattr(params, split)).all()
    assert (rows.groupby("film")["split"].nunique() == 1).all()
    assert rows.groupby(["film", "shot_type"]).size().max() <= 4
    assert not rows["frame"].duplicated().any()


def test_the_same_seed_chooses_the_same_whatever_the_order_and_another_seed_another() -> None:
    params = quotas(30, 20, 15, 4)
    rows = pool(0)
    first = select.select(rows, params, 1).sort_values("frame").reset_index(drop=True)
    again = select.select(rows.sample(frac=1, random_state=3), params, 1).sort_values("frame").reset_index(drop=True)
    other = select.select(rows, params, 2)
    assert first.equals(again)
    assert set(first["frame"]) != set(other["frame"])


def test_every_film_gives_one_frame_before_any_gives_two() -> None:
    rows = pd.DataFrame({"frame": [f"{i:03d}" for i in range(60)], "film": [f"{i % 6}" for i in range(60)]})
    few = select.choose(select.drawn(rows.assign(shot_type="close", split="train"), study_seed=0), 9)
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
    params = quotas(3, 2, 2, 2)
    films = [f"film {number}" for number in range(3)]
    rows = pd.DataFrame([(f"{film}{t}{i}", film, t) for film in films for t in SHOT_TYPES for i in range(2)])
    rows.columns = pd.Index(["frame", "film", "shot_type"])
    with pytest.raises(
        StudyError,
        match=r"close lacks 1 of 7 frames \(train 1\), medium lacks 1 of 7 frames \(train 1\), long .*; no film",
    ):
        select.select(rows, params, 0)


def test_a_film_with_many_frames_does_not_fill_a_quota_alone() -> None:
    params = quotas(4, 4, 4, 4)
    films = [f"film {number}" for number in range(3)]
    rows = pd.DataFrame([(f"{film}{t}{i}", film, t) for film in films for t in SHOT_TYPES for i in range(9)])
    rows.columns = pd.Index(["frame", "film", "shot_type"])
    assert (select.select(rows, params, 0).groupby(["film", "shot_type"]).size() == 4).all()
    with pytest.raises(
        StudyError, match=r"close lacks 3 of 12 frames \(train 1, test 1, probe 1\), .*at most 3 a film and type"
    ):
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
    assert (facts["labels"], facts["frames_not_current"]) == (21, 1)


BAD = {
    "an unknown file": ([("nowhere.png", "close")], r"labels.csv row 20: file 'nowhere.png' is none that ingest"),
    "an unknown word": ([("old.png", "wide")], r"row 20: shot_type 'wide' is not one of close, medium, long, reject"),
    "two labels": (
        [("0-close-0.png", "long")],
        r"row 20: shot_type 'long', but 'close' in labels.csv row 2",
    ),
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
    assert "labels.csv: no labels there; run `make label`" in done.stderr


# --- several people, other crops, the disputed class ---


def logged(frame: str, shot_type: str, who: str, second: int, **more: Any) -> None:
    """A row in a log beside the table of labels."""
    append(Path("labels"), Label(frame, shot_type, who, time=f"2026-01-01T00:00:{second:02d}.000Z", **more))


def with_logs(study: Path) -> list[str]:
    """Labels as a table in a folder; returns the frames in the order of the labels."""
    write_params(study, labels="labels")
    labels = have()
    write_csv(Path("labels/table.csv"), "file shot_type", labels)
    frames = pd.read_parquet(paths.FRAMES).set_index("file")["frame"]
    return [frames[file] for file, _ in labels]


def looks(frame: str) -> list[tuple[str, int, bool]]:
    """(who, turn, current) of a frame's labels."""
    rows = pd.read_parquet(paths.LABEL_ROWS)
    rows = rows[rows["frame"] == frame]
    return list(zip(rows["who"], rows["turn"], rows["current"], strict=True))


def test_the_first_label_counts_and_later_ones_are_second_looks(study: Path) -> None:
    frame = with_logs(study)[0]
    logged(frame, "reject", "ben", 2, reason="nobody", seconds=1.5)
    logged(frame, "reject", "anna", 1)
    select.run()
    assert looks(frame) == [("table", 0, True), ("anna", 1, True), ("ben", 2, True)]
    rows = pd.read_parquet(paths.LABEL_ROWS)
    assert list(rows.columns) == TABLE_COLUMNS
    assert rows.loc[rows["who"] == "ben", ["reason", "seconds"]].iloc[0].tolist() == ["nobody", 1.5]
    assert len(chosen()) == 9


def test_a_label_of_another_crop_does_not_count(study: Path) -> None:
    write_params(study, labels="labels")
    frames = [f"{film:02d}{kind}00".ljust(16, "0") for film in range(3) for kind in range(3)]
    have(films=3, each=1)
    for place, frame in enumerate(frames):
        logged(frame, SHOT_TYPES[place % 3], "anna", place, crop="10 0 80")
    logged(frames[0], "close", "ben", 20, crop="11 0 80")
    select.run()
    assert looks(frames[0]) == [("anna", 0, True), ("ben", 1, False)]
    logged(frames[0], "undo", "anna", 30)
    with pytest.raises(StudyError, match=r"close lacks 1 of 3 frames \("):
        select.run()


def test_medium_close_ups_may_be_dropped(study: Path) -> None:
    write_params(study, labels="labels")
    frames = {file: frame for frame, file in pd.read_parquet(have_frames())[["frame", "file"]].itertuples(index=False)}
    for place, (file, frame) in enumerate(frames.items()):
        shot_type = file.split("-")[1]
        logged(frame, shot_type, "anna", place, medium_close_up=file.startswith("0-medium"))
    select.run()
    write_params(study, labels="labels", select__medium_close_ups="drop")
    with pytest.raises(StudyError, match=r"select: medium lacks 1 of 3 frames"):
        select.run()


def have_frames() -> Path:
    have(films=3, each=1)
    return paths.FRAMES


# --- what is kept apart ---


def test_the_papers_way_shares_films_but_never_near_duplicates() -> None:
    params = quotas(3, 3, 3, 9, film_disjoint=False)
    rows = pd.DataFrame([(f"{t}{i:02d}", "film", t) for t in SHOT_TYPES for i in range(9)])
    rows.columns = pd.Index(["frame", "film", "shot_type"])
    alike = [(9 * kind + i, 9 * kind + i + 1) for kind in range(3) for i in (0, 1, 3, 4, 6, 7)]  # triples
    for study_seed in range(5):
        chosen = select.select(rows, params, study_seed, alike).set_index("frame")["split"]
        assert len(chosen) == 27
        assert all(chosen[rows["frame"][i]] == chosen[rows["frame"][j]] for i, j in alike)
        assert set(chosen) == set(select.SPLITS)


def test_films_that_share_a_near_duplicate_stay_in_one_split() -> None:
    rows = pd.DataFrame([(f"{film}{t}", f"film {film}", t) for film in range(6) for t in SHOT_TYPES])
    rows.columns = pd.Index(["frame", "film", "shot_type"])
    for study_seed in range(5):
        chosen = select.select(rows, quotas(2, 2, 2, 1), study_seed, [(0, 15), (4, 6)]).set_index("film")["split"]
        splits = chosen.groupby(level=0).first()
        assert splits["film 0"] == splits["film 5"]
        assert splits["film 1"] == splits["film 2"]


def test_the_cap_holds_for_all_splits_together_where_films_are_shared() -> None:
    rows = pd.DataFrame([(f"{f}{t}{i}", f"film {f}", t) for f in range(4) for t in SHOT_TYPES for i in range(9)])
    rows.columns = pd.Index(["frame", "film", "shot_type"])
    chosen = select.select(rows, quotas(2, 3, 3, 2, film_disjoint=False), 0)
    assert chosen.groupby(["film", "shot_type"]).size().max() == 2
    with pytest.raises(StudyError, match=r"lacks 1 of 9 frames .*no near-duplicates in two splits, at most 2 a film"):
        select.select(rows, quotas(3, 3, 3, 2, film_disjoint=False), 0)


def test_thousands_of_frames_are_assigned_in_seconds() -> None:
    rows = pd.DataFrame([(f"{i:05d}", f"film {i % 500}", SHOT_TYPES[i % 3]) for i in range(3_000)])
    rows.columns = pd.Index(["frame", "film", "shot_type"])
    chosen = select.select(rows, quotas(200, 600, 200, 20, film_disjoint=False), 0)
    assert (chosen.groupby(["split", "shot_type"]).size().unstack().loc["test"] == 600).all()


def test_near_duplicates_are_found_among_the_candidates(study: Path) -> None:
    labels = have(films=3, each=1)
    frames = pd.read_parquet(paths.FRAMES)
    frames.loc[[0, 4], "dhash"] = "f" * 16
    twins = frames["frame"][[0, 4]].tolist()
    write_table(frames, paths.FRAMES, by="frame")
    pictures = ((frame, scene(1 if frame in twins else 2 + place)) for place, frame in enumerate(frames["frame"]))
    write_shards(pictures, paths.INGEST / "shards")
    rows = frames.assign(shot_type="close")
    assert select.find_alike(rows, load_params().select) == [(0, 4)]
    assert len(labels) == 9
