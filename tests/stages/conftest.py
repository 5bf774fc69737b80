"""What several of these tests build on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tiny_study import write_study


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study with its captions, to be copied; the current directory of its module. A module may have its own."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_study()
        yield folder


@pytest.fixture
def study(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: a copy, to change, of the study that the test's module has made once as ``template``."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
