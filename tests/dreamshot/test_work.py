"""Hashes of files are those of their contents, however large the files are."""

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
