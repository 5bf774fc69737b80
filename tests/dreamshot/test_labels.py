"""Labels: what stands when tables and logs are read together, and that a log loses nothing."""

import errno
import os
import random
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from dreamshot.errors import StudyError
from dreamshot.labels import (
    TABLE_COLUMNS,
    Label,
    Seen,
    append,
    is_current,
    label_table,
    log_path,
    looked_twice,
    read_labels,
)
from dreamshot.work import locked

SEEN = Seen(films={"f1": "a", "f2": "a", "f3": "b"}, files={"1.png": "f1", "2.png": "f2", "3.png": "f3"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "labels"


def table(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def said(frame: str, shot_type: str, who: str = "anna", second: int = 0, **more: Any) -> Label:
    return Label(frame, shot_type, who, time=f"2026-01-01T00:00:{second:02d}.000Z", **more)


def test_a_log_gives_back_what_was_written_to_it(folder: Path) -> None:
    labels = [
        said("f1", "medium", second=1, medium_close_up=True, seconds=1.25, crop="0 0 64", file="1.png"),
        said("f2", "reject", second=2, reason="text, or graphics", seconds=3.0, crop="4 0 64", file="2.png"),
    ]
    for label in labels:
        append(folder, label)
    assert read_labels(folder, SEEN) == labels


def test_an_undo_takes_back_that_persons_label_and_no_other(folder: Path) -> None:
    for row in [said("f1", "close"), said("f1", "long", "ben"), said("f2", "close"), said("f1", "undo", second=9)]:
        append(folder, row)
    assert [(label.frame, label.who) for label in read_labels(folder, SEEN)] == [("f1", "ben"), ("f2", "anna")]
    append(folder, said("f1", "medium", second=10))
    assert read_labels(folder, SEEN)[1].shot_type == "medium"


def test_of_two_crops_of_a_frame_the_last_label_stands(folder: Path) -> None:
    append(folder, said("f1", "close", crop="0 0 64"))
    append(folder, said("f1", "reject", second=1, crop="9 0 64"))
    (label,) = read_labels(folder, SEEN)
    assert (label.shot_type, label.crop) == ("reject", "9 0 64")


def test_a_label_counts_for_the_crop_that_was_looked_at() -> None:
    squares = {"f1": "0 0 64"}
    assert is_current(said("f1", "close", crop="0 0 64"), squares)
    assert is_current(said("f1", "close"), squares)
    assert not is_current(said("f1", "close", crop="1 0 64"), squares)
    assert not is_current(said("f2", "close"), squares)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_off_does_not_count_and_is_replaced(folder: Path, cut: int) -> None:
    append(folder, said("f1", "close"))
    append(folder, said("f2", "long", reason='a "quoted", long reason that makes the line longer than sixty bytes'))
    path = log_path(folder, "anna")
    path.write_bytes(path.read_bytes()[:-cut])
    assert [label.frame for label in read_labels(folder, SEEN)] == ["f1"]
    append(folder, said("f3", "medium"))
    assert [label.frame for label in read_labels(folder, SEEN)] == ["f1", "f3"]


def test_a_row_waits_for_another_server_to_end_its_own(folder: Path) -> None:
    row = Thread(target=append, args=(folder, said("f1", "close")))
    with locked(folder):
        row.start()
        row.join(timeout=0.3)
        assert row.is_alive()
        assert not log_path(folder, "anna").exists()
    row.join(timeout=10)
    assert [label.frame for label in read_labels(folder, SEEN)] == ["f1"]


def test_a_full_disk_leaves_the_log_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(folder, said("f1", "close"))
    before = log_path(folder, "anna").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append(folder, said("f2", "long"))
    assert log_path(folder, "anna").read_bytes() == before


def test_tables_of_people_and_logs_are_read_together(folder: Path) -> None:
    table(folder, "mine.csv", "file,shot_type\n1.png,close\n2.png,\n3.png,unknown\n")
    append(folder, said("f1", "long"))
    labels = read_labels(folder, SEEN)
    assert [(label.frame, label.who, label.shot_type) for label in labels] == [
        ("f1", "mine", "close"),
        ("f1", "anna", "long"),
    ]
    assert labels[0].seconds is None
    assert read_labels(folder / "mine.csv", SEEN) == [label for label in labels if label.who == "mine"]


def test_nobody_has_labelled_yet(folder: Path) -> None:
    assert read_labels(folder, SEEN) == []


def test_in_a_log_a_frame_that_is_gone_is_passed_over(folder: Path) -> None:
    append(folder, said("gone", "close"))
    append(folder, said("f1", "close"))
    assert [label.frame for label in read_labels(folder, SEEN)] == ["f1"]


BAD = {
    "an unknown frame": ("frame,shot_type\nnope,close\n", r"row 2: frame 'nope' is none that ingest has seen"),
    "an unknown file": ("file,shot_type\n9.png,close\n", r"row 2: file '9.png' is none that ingest has seen"),
    "neither file nor frame": ("shot_type\nclose\n", r"row 2: file '' is none that ingest has seen"),
    "a word that is none": ("file,shot_type\n1.png,wide\n", r"row 2: shot_type 'wide' is not one of close, medium"),
    "an undo in a table": ("file,shot_type\n1.png,undo\n", r"row 2: shot_type 'undo' is not one of"),
    "a flag that is none": ("file,shot_type,medium_close_up\n1.png,close,1\n", r"medium_close_up '1' is neither"),
    "a flag on a long shot": ("file,shot_type,medium_close_up\n1.png,long,yes\n", r"row 2: medium_close_up yes, but"),
    "seconds that are none": ("file,shot_type,seconds\n1.png,close,fast\n", r"row 2: seconds 'fast' is not a number"),
    "negative seconds": ("file,shot_type,seconds\n1.png,close,-1\n", r"row 2: seconds '-1' is not a number"),
    "two labels of one crop": (
        "file,shot_type\n1.png,close\n1.png,long\n",
        r"row 3: shot_type 'long', but .*csv row 2",
    ),
    "no shot types": ("file,label\n1.png,close\n", r"no column 'shot_type'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named(folder: Path, case: str) -> None:
    text, message = BAD[case]
    path = table(folder, "mine.csv", text)
    with pytest.raises(StudyError, match=message) as error:
        read_labels(folder, SEEN)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("who", ["", "Anna", "a/b", "..", "../x", "a b", "x" * 41, "anna\n"])
def test_a_name_that_no_file_should_have_is_refused(folder: Path, who: str) -> None:
    with pytest.raises(StudyError, match="small letters"):
        append(folder, said("f1", "close", who))
    assert not list(folder.glob("*"))


def mangled(rng: random.Random, text: str) -> bytes:
    """The table with a few bytes lost, doubled, moved or replaced."""
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                del data[at : at + rng.randint(1, 9)]
            case 1:
                data[at:at] = data[at : at + rng.randint(1, 30)]
            case 2:
                data[at] = rng.randrange(256)
            case 3:
                data[at:at] = rng.choice([b'"', b",", b"\n", b"\r", b"\0", b";", b"\xef\xbb\xbf", b"undo", b"1e999"])
            case _:
                data = data[: max(1, at)]
    return bytes(data or b"x")


@pytest.mark.parametrize("name", ["mine.csv", "log-anna.csv"])
def test_a_mangled_table_gives_labels_or_one_clear_line(folder: Path, name: str) -> None:
    rows = [
        "time,who,frame,file,shot_type,medium_close_up,reason,seconds,crop",
        "2026-01-01T00:00:00Z,anna,f1,1.png,close,yes,,1.5,0 0 64",
        '2026-01-01T00:00:01Z,anna,f2,2.png,reject,,"nobody, there",2.5,0 0 64',
        "2026-01-01T00:00:02Z,anna,f3,3.png,long,,,0.5,0 0 64",
        "2026-01-01T00:00:03Z,anna,f3,3.png,long,,,0.5,0 0 64",
    ]
    rng, lines = random.Random(0), list[str]()
    for _ in range(300):
        table(folder, name, "").write_bytes(mangled(rng, "\n".join(rows) + "\n"))
        try:
            labels = read_labels(folder, SEEN)
        except StudyError as error:
            lines.append(str(error))
        else:
            assert {label.frame for label in labels} <= SEEN.films.keys()
    assert len(lines) > 100
    assert all(name in line and len(line.splitlines()) == 1 and line.isprintable() for line in lines)


def test_a_file_that_ingest_gave_no_id_has_no_label(folder: Path) -> None:
    table(folder, "mine.csv", "file,shot_type\nbroken.jpg,close\n1.png,close\n")
    seen = Seen(SEEN.films, SEEN.files | {"broken.jpg": ""})
    assert [label.file for label in read_labels(folder, seen)] == ["1.png"]


def test_one_person_in_two_tables_is_one_person(folder: Path) -> None:
    table(folder, "anna.csv", "file,shot_type\n1.png,close\n2.png,close\n")
    append(folder, said("f1", "long", crop="0 0 64"))
    assert [(label.frame, label.shot_type) for label in read_labels(folder, SEEN)] == [("f1", "long"), ("f2", "close")]
    append(folder, said("f2", "undo", second=2))
    assert [label.frame for label in read_labels(folder, SEEN)] == ["f1"]
    table(folder, "more.csv", "file,shot_type,who\n3.png,close,anna\n")
    table(folder, "other.csv", "file,shot_type,who\n3.png,long,anna\n")
    with pytest.raises(StudyError, match=r"other.csv row 2: .* but 'close' in .*more.csv row 2"):
        read_labels(folder, SEEN)


def test_unknown_says_nothing_and_hides_nobodys_label(folder: Path) -> None:
    table(folder, "mine.csv", "file,shot_type\n1.png,unknown\n")
    append(folder, said("f1", "medium"))
    assert [label.shot_type for label in read_labels(folder, SEEN)] == ["medium"]


def test_no_labels_make_an_empty_table_and_no_second_look() -> None:
    empty = label_table([], {}, {})
    assert list(empty.columns) == TABLE_COLUMNS
    assert looked_twice(empty).empty


def test_a_second_look_is_another_persons_of_the_same_crop() -> None:
    squares = {"f1": "0 0 64", "f2": "0 0 64"}
    labels = [
        said("f1", "close", "anna", 1),
        said("f1", "medium", "ben", 2, crop="0 0 64", medium_close_up=True),
        said("f1", "long", "cleo", 3),
        said("f2", "close", "anna", 1),
        said("f2", "long", "ben", 2, crop="9 0 64"),
    ]
    (row,) = looked_twice(label_table(labels, SEEN.films, squares)).to_dict("records")
    assert (row["frame"], row["film"]) == ("f1", "a")
    assert (row["who_first"], row["who_second"]) == ("anna", "ben")
    assert (row["shot_type_first"], row["shot_type_second"], row["medium_close_up_second"]) == ("close", "medium", True)
