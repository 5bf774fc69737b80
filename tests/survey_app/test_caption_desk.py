"""The caption desk: what is reviewed, what find and replace touches, and that undo brings back what was."""

from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from dreamshot.captions import Reviewed, read_reviewed, write_reviewed
from dreamshot.errors import StudyError
from dreamshot.work import locked
from survey_app.researcher import caption_desk
from survey_app.researcher.caption_desk import CaptionDesk, Captioned
from tests.pages import write_pages_study
from tests.tiny_study import frame_rows

TABLE = Path("captions.csv")
FRAMES = [
    Captioned("f1", "film", "close", "a man in a red coat", "0 0 64"),
    Captioned("f2", "film", "long", "a man in a red hat", "0 0 64"),
    Captioned("f3", "film", "medium", "a dog", "0 0 64"),
]
KNOWN = {"f1": "film", "f2": "film", "f3": "film", "gone": "film"}
PROMPT = "a picture of [shot_type] [caption]"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def desk() -> CaptionDesk:
    return CaptionDesk(TABLE, FRAMES, PROMPT, lambda text: len(text.split()), KNOWN)


def table() -> dict[str, Reviewed]:
    return read_reviewed(TABLE, KNOWN)


def state(at: CaptionDesk) -> dict[str, dict[str, Any]]:
    return {row["frame"]: row for row in at.state()["rows"]}


def test_at_first_every_caption_is_the_captioners_and_not_reviewed() -> None:
    rows = state(desk())
    assert [row["caption"] for row in rows.values()] == [frame.raw for frame in FRAMES]
    assert not any(row["reviewed"] for row in rows.values())
    assert not TABLE.exists()


def test_a_saved_caption_is_reviewed_even_where_nothing_was_changed() -> None:
    at = desk()
    at.save("anna", "f1", "  a woman in a\nred coat ")
    at.save("anna", "f3", "a dog")
    rows = state(desk())
    assert (rows["f1"]["caption"], rows["f1"]["raw"]) == ("a woman in a red coat", "a man in a red coat")
    assert [rows[frame]["reviewed"] for frame in ("f1", "f2", "f3")] == [True, False, True]
    assert (table()["f1"].raw, table()["f1"].editor) == ("a man in a red coat", "anna")
    assert table()["f1"].time.endswith("Z")


def test_the_flags_are_those_of_the_frame_that_the_caption_is_given() -> None:
    at = desk()
    assert at.check("f1", "a long shot of a man")["flags"] == ["shot_scale"]
    assert at.check("f2", "a long shot of a man")["flags"] == []
    assert at.check("f1", "")["flags"] == ["empty"]
    assert at.check("f1", "a dog a dog") == {"flags": ["repeats"], "tokens": 8}
    (row,) = at.save("anna", "f1", "a wide shot")["rows"]
    assert row["flags"] == ["shot_scale"]


def test_find_and_replace_changes_captions_that_still_wait_to_be_looked_at() -> None:
    at = desk()
    at.save("anna", "f2", "a boy in a red hat")
    changed = at.replace("ben", "red", "dark red")["rows"]
    assert {row["frame"]: row["caption"] for row in changed} == {
        "f1": "a man in a dark red coat",
        "f2": "a boy in a dark red hat",
    }
    rows = state(desk())
    assert [rows[frame]["reviewed"] for frame in ("f1", "f2", "f3")] == [False, True, False]
    assert at.replace("ben", "nowhere", "x")["rows"] == []
    with pytest.raises(StudyError, match="nothing to find"):
        at.replace("ben", "", "x")
    before = TABLE.read_bytes()
    with pytest.raises(StudyError, match="this one would have 0"):
        at.replace("ben", "a dog", " ")
    assert TABLE.read_bytes() == before


def test_undo_brings_back_what_was_one_change_after_the_other() -> None:
    at = desk()
    at.save("anna", "f1", "one")
    first = TABLE.read_bytes()
    at.save("anna", "f1", "two")
    at.replace("anna", "a ", "the ")
    at.save("ben", "f3", "three")
    undone = at.undo("anna")["rows"]
    assert {row["frame"]: row["caption"] for row in undone} == {"f2": "a man in a red hat"}
    assert table()["f3"].caption == "three"  # what another has changed since is theirs
    (row,) = at.undo("ben")["rows"]
    assert row["caption"] == "the dog"
    write_reviewed(TABLE, [row for row in table().values() if row.frame != "f3"])
    at.undo("anna")
    assert TABLE.read_bytes() == first
    (row,) = at.undo("anna")["rows"]
    assert (row["caption"], row["reviewed"]) == ("a man in a red coat", False)
    assert at.undo("anna")["rows"] == []
    assert table() == {}


def test_rows_of_frames_that_are_not_in_training_now_are_kept() -> None:
    write_reviewed(TABLE, [Reviewed("gone", "an old caption"), Reviewed("f2", "by hand")])
    at = desk()
    assert state(at)["f2"]["reviewed"]  # a table written by hand names no editor
    at.save("anna", "f1", "new")
    assert set(table()) == {"gone", "f1", "f2"}


def test_what_another_wrote_meanwhile_is_not_lost() -> None:
    one, other = desk(), desk()
    one.save("anna", "f1", "one")
    other.save("ben", "f2", "two")
    assert set(table()) == {"f1", "f2"}
    assert state(one)["f2"]["caption"] == "two"


def test_a_change_waits_for_another_server_to_end_its_own() -> None:
    at = desk()
    change = Thread(target=at.save, args=("anna", "f1", "one"))
    with locked(TABLE.parent):
        change.start()
        change.join(timeout=0.3)
        assert change.is_alive()
        write_reviewed(TABLE, [Reviewed("f2", "two")])
    change.join(timeout=10)
    assert set(table()) == {"f1", "f2"}


@pytest.mark.parametrize(
    ("who", "frame", "caption", "message"),
    [
        ("anna", "f9", "a dog", "no training frame"),
        ("anna", "f1", "  ", "1 to 2000 letters; this one would have 0"),
        ("anna", "f1", "x" * 2001, "this one would have 2001"),
        ("An na", "f1", "a dog", "small letters"),
    ],
)
def test_what_cannot_be_saved_is_refused(who: str, frame: str, caption: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        desk().save(who, frame, caption)
    assert not TABLE.exists()


def test_a_write_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    at = desk()
    at.save("anna", "f1", "one")
    before = TABLE.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(caption_desk, "write_reviewed", full)
        for change in (lambda: at.save("anna", "f2", "two"), lambda: at.undo("anna")):
            with pytest.raises(OSError, match="No space"):
                change()
    assert TABLE.read_bytes() == before
    (row,) = at.undo("anna")["rows"]  # the save that failed is not in the way of the one before it
    assert row["frame"] == "f1"


def test_only_training_frames_are_reviewed() -> None:
    write_pages_study(train=2)
    rows = frame_rows(train=2)
    assert {frame.frame for frame in caption_desk.read_captioned()} == set(rows.loc[rows["split"] == "train", "frame"])
