"""The measure of the crop methods, on squares whose figures are known, and what it says of the methods."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import crop
from benchmarks.crop import Score, Still

REPO = Path(__file__).parents[2]
FRAME = (100, 200)


def still(distance: float = 0.6) -> Still:
    """A person of 0.8 frame heights' room below the crown, whose head is at columns 80 to 100."""
    body = 80 / distance
    person, head = (60.0, 20.0, 120.0, 20 + body), (80.0, 20.0, 100.0, 40.0)
    kind = crop.shot_type(distance)
    return Still("film", np.zeros((*FRAME, 3), np.uint8), [(person, head)], 20.0, body, kind)


@pytest.mark.parametrize(("square", "share"), [
    ((0, 0, 100), 2 / 3), ((60, 0, 100), 1.0), ((90, 0, 100), 0.5), ((120, 0, 80), 0.0), ((60, 60, 40), 1 / 3),
])  # fmt: skip
def test_what_is_shown_is_the_share_of_the_visible_box(square: crop.Square, share: float) -> None:
    assert crop.shown((60, 20, 120, 170), square, FRAME) == pytest.approx(share)


@pytest.mark.parametrize(("square", "read"), [
    ((40, 0, 100), "medium"),
    ((84, 0, 100), "medium"),
    ((86, 0, 100), ""),
    ((60, 10, 50), "close"),
    ((60, 30, 70), ""),
], ids=["whole", "most of the head", "head cut", "nearer", "head cut from above"])  # fmt: skip
def test_the_shot_is_read_from_the_crop_alone(square: crop.Square, read: str) -> None:
    assert crop.read_shot(still(), square) == read


def test_a_method_s_figures_are_those_of_its_squares() -> None:
    found = crop.score(lambda this: (90, 0, 100), [still(), still(1.2)])
    assert found.subject == pytest.approx([0.5, 0.5])
    assert found.head == pytest.approx([0.5, 0.5])
    assert found.same.tolist() == [0, 0]
    assert found.rate > 0


@pytest.fixture(scope="module")
def sample() -> list[Still]:
    return crop.stills(each=2)


@pytest.fixture(scope="module")
def scores(sample: list[Still]) -> dict[str, Score]:
    return {name: crop.score(method, sample) for name, method in crop.METHODS.items()}


@pytest.mark.parametrize("figure", ["subject", "head"])
@pytest.mark.parametrize("profile", ["demo", "paper"])
def test_the_default_beats_the_centre(scores: dict[str, Score], sample: list[Still], profile: str, figure: str) -> None:
    method = yaml.safe_load((REPO / "params.yaml").read_text())["profiles"][profile]["crop"]["method"]
    against = crop.against_centre(scores, sample, method, figure)
    assert against.ci_lo is not None
    assert against.ci_lo > 0


def test_nothing_beats_the_oracle_and_it_changes_no_shot(scores: dict[str, Score]) -> None:
    for found in scores.values():
        assert (found.head <= scores["oracle"].head + 1e-9).all()
    assert max(found.subject.mean() for found in scores.values()) == scores["oracle"].subject.mean()
    assert scores["oracle"].same.all()


def test_a_crop_that_zooms_fails_the_measure(scores: dict[str, Score]) -> None:
    assert scores["zoomed attention"].same.mean() < 0.5
    assert all(found.same.mean() > 0.65 for name, found in scores.items() if name != "zoomed attention")


def test_the_committed_table_has_a_line_for_every_method() -> None:
    lines = (REPO / "reports/benchmarks/crop.txt").read_text().splitlines()
    for name in crop.METHODS:
        assert any(line.startswith(f"{name} ") for line in lines), name
