"""Training runs of tiny models that have not begun, for the tests of training."""

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from dreamshot.models import device
from dreamshot.params import Profile
from dreamshot.provenance import threads
from stages.diffusion import reproducible
from stages.train.__main__ import prepare
from stages.train.data import read_data
from stages.train.loop import Run
from tests.tiny_study import write_params


def alone() -> Accelerator:
    """accelerate's, of this one process, which computes as a stage's does."""
    reproducible(threads())
    return Accelerator(cpu=device() == "cpu")


def run_of(params: Profile) -> Run:
    """A run for close shots, of the study in the current directory."""
    return prepare(params, "close", read_data(params, "close"), alone())


def run_with(**train: Any) -> Run:
    """The same with these values of ``train`` in ``params.yaml``."""
    return run_of(write_params(train=train))


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
