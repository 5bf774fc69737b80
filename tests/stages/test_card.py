"""The dataset card: what the records say, in words and as Croissant metadata that mlcroissant reads back."""

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pandas as pd
import pytest
import yaml
from mlcroissant._src.operation_graph.operations import extract

from demo import pool
from demo.world import make_films
from dreamshot import paths
from dreamshot.errors import StudyError
from dreamshot.params import load_params
from dreamshot.provenance import write_json
from dreamshot.records import Pool, read_table, write_table
from stages.card import croissant, text
from stages.card.__main__ import run
from tests.synthetic_study import Size, write_study

CROISSANT = paths.CARD / "croissant.json"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its card, for all tests."""
    root = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_study(root, Size(looks=20, reviewed=5))
        run()
    return root


def card() -> str:
    return (paths.CARD / "README.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    return card().split(f"## {name}\n")[1].split("\n## ")[0]


def described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CROISSANT.read_text())
    return found


def change(path: Path, by: str, **columns: Any) -> None:
    """Other values in a table, then the card again."""
    write_table(read_table(path).assign(**columns), path, by=by)
    run()


def front_matter() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card().split("---\n")[1])
    return found


def table_rows(name: str) -> list[list[str]]:
    """The cells of a section's last table, without its head."""
    lines = [line for line in section(name).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines][2:]


# --- the metadata ---


@pytest.fixture
def dataset(study: Path) -> mlcroissant.Dataset:
    return mlcroissant.Dataset(jsonld=CROISSANT)


def test_mlcroissant_finds_nothing_wrong(dataset: mlcroissant.Dataset) -> None:
    assert not dataset.metadata.issues.errors
    assert not dataset.metadata.issues.warnings
    assert dataset.metadata.ctx.is_v1_1()


@pytest.mark.parametrize(
    ("name", "path", "by"),
    [
        ("frames", paths.FRAMES, "frame"),
        ("rejects", paths.LEDGER, "file"),
        ("crops", paths.CROP_ROWS, "frame"),
        ("labels", paths.LABEL_ROWS, ["frame", "turn"]),
        ("sets", paths.SELECT_ROWS, "frame"),
        ("captions", paths.CAPTION_ROWS, "frame"),
    ],
)
def test_every_table_is_read_back_as_it_is(
    dataset: mlcroissant.Dataset, name: str, path: Path, by: str | list[str]
) -> None:
    def plain(value: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value

    found = [{key.split("/")[1]: plain(value) for key, value in row.items()} for row in dataset.records(name)]
    wanted = read_table(path).astype(object).replace({np.nan: None}).to_dict("records")
    assert found == wanted
    assert len(found) > 5


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its files
def test_the_crops_are_read_back_by_frame(
    dataset: mlcroissant.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "EXTRACT_PATH", type(extract.EXTRACT_PATH)(tmp_path / "unpacked"))
    crops = Pool(paths.CROPS / "shards")
    records = list(itertools.islice(dataset.records("pictures"), 3))
    assert len(records) == 3
    for record in records:
        pixels = crops.pixels(record["pictures/frame"].decode())
        assert (np.asarray(record["pictures/picture"]) == pixels).all()


def test_a_table_that_has_changed_since_is_refused(study: Path) -> None:
    write_table(read_table(paths.SELECT_ROWS).iloc[1:], paths.SELECT_ROWS, by="frame")
    with pytest.raises(mlcroissant.GenerationError):
        list(mlcroissant.Dataset(jsonld=CROISSANT).records("sets"))


def test_every_column_has_a_meaning_and_a_type(study: Path) -> None:
    fields = {item["@id"]: item for part in described()["recordSet"] for item in part["field"]}
    assert all("description" in item for item in fields.values())
    assert fields["frames/year"]["dataType"] == "sc:Integer"
    assert fields["labels/seconds"]["dataType"] == "sc:Float"
    assert fields["labels/current"]["dataType"] == "sc:Boolean"
    assert fields["captions/caption"]["dataType"] == "sc:Text"


def test_files_are_named_from_the_metadatas_folder_with_their_hashes(study: Path) -> None:
    files = [item for item in described()["distribution"] if item["@type"] == "cr:FileObject"]
    assert {item["contentUrl"] for item in files} >= {
        "../../data/ingest/frames.parquet",
        "../../data/crops/shards/00000.tar",
    }
    assert all((paths.CARD / item["contentUrl"]).is_file() for item in files)
    assert all(re.fullmatch("[0-9a-f]{64}", item["sha256"]) for item in files)


def test_licence_and_date_are_those_of_the_records(study: Path) -> None:
    assert described()["license"] == ["MIT"]
    assert described()["datePublished"] == "2026-11-24"  # the last review


def test_what_nobody_gave_is_left_out(study: Path) -> None:
    change(paths.LABEL_ROWS, "frame", time="")
    change(paths.CAPTION_ROWS, "frame", time="yesterday")
    change(paths.FRAMES, "frame", licence="")
    assert "datePublished" not in described()
    assert "license" not in described()
    assert not mlcroissant.Dataset(jsonld=CROISSANT).metadata.issues.errors


def test_the_version_changes_with_the_tables_and_with_nothing_else(study: Path) -> None:
    before = described()["version"]
    run()
    assert described()["version"] == before
    change(paths.FRAMES, "frame", licence="CC0")
    assert described()["version"] != before


def test_a_fault_of_the_metadata_is_not_kept_quiet(study: Path) -> None:
    found = described()
    del found["distribution"][0]["encodingFormat"]
    write_json(CROISSANT, found)
    with pytest.raises(mlcroissant.ValidationError):
        croissant.check(CROISSANT)


# --- the card ---


def test_the_same_records_give_the_same_bytes(study: Path) -> None:
    before = {path: path.read_bytes() for path in paths.CARD.iterdir()}
    shutil.rmtree(paths.CARD)
    run()
    assert {path: path.read_bytes() for path in paths.CARD.iterdir()} == before
    assert {path.name for path in before} == {"README.md", "croissant.json"}


def test_the_front_matter_is_the_hubs(study: Path) -> None:
    found = front_matter()
    assert found["license"] == "mit"
    assert found["size_categories"] == ["n<1K"]
    assert "text-to-image" in found["task_categories"]


@pytest.mark.parametrize(
    ("licences", "word"),
    [
        (["MIT"], "mit"),
        (["CC BY 4.0"], "cc-by-4.0"),
        (["CC BY 4.0", "MIT"], "other"),
        (["", "MIT"], "other"),
        (["all rights reserved"], "other"),
        ([""], "unknown"),
    ],
)
def test_the_hubs_word_for_the_licences(licences: list[str], word: str) -> None:
    assert text.hub_licence(licences) == word


def test_sources_and_licences_are_as_given_and_counted(study: Path) -> None:
    rows = read_table(paths.FRAMES)
    licences = ["CC BY 4.0" if place < 5 else "" if place < 9 else "MIT" for place in range(len(rows))]
    change(paths.FRAMES, "frame", licence=licences, source=["a | b\n<i>"] * 5 + [""] * (len(rows) - 5))
    rows = read_table(paths.FRAMES)
    assert [row[0] for row in table_rows("Sources and licences")] == ["MIT", "CC BY 4.0", "not given"]
    assert table_rows("Sources and licences")[1][1] == r"a \| b \<i\>"
    assert [int(row[3]) for row in table_rows("Sources and licences")] == [len(rows) - 9, 5, 4]
    assert "Licences as they were given: CC BY 4.0 and MIT. For 4 frames no licence was given" in section(
        "Sources and licences"
    )


def test_frames_in_use_are_counted_beside_those_that_were_kept(study: Path) -> None:
    select = read_table(paths.SELECT_ROWS)
    write_table(select.iloc[3:], paths.SELECT_ROWS, by="frame")
    run()
    (row,) = table_rows("Sources and licences")
    assert row[2:] == [str(read_table(paths.FRAMES)["film"].nunique()), str(len(select)), str(len(select) - 3)]


def test_without_any_licence_the_card_says_so(study: Path) -> None:
    change(paths.FRAMES, "frame", licence="")
    assert "No licence was given for any frame" in section("Sources and licences")
    assert front_matter()["license"] == "unknown"


def test_many_sources_are_cut_short_and_said_to_be(study: Path) -> None:
    rows = read_table(paths.FRAMES)
    change(paths.FRAMES, "frame", source=[f"archive {number}" for number in range(len(rows))])
    assert len(table_rows("Sources and licences")) == text.SHOWN
    assert f"The {text.SHOWN} largest of {len(rows)}" in section("Sources and licences")


def test_each_rule_stands_with_its_parameter_and_its_count(study: Path) -> None:
    rows = {row[0]: row for row in table_rows("How frames were filtered")}
    params = load_params().ingest
    assert rows["too_old"][2:] == [f"`ingest.min_year`: {params.min_year}", "3"]
    assert rows["chroma"][3] == "2"
    assert rows["channels"][2:] == [f"`ingest.min_channels`: {params.min_channels}", "0"]
    assert f"dhash_distance {params.near_duplicate.dhash_distance}" in rows["near_duplicate"][2]
    assert "Of 62 files, 54 of 18 films from 2015 were kept and 8 rejected" in section("How frames were filtered")


def test_a_rule_that_is_new_is_counted_too(study: Path) -> None:
    rows = read_table(paths.LEDGER)
    change(paths.LEDGER, "file", rule=["too_blue", *rows["rule"][1:]])
    assert {row[0]: row[3] for row in table_rows("How frames were filtered")}["too_blue"] == "1"


def test_the_crops_are_told_with_those_where_nothing_was_found(study: Path) -> None:
    assert "128 × 128 pixels: 54 crops" in section("Crops")
    assert "what a detector finds of person and head (threshold 0.5)" in section("Crops")
    assert "attention" not in section("Crops")
    write_json(paths.CROPS / paths.RUN, {"blind": 7})
    run()
    assert "in 7 frames, attention placed the square" in section("Crops")
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["profiles"]["demo"]["crop"]["method"] = "attention"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    run()
    assert "smartcrop finds most attention" in section("Crops")


@pytest.mark.parametrize(("world", "told"), [("demo", 1), ("real", 0)])
def test_simulated_labels_are_told_to_people_and_machines(study: Path, world: str, told: int) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["profiles"]["demo"]["world"] = world
    Path("params.yaml").write_text(yaml.safe_dump(params))
    run()
    for name in ("README.md", "croissant.json"):
        text = (paths.CARD / name).read_text()
        assert ("no person gave them" in text) == told
        assert ("labelled close, medium or long by hand" in text) == (not told)


def test_labels_and_agreement_are_the_reports(study: Path) -> None:
    told = section("Labels")
    assert "1 person labelled 56 crops: 18 close, 18 medium, 18 long and 2 reject" in told
    assert "Somebody else labelled 20 crops" in told
    assert "Cohen’s kappa" in told
    assert [row[0] for row in table_rows("Labels")] == ["close", "medium", "long", "reject"]
    assert sum(int(cell) for row in table_rows("Labels") for cell in row[1:]) == 20


def test_films_and_frames_stand_by_set_and_shot_type(study: Path) -> None:
    assert table_rows("Sets") == [
        ["train", "6", "6", "6", "6", "18"],
        ["test", "6", "6", "6", "6", "18"],
        ["probe", "6", "6", "6", "6", "18"],
    ]
    assert "No film is in two sets." in section("Sets")


def test_films_in_two_sets_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path, Size(shared_films=2))
    run()
    assert "2 films are in more than one set." in section("Sets")
    assert "2 of 6 test films also gave frames to train on" in section("Sets")
    assert any("2 of 6 test films" in line for line in described()["rai:dataLimitations"])
    assert "Nobody has looked twice" in section("Labels")
    assert table_rows("Sets")[0][0] == "train"


def test_captions_are_told_with_the_model_and_what_people_changed(study: Path) -> None:
    told = section("Captions")
    assert "`demo/models/captioner` described 36 frames" in told
    assert "1 person has reviewed 5 of 18 training captions (27.8%)" in told


def test_the_demo_is_no_film_and_films_are_under_copyright(study: Path) -> None:
    assert "No film and no person is in these pictures" in card()
    assert "under copyright" not in card()
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("world: demo", "world: real"))
    run()
    assert "under copyright unless" in section("Limits")
    assert "demo" not in front_matter()["pretty_name"]
    assert "People can be\n  recognised" in section("Limits")


def test_the_largest_films_share_is_told(study: Path) -> None:
    share = pd.Series(read_table(paths.SELECT_ROWS)["film"]).value_counts(normalize=True).max()
    assert f"gives {100 * share:.1f}% of those in use" in section("Limits")


def test_a_missing_record_is_named(study: Path) -> None:
    before = card()
    paths.LABEL_ROWS.unlink()
    with pytest.raises(StudyError, match=r"labels\.parquet"):
        run()
    assert card() == before


def test_no_clock_and_no_path_of_this_machine_is_in_it(study: Path) -> None:
    everything = card() + CROISSANT.read_text()
    assert str(study) not in everything
    assert str(Path.home()) not in everything


def test_the_demos_films_are_under_the_projects_licence() -> None:
    (film, *_) = make_films(pool.SEED, 1)
    row = pool.film_row(film)
    assert list(row) == ["film", "title", "year", "licence", "source"]
    assert row["licence"] == "MIT"
    assert row["licence"] in (Path(__file__).parents[2] / "LICENSE").read_text()
