"""Captions: from the picture alone, a person's before the model's, and nothing done twice."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from dreamshot.captions import Reviewed, write_reviewed
from dreamshot.errors import StudyError
from dreamshot.models import write_model_record
from dreamshot.params import Profile, load_params
from dreamshot.paths import CAPTION_ROWS, CAPTIONED, CROPS, SELECT_ROWS, WORK
from dreamshot.records import Pool, read_table
from stages import caption
from stages.diffusion import caption_rows
from tests.tiny_models import captioner
from tests.tiny_study import SPARE, write_study


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its captioner, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_study(captioner=True)
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return load_params()


def test_train_and_test_frames_get_the_captioners_words(study: Profile) -> None:
    caption.run()
    rows, selected = read_table(CAPTION_ROWS), read_table(SELECT_ROWS)
    assert list(rows.columns) == caption.COLUMNS
    assert set(rows["frame"]) == set(selected.loc[selected["split"] != "probe", "frame"])
    assert (rows["caption"] == rows["raw"]).all()
    assert (rows["reviewed"] == "").all()
    assert (rows["editor"] == "").all()
    assert (rows["captioner"] == "tiny/captioner").all()
    assert rows["raw"].nunique() > 1
    record = json.loads((CAPTIONED / "run.json").read_text())
    assert record["frames"] == len(rows)
    assert len(record["models"]["captioner"]) == 64


def test_a_caption_is_what_the_model_says_of_that_frame_alone(study: Profile) -> None:
    caption.run()
    model, pool = captioner(), Pool(CROPS / "shards")
    for row in read_table(CAPTION_ROWS).head(5).itertuples():
        assert caption.describe(model, [pool.image(row.frame)], study.caption) == [row.raw]


def test_running_again_gives_the_same_bytes_and_does_not_load_the_captioner(
    study: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    caption.run()
    before = CAPTION_ROWS.read_bytes()
    monkeypatch.setattr(caption, "load_captioner", None)
    caption.run()
    assert CAPTION_ROWS.read_bytes() == before


def test_killed_between_batches_it_goes_on_and_ends_with_the_same_captions(
    study: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    caption.run()
    whole = CAPTION_ROWS.read_bytes()
    for path in WORK.rglob("*.json"):
        path.unlink()
    describe, calls = caption.describe, []

    def killed(*arguments: Any) -> list[str]:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return describe(*arguments)

    monkeypatch.setattr(caption, "describe", killed)
    with pytest.raises(KeyboardInterrupt):
        caption.run()
    assert len(list(WORK.rglob("*.json"))) == 2
    calls.clear()
    monkeypatch.setattr(caption, "describe", lambda *arguments: (calls.append(1), describe(*arguments))[1])
    caption.run()
    assert len(calls) == 6 - 2
    assert CAPTION_ROWS.read_bytes() == whole


def test_other_pixels_of_the_same_frame_get_another_batch_file(study: Profile) -> None:
    pool = Pool(CROPS / "shards")
    one, two = list(pool)[:2]
    path = caption.batch_path(Path(), [one], pool)
    pool._where[one] = pool._where[two]
    assert caption.batch_path(Path(), [one], pool) != path


def frames_of(split: str) -> list[str]:
    rows = read_table(SELECT_ROWS)
    return sorted(rows.loc[rows["split"] == split, "frame"])


def review(*rows: Reviewed) -> pd.DataFrame:
    """The captions, by frame, after these reviews."""
    write_reviewed(Path("captions.csv"), rows)
    caption.run()
    return read_table(CAPTION_ROWS).set_index("frame")


def test_a_reviewed_caption_replaces_the_raw_one_and_both_are_kept(study: Profile) -> None:
    caption.run()
    raw = read_table(CAPTION_ROWS).set_index("frame")["raw"]
    one, two = frames_of("train")[:2]
    time = "2026-11-22T10:00:00Z"
    rows = review(Reviewed(one, "a woman,  laughing", editor="anna", time=time), Reviewed(two, "", editor="anna"))
    assert rows.loc[one, "caption"] == rows.loc[one, "reviewed"] == "a woman, laughing"
    assert (rows.loc[one, "editor"], rows.loc[one, "time"]) == ("anna", time)
    assert rows.loc[one, "raw"] == raw[one]
    assert rows.loc[two, "caption"] == raw[two]
    assert (rows["raw"] == raw).all()
    assert json.loads((CAPTIONED / "run.json").read_text())["reviewed"] == 1


def test_a_test_caption_stays_the_captioners_whatever_a_person_wrote(study: Profile) -> None:
    frame = frames_of("test")[0]
    rows = review(Reviewed(frame, "a woman, laughing", editor="anna"))
    assert (rows.loc[frame, "reviewed"], rows.loc[frame, "editor"]) == ("a woman, laughing", "anna")
    assert rows.loc[frame, "caption"] == rows.loc[frame, "raw"] != "a woman, laughing"


def test_reviewed_captions_of_frames_that_are_not_in_use_are_kept_and_counted(
    study: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = review(
        Reviewed(SPARE, "a dog"), Reviewed(frames_of("probe")[0], "a cat"), Reviewed(frames_of("train")[0], "a cow")
    )
    assert not rows.index.isin([SPARE, frames_of("probe")[0]]).any()
    assert "1 with a reviewed caption" in capsys.readouterr().out.splitlines()[-1]
    assert json.loads((CAPTIONED / "run.json").read_text())["reviewed_unused"] == 2


def test_the_caption_in_use_is_flagged_in_the_prompt_that_it_makes(study: Profile) -> None:
    one, two, three = frames_of("train")[:3]
    shot_type = read_table(SELECT_ROWS).set_index("frame").loc[two, "shot_type"]
    wrong = "long" if shot_type == "close" else "close"
    rows = review(
        Reviewed(one, " ".join(f"word{n}" for n in range(40))),
        Reviewed(two, f"a {wrong} shot of a man a man"),
        Reviewed(three, "a man in a coat"),
        Reviewed(frames_of("test")[0], " ".join(f"word{n}" for n in range(40))),
    )
    assert list(rows.loc[[one, two, three], "flags"]) == ["too_long", "repeats,shot_scale", ""]
    assert "too_long" not in rows.loc[frames_of("test")[0], "flags"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("frame,caption\nffff,a dog\n", "row 2: frame 'ffff' is none that ingest has seen"),
        ("frame,caption\n{0},a dog\n{0},a cat\n", "row 3: frame '{0}' has a caption already"),
        ("picture,caption\n{0},a dog\n", "no column 'frame'"),
        ("frame,caption\n{0},a dog,a cat,a cow\n", "row 2: 4 cells for 2 columns"),
    ],
)
def test_bad_reviewed_captions_are_named_and_the_old_output_stays(study: Profile, content: str, message: str) -> None:
    caption.run()
    before, frame = CAPTION_ROWS.read_bytes(), read_table(CAPTION_ROWS)["frame"][0]
    Path("captions.csv").write_text(content.replace("{0}", frame))
    with pytest.raises(StudyError, match=message.replace("{0}", frame)) as error:
        caption.run()
    assert "captions.csv" in str(error.value)
    assert CAPTION_ROWS.read_bytes() == before


def test_a_missing_tokenizer_is_told_before_the_long_work(study: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree("tiny/base/tokenizer")
    monkeypatch.setattr(caption, "load_captioner", None)
    with pytest.raises(StudyError, match=r"models\.base\.source"):
        caption.run()


def test_a_captioner_that_does_not_look_is_refused(study: Profile) -> None:
    processor, model = captioner()
    model.config.image_token_index = 2  # a token that stands nowhere for the picture: its features are dropped
    model.language_projection.weight.data.zero_()
    pictures = [Pool(CROPS / "shards").image(frame) for frame in list(Pool(CROPS / "shards"))[:2]]
    with pytest.raises(StudyError, match="do not depend on the picture"):
        caption.check_sight((processor, model), pictures, study.caption)
    caption.check_sight(captioner(), pictures, study.caption)


def test_first_scores_are_those_of_the_first_word(study: Profile) -> None:
    model, pool = captioner(), Pool(CROPS / "shards")
    pictures = [pool.image(frame) for frame in list(pool)[:3]]
    scores = caption.first_scores(model, pictures, study.caption)
    words = [text.split()[0] for text in caption.describe(model, pictures, study.caption)]
    assert model[0].batch_decode(scores.argmax(-1, keepdim=True)) == words
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize(("split", "remedy"), [("train", "write one"), ("test", "label the frame reject")])
def test_a_frame_without_a_word_is_flagged_and_then_refused_with_the_remedy(
    study: Profile, monkeypatch: pytest.MonkeyPatch, split: str, remedy: str
) -> None:
    describe = caption.describe
    monkeypatch.setattr(caption, "describe", lambda *arguments: ["" for _ in describe(*arguments)])
    caption.run()
    rows = read_table(CAPTION_ROWS)
    assert set(rows["flags"]) == {"empty"}
    first = rows.loc[rows["split"] == split, "frame"].min()
    with pytest.raises(StudyError, match=rf"{split} frame '{first}' \(and \d+ more\) has no caption; .*{remedy}"):
        caption_rows(split)


def test_a_person_may_find_the_word_for_a_training_frame_only() -> None:
    rows = pd.DataFrame({"frame": ["f1", "f2"], "film": "a", "shot_type": "close", "split": "train"})
    raw, reviewed = {"f1": "a dog", "f2": ""}, {"f2": Reviewed("f2", "a cat")}
    assert list(caption.with_captions(rows, raw, reviewed)["caption"]) == ["a dog", "a cat"]
    assert list(caption.with_captions(rows.assign(split="test"), raw, reviewed)["caption"]) == ["a dog", ""]


def test_the_captioner_is_named_with_its_revision(study: Profile) -> None:
    write_model_record("captioner", {"source": "a/b", "revision": "abc123", "sha256": "0"})
    assert caption.captioner_name() == "a/b@abc123"


def test_without_a_selection_it_says_what_to_run(study: Profile) -> None:
    SELECT_ROWS.unlink()
    with pytest.raises(StudyError, match=r"select\.parquet"):
        caption.run()
