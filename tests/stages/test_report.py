"""The stage report: numbers derived from the rows alone, words that follow them, one file that stands by itself."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from dreamshot import paths
from dreamshot.errors import main
from dreamshot.records import read_table, write_table
from stages.report import hand_words, words
from stages.report.__main__ import run
from tests.synthetic_study import Size, write_scores, write_study

VOID = {"meta", "img", "br", "line", "circle", "rect", "polyline"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its report, for all tests."""
    root = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_study(root)
        write_scores()
        run()
    return root


def scores() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((paths.METRICS / "scores.json").read_text())
    return found


def page() -> str:
    return paths.REPORT_HTML.read_text(encoding="utf-8")


def text() -> str:
    """The page's words, without pictures, tags and line breaks."""
    bare = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", bare)


def leaves(value: Any) -> Iterator[Any]:
    """Every value of nested dictionaries."""
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    else:
        yield value


def test_the_metrics_are_nested_scalars(study: Path) -> None:
    for name in ("scores", "ingest", "labels", "captions"):
        found = json.loads((paths.METRICS / f"{name}.json").read_text())
        assert all(isinstance(leaf, int | float | str) for leaf in leaves(found))
        assert all(np.isfinite(leaf) for leaf in leaves(found) if isinstance(leaf, float))


def test_the_contract_of_scores_json(study: Path) -> None:
    keys = {"baseline", "ours", "diff", "ci_lo", "ci_hi", "p", "d_z", "n"}
    found = scores()
    for name in ("main", "ablation", "control"):
        for part in (found[name], *(found[name][kind] for kind in ("close", "medium", "long"))):
            for metric in ("clip_t", "dino"):
                assert keys <= set(part[metric])
            assert keys - {"p", "d_z"} <= set(part["shot_accuracy"])
    assert set(found["strengths"]) == {"0", "0.5", "1"}
    assert set(found["strengths"]["0.5"]) == {"clip_t", "dino", "shot_accuracy", "n"}


def test_the_numbers_are_those_of_the_rows(study: Path) -> None:
    rows = read_table(paths.SCORE_ROWS).query("set == 'main' and shot_type == 'close'")
    wide = rows.pivot(index=["pair", "film"], columns="arm", values="dino")
    theirs = stats.ttest_rel(wide["ours"], wide["baseline"])  # one pair a film
    ours = scores()["main"]["close"]["dino"]
    assert ours["n"] == ours["clusters"] == 6
    assert ours["baseline"] == pytest.approx(wide["baseline"].mean(), abs=1e-6)
    assert ours["diff"] == pytest.approx((wide["ours"] - wide["baseline"]).mean(), abs=1e-6)
    assert ours["p"] == pytest.approx(theirs.pvalue, rel=1e-3)
    assert ours["ci_lo"] == pytest.approx(theirs.confidence_interval(0.95).low, abs=1e-6)


def test_the_control_is_the_other_seed_less_the_baseline(study: Path) -> None:
    rows = read_table(paths.SCORE_ROWS).query("set == 'control'").groupby("arm")["clip_t"].mean()
    assert scores()["control"]["clip_t"]["diff"] == pytest.approx(rows["other"] - rows["baseline"], abs=1e-6)


def test_strengths_are_means_over_the_pairs(study: Path) -> None:
    rows = read_table(paths.SCORE_ROWS).query("set == 'strengths' and arm == 'ours' and strength == 0.5")
    block = scores()["strengths"]["0.5"]
    assert block["dino"] == pytest.approx(rows["dino"].mean(), abs=1e-6)
    assert block["n"] == len(rows) == 6


def test_p_goes_below_a_thousandth_where_the_effect_is_plain(study: Path) -> None:
    assert scores()["main"]["dino"]["p"] < 0.001


def test_the_interval_of_a_share_stays_within_what_shares_can_be(study: Path) -> None:
    rows = read_table(paths.SCORE_ROWS)
    chosen = (rows["set"] == "main") & (rows["shot_type"] == "close")
    rows.loc[chosen, "shot_right"] = (rows.loc[chosen, "arm"] == "ours").astype(float)
    lucky = rows.index[chosen & (rows["arm"] == "baseline")][0]
    rows.loc[lucky, "shot_right"] = 1.0
    write_table(rows, paths.SCORE_ROWS, by="picture")
    run()
    assert scores()["main"]["close"]["shot_accuracy"]["ci_hi"] == 1.0


def test_a_failed_picture_drops_its_pair_and_is_counted(study: Path) -> None:
    rows = read_table(paths.SCORE_ROWS)
    lost = rows.index[rows["set"] == "main"][0]
    rows.loc[lost, ["clip_t", "dino", "shot_right", "confidence"]] = np.nan
    rows.loc[lost, "failed"] = True
    write_table(rows, paths.SCORE_ROWS, by="picture")
    run()
    assert scores()["main"]["dino"]["n"] == 17
    assert scores()["pictures"]["failed"] == 1
    assert "1 picture of 132 failed to be drawn" in text()


def test_ingest_counts_by_reason(study: Path) -> None:
    found = json.loads((paths.METRICS / "ingest.json").read_text())
    assert found["kept"] + found["rejected"]["total"] == found["read"] == 62
    assert found["rejected"]["too_old"] == 3
    assert found["rejected"]["total"] == 8
    assert "the film is older than the study takes" in text()


def metrics(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((paths.METRICS / f"{name}.json").read_text())
    return found


def report_on(folder: Path, monkeypatch: pytest.MonkeyPatch, **size: int) -> None:
    """A report on another study than the other tests'."""
    monkeypatch.chdir(folder)
    write_study(folder, Size(**size))
    write_scores()
    run()


def test_labels_are_counted_by_class_and_rejects_by_reason(study: Path) -> None:
    found = metrics("labels")
    assert (found["people"], found["labels"], found["outdated"]) == (1, 56, 0)
    assert found["by_type"] == {"close": 18, "medium": 18, "long": 18, "reject": 2}
    assert found["reasons"] == {"not given": 1, "subject cut": 1}
    rows = read_table(paths.LABEL_ROWS)
    assert found["medium_close_ups"]["labels"] == rows["medium_close_up"].sum() > 0
    assert found["medium_close_ups"]["share"] == pytest.approx(rows["medium_close_up"].sum() / 36, abs=1e-6)
    assert (found["timed"], found["seconds_median"]) == (54, 1.5)
    wanted = "1 person labelled 56 crops: 18 close, 18 medium, 18 long and 2 reject (1 not given and 1 subject cut)."
    assert wanted in text()
    assert "Half of 54 timed looks took at most 1.5 s." in text()


def test_where_nobody_has_looked_twice_the_page_says_so(study: Path) -> None:
    assert "second_look" not in metrics("labels")
    assert "Nobody has looked twice" in text()
    assert "First look" not in text()


def test_a_second_look_gives_kappa_with_its_interval_and_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report_on(tmp_path, monkeypatch, looks=40)
    rows = read_table(paths.LABEL_ROWS).pivot(index="frame", columns="turn", values="shot_type").dropna()
    found = metrics("labels")["second_look"]
    assert found["n"] == len(rows) == 40
    assert metrics("labels")["people"] == 1  # whose labels count
    assert found["kappa"] == pytest.approx(cohen_kappa_score(rows[0], rows[1]), abs=1e-6)
    assert found["ci_lo"] < found["kappa"] < found["ci_hi"] < 1
    assert found["confusion"]["close"]["medium"] == ((rows[0] == "close") & (rows[1] == "medium")).sum() > 0
    assert f"Cohen’s kappa {found['kappa']:.2f}, 95% interval {found['ci_lo']:.2f} to {found['ci_hi']:.2f}" in text()
    assert "columns the second First look close medium long close" in text()  # nobody said reject


def test_only_labels_of_the_crop_as_it_is_now_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report_on(tmp_path, monkeypatch, looks=40)
    rows = read_table(paths.LABEL_ROWS)
    again = rows.index[rows["turn"] == 1]
    rows.loc[again[:3], "current"] = False
    write_table(rows, paths.LABEL_ROWS, by=["frame", "turn"])
    run()
    assert metrics("labels")["second_look"]["n"] == 37


def test_labels_of_another_crop_count_for_nothing_but_are_told(study: Path) -> None:
    rows = read_table(paths.LABEL_ROWS)
    rows.loc[rows.index[rows["shot_type"] == "close"][:4], "current"] = False
    rows.loc[~rows["current"], "seconds"] = 99.0
    write_table(rows, paths.LABEL_ROWS, by=["frame", "turn"])
    run()
    found = metrics("labels")
    assert (found["timed"], found["seconds_median"]) == (50, 1.5)
    assert (found["labels"], found["outdated"], found["by_type"]["close"]) == (52, 4, 14)
    assert "4 frames have labels of another crop than today’s only, which is not used." in text()


@pytest.mark.parametrize(
    ("look", "wanted"),
    [
        ({"kappa": -0.1, "ci_lo": -0.32, "ci_hi": 0.14}, "Cohen’s kappa −0.10, 95% interval −0.32 to 0.14,"),
        ({"kappa": 0.5}, "(Cohen’s kappa 0.50, too little for an interval)"),
        ({}, "chance would have done as well"),
    ],
)
def test_the_second_look_is_told_as_far_as_it_is_known(look: dict[str, float], wanted: str) -> None:
    facts = {"second_look": {"n": 8, "films": 3, "observed": 0.875, **look}}
    told = hand_words.second_look(facts, "95%")
    assert told.startswith("Somebody else labelled 8 crops of 3 films again")
    assert "87.5% got the same one" in told
    assert wanted in told


def test_where_nobody_has_reviewed_a_caption_the_page_says_so(study: Path) -> None:
    found = metrics("captions")
    assert found["train"]["captions"] == found["test"]["captions"] == 18
    assert found["train"]["reviewed"] == found["train"]["reviewed_share"] == 0
    assert "edit_distance_mean" not in found["train"]
    assert "demo/models/captioner described 36 frames. No person has reviewed any of 18 training captions." in text()


def test_reviewed_captions_are_counted_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report_on(tmp_path, monkeypatch, reviewed=5)
    found = metrics("captions")["train"]
    assert (found["reviewed"], found["edited"], found["editors"]) == (5, 2, 1)
    assert found["reviewed_share"] == pytest.approx(5 / 18, abs=1e-6)
    assert found["edited_share"] == pytest.approx(2 / 18, abs=1e-6)
    assert found["edit_distance_mean"] == pytest.approx(6)
    wanted = (
        "1 person has reviewed 5 of 18 training captions (27.8%); 2 (11.1%) were changed, by 6.0 characters on average."
    )
    assert wanted in text()


def test_a_caption_that_find_and_replace_changed_is_edited_and_still_to_be_reviewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report_on(tmp_path, monkeypatch, reviewed=5)
    rows = read_table(paths.CAPTION_ROWS)
    write_table(rows.assign(time=""), paths.CAPTION_ROWS, by="frame")
    run()
    assert (metrics("captions")["train"]["reviewed"], metrics("captions")["train"]["edited"]) == (0, 2)
    write_table(rows.assign(time="", editor=""), paths.CAPTION_ROWS, by="frame")  # a table that was written by hand
    run()
    assert metrics("captions")["train"]["reviewed"] == 5
    assert "People have reviewed 5 of 18" in text()


def test_a_review_that_changes_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report_on(tmp_path, monkeypatch, reviewed=1)
    assert "1 person has reviewed 1 of 18 training captions (5.6%) and changed none." in text()


def test_reviewed_test_captions_are_not_counted(study: Path) -> None:
    rows = read_table(paths.CAPTION_ROWS)
    rows.loc[rows["split"] == "test", "reviewed"] = "a dog"
    write_table(rows, paths.CAPTION_ROWS, by="frame")
    run()
    assert metrics("captions")["train"]["reviewed"] == 0


def test_flags_are_counted_by_set(study: Path) -> None:
    found = metrics("captions")
    assert found["train"]["flagged"] == {"empty": 0, "too_long": 0, "repeats": 1, "shot_scale": 1}
    assert sum(found["test"]["flagged"].values()) == 0
    assert "Flagged: 1 that repeat themselves and 1 that name another shot scale than the label." in text()


def test_no_film_in_two_sets_is_told_as_such(study: Path) -> None:
    assert "no film is in two rows" in text()
    assert "Films are not kept apart" not in text()


def test_films_in_both_sets_are_a_warning_at_the_tables_and_at_the_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report_on(tmp_path, monkeypatch, shared_films=2)
    warning = "2 of 6 test films also gave frames to train on. The test frames are not of unseen films"
    tables, frames = (re.sub(r"\s+", " ", part) for part in page().split('<section id="frames">'))
    assert warning in tables
    assert warning in frames
    assert "2 films are in more than one row" in frames


def test_the_same_records_give_the_same_bytes(study: Path) -> None:
    run()
    first = {path: path.read_bytes() for path in paths.REPORTS.rglob("*") if path.is_file()}
    shutil.rmtree(paths.REPORTS)
    run()
    assert {path: path.read_bytes() for path in paths.REPORTS.rglob("*") if path.is_file()} == first


def test_what_an_earlier_run_left_is_gone(study: Path) -> None:
    (paths.PLOTS / "old.csv").write_text("x")
    (paths.METRICS / "survey.json").write_text("{}")  # another stage's
    run()
    assert (paths.METRICS / "survey.json").exists()
    names = {path.name for path in paths.PLOTS.iterdir()}
    assert names == {"differences.csv", "strengths.csv", "confusion.csv", "training.csv"}


def test_pictures_csv_names_every_picture_and_its_pixels(study: Path) -> None:
    listed = pd.read_csv(paths.PICTURE_HASHES)
    rows = pd.concat([read_table(folder / paths.PICTURE_ROWS) for folder in paths.PAIRS.iterdir()])
    assert dict(zip(listed["picture"], listed["pixels"], strict=True)) == dict(
        zip(rows["picture"], rows["pixels"], strict=True)
    )
    assert listed["picture"].is_monotonic_increasing


def test_the_plots_tables_agree_with_the_metrics(study: Path) -> None:
    table = pd.read_csv(paths.PLOTS / "differences.csv").query("set == 'ablation' and metric == 'clip_t'")
    assert table["diff"].mean() == pytest.approx(scores()["ablation"]["clip_t"]["diff"], abs=1e-6)
    confusion = pd.read_csv(paths.PLOTS / "confusion.csv")
    assert (confusion["actual"] == confusion["predicted"]).mean() == pytest.approx(0.9)
    assert set(pd.read_csv(paths.PLOTS / "training.csv")["shot_type"]) == {"close", "medium", "long"}


class Checker(HTMLParser):
    """Collects what is open, what is loaded, and pictures without words."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.mute = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loaded += [values[name] or "" for name in ("src", "href", "srcset", "poster") if name in values]
        self.mute += tag == "img" and not values.get("alt")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_page_is_one_whole_file_that_loads_nothing(study: Path) -> None:
    checker = Checker()
    checker.feed(page())
    assert checker.open == []
    assert checker.mute == 0
    assert len(checker.loaded) > 20
    assert all(source.startswith("data:image/") for source in checker.loaded)
    assert "url(" not in page()
    assert "@import" not in page()
    assert len(page()) < 3_000_000


def test_the_page_shows_the_papers_numbers_beside_ours(study: Path) -> None:
    for number in (
        "0.3221",
        "0.3269",
        "0.4163",
        "0.4989",
        "0.3214",
        "0.3234",
        "0.4014",
        "0.4803",
        "+0.0826",
        "+0.0048",
    ):
        assert number in text()
    main_dino = scores()["main"]["dino"]
    assert words.score("dino", main_dino["ours"]) in text()
    assert words.interval("dino", main_dino) in text()


def test_the_page_says_that_the_world_is_a_demo_only_where_it_is(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert text().count("demo world") >= 3
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("world: demo", "world: real"))
    run()
    assert "demo world" not in text()


def test_large_pictures_are_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from stages.report.pictures import embed

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8))
    fine, coarse = embed({"a": lambda: noise}), embed({"a": lambda: noise}, budget=20_000)
    assert len(coarse["a"]) <= 20_000 < len(fine["a"])


def test_a_prompt_cannot_break_the_page(study: Path) -> None:
    folder = paths.PAIRS / "main"
    rows = read_table(folder / paths.PICTURE_ROWS)
    write_table(rows.assign(prompt='a "b" <script>x</script> & c'), folder / paths.PICTURE_ROWS, by="picture")
    run()
    assert "<script" not in page()
    assert "&lt;script&gt;" in page()


def test_a_planted_effect_is_told(study: Path) -> None:
    assert "Fine-tuned, the model draws the shot it is asked for more often" in text()
    assert "come nearer to the real frames" in text()
    assert "90.0% of 30 real crops from 6 films" in text()


def test_a_disappointing_result_is_told(study: Path) -> None:
    write_scores(effect=0.0)
    run()
    assert "Fine-tuning did not clearly change which shot the model draws" in text()
    assert "not clearly nearer to the real frames, nor farther" in text()
    write_scores(effect=-2.0)
    run()
    assert "move away from the real frames" in text()
    assert "fit their prompts less well" in text()


def test_a_control_that_moves_is_told(study: Path) -> None:
    rows = read_table(paths.SCORE_ROWS)
    rows.loc[rows["arm"] == "other", "dino"] += 1
    write_table(rows, paths.SCORE_ROWS, by="picture")
    run()
    assert "differs in DINO, where nothing should" in text()


def test_two_pairs_of_one_film_without_probe_log_or_rejects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path, Size(films=1, per_type=2, probe_films=1, rejects=0, world="real"))
    write_scores(probe=False)
    shutil.rmtree(paths.LORA)
    run()
    found = scores()
    assert found["main"]["close"]["dino"].keys() == {"baseline", "ours", "diff", "n", "clusters", "d_z"}
    assert "shot_accuracy" not in found["main"]
    assert "probe" not in found
    assert "1 film, too few for an interval" in text()
    assert "no long shot among the 4 frames" in text()
    assert "nan" not in text().lower().split()
    assert "0 rejected." in text()
    checker = Checker()
    checker.feed(page())
    assert checker.open == []


def drop_scores(_: Path) -> None:
    paths.SCORE_ROWS.unlink()


def drop_probe(_: Path) -> None:
    paths.PROBE.unlink()


def drop_model(_: Path) -> None:
    (paths.MODELS / "base.json").unlink()


def drop_ledger(_: Path) -> None:
    paths.LEDGER.unlink()


def drop_labels(_: Path) -> None:
    paths.LABEL_ROWS.unlink()


def drop_captions(_: Path) -> None:
    paths.CAPTION_ROWS.unlink()


def drop_row(_: Path) -> None:
    write_table(read_table(paths.SCORE_ROWS).iloc[1:], paths.SCORE_ROWS, by="picture")


def drop_arm(_: Path) -> None:
    for path in (paths.SCORE_ROWS, paths.PAIRS / "main" / paths.PICTURE_ROWS):
        rows = read_table(path)
        lone = sorted(rows.loc[(rows["set"] == "main") & (rows["arm"] == "baseline"), "picture"])[0]
        write_table(rows[rows["picture"] != lone], path, by="picture")


@pytest.mark.parametrize(
    ("spoil", "wanted"),
    [
        (drop_scores, ["data/scores/scores.parquet", "no such table"]),
        (drop_probe, ["data/scores/probe.json", "no such file"]),
        (drop_model, ["data/models/base.json"]),
        (drop_ledger, ["data/ingest/ledger.parquet"]),
        (drop_labels, ["data/select/labels.parquet"]),
        (drop_captions, ["data/captioned/captions.parquet"]),
        (drop_row, ["data/scores/scores.parquet", "score again"]),
        (drop_arm, ["set main", "lacks one of its arms"]),
    ],
)
def test_bad_input_is_one_line_and_loses_nothing(
    study: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], wanted: list[str]
) -> None:
    before = page()
    spoil(study)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(run)
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert len(lines) == 1
    assert all(word in lines[0] for word in wanted), lines[0]
    assert page() == before


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"ci_lo": 0.1, "ci_hi": 0.2}, "up"),
        ({"ci_lo": -0.2, "ci_hi": -0.1}, "down"),
        ({"ci_lo": -0.1, "ci_hi": 0.2}, "unclear"),
        ({"ci_lo": 0.0, "ci_hi": 0.0}, "unclear"),
        ({}, "unknown"),
    ],
)
def test_the_words_follow_the_interval(result: dict[str, float], expected: str) -> None:
    assert words.direction(result) == expected


def test_numbers_are_written_as_the_paper_writes_them() -> None:
    assert words.score("clip_t", 0.32214) == "0.3221"
    assert words.score("shot_accuracy", 0.875) == "87.5%"
    assert words.change("dino", -0.00121) == "−0.0012"
    assert words.change("shot_accuracy", 0.5) == "+50.0 points"
    assert words.p_value({"p": 2e-7}) == "< 0.001"
    assert words.p_value({"p": 0.0421}) == "0.042"
    assert words.p_value({}) == "–"
