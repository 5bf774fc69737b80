"""Hashes of files are those of their contents, however large the files are; a locked folder has one owner."""

import fcntl
import os
from pathlib import Path

import pytest

from dreamshot import work
from dreamshot.seeds import digest, frame_id


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of several pieces that must not be read at once."""
    path = tmp_path / "folder" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(bytes(range(100)))
    monkeypatch.setattr(work, "PIECE", 32)
    monkeypatch.delattr(Path, "read_bytes")
    return path


def test_a_file_is_hashed_by_pieces_as_its_content_is_at_once(file: Path) -> None:
    content = bytes(range(100))
    assert work.file_hash(file) == digest(content)
    assert work.file_hash(file, "frame", "film")[:16] == frame_id("film", content)


def test_a_folder_is_hashed_by_names_and_contents(file: Path) -> None:
    (file.parent / "b").mkdir()
    (file.parent / "b" / "c.txt").write_text("c")
    assert work.folder_hash(file.parent) == digest("a.bin", bytes(range(100)), "b/c.txt", b"c")


def is_free(folder: Path) -> bool:
    """Whether somebody else could have the folder now."""
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(place)


def test_a_locked_folder_is_nobody_elses_until_the_end_whatever_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with work.locked(folder):
        assert not is_free(folder)
    assert is_free(folder)
    with pytest.raises(ValueError, match="on the way"), work.locked(folder):
        raise ValueError("on the way")
    assert is_free(folder)
