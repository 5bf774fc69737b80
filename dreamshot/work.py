"""Work folders: what a killed stage has done so far, keyed so that only the same work is taken up again."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dreamshot.paths import WORK
from dreamshot.provenance import environment
from dreamshot.seeds import digest

PIECE = 1 << 20  # bytes read at once


def take_in(so_far: "hashlib._Hash", part: str | Path) -> None:
    """Add a text, or the content of a file, to a hash: what ``digest`` does, but a file is never held whole."""
    if isinstance(part, str):
        data = part.encode()
        so_far.update(len(data).to_bytes(8, "little") + data)
        return
    with part.open("rb") as file:
        so_far.update(os.fstat(file.fileno()).st_size.to_bytes(8, "little"))
        while piece := file.read(PIECE):
            so_far.update(piece)


def file_hash(path: Path, *before: str) -> str:
    """SHA-256 (hex) of a file's content: ``digest(*before, content)``."""
    found = hashlib.sha256()
    for text in before:
        take_in(found, text)
    take_in(found, path)
    return found.hexdigest()


def folder_hash(folder: Path) -> str:
    """SHA-256 (hex) of the names and contents of the files below ``folder``."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        take_in(found, str(path.relative_to(folder)))
        take_in(found, path)
    return found.hexdigest()


def code_hash(*folders: str) -> str:
    """SHA-256 (hex) of the Python files below the given folders or of the given files."""
    roots = [Path(__file__).parent.parent / folder for folder in ("dreamshot", *folders)]
    files = sorted(path for root in roots for path in (root.rglob("*.py") if root.is_dir() else [root]))
    return digest(*(part for path in files for part in (path.name, path.read_bytes())))


def work_folder(stage: str, *key: str) -> Path:
    """The git-ignored folder for this stage and key (hashes of code, parameters, inputs, models), made if new.

    What was done on another processor, with other versions or threads, is other work.

    Folders of the same stage with other keys are left alone: switching a parameter back finds its work again.
    """
    folder = WORK / stage / digest(json.dumps(environment(), sort_keys=True), *key)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A path to write to that becomes ``path`` by one rename: it is there whole or not at all, even after kill -9."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    yield part
    part.replace(path)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file's content by one atomic rename."""
    with atomic(path) as part:
        part.write_bytes(data)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone in a folder, which is made if new, among all processes that ask for that."""
    folder.mkdir(parents=True, exist_ok=True)
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def clean(folder: Path, keep: Iterable[str] = ()) -> Path:
    """An empty output folder: whatever an earlier run left there is removed, but for the names in ``keep``."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder
