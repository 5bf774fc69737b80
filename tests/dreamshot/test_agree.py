import json
import subprocess
import sys
from pathlib import Path

import pytest

from dreamshot.agree import pictures, pixel_differences, same_machine, score_differences

ROOT = Path(__file__).parents[2]
SCORES = {"main": {"clip_t": {"baseline": 0.30, "ours": 0.31, "n": 120}, "dino": {"baseline": 0.40, "ours": 0.50}}}


def test_a_changed_or_missing_picture_is_listed():
    ours = pictures("picture,pixels\na,1\nb,2\n")
    theirs = pictures("picture,pixels\na,1\nb,3\nc,4\n")
    assert pixel_differences(ours, theirs) == ["b", "c"]


def test_means_within_the_noise_agree_and_others_are_named():
    near = json.loads(json.dumps(SCORES))
    near["main"]["clip_t"]["ours"] = 0.325
    assert score_differences(SCORES, near) == []
    near["main"]["clip_t"]["ours"] = 0.34
    assert score_differences(SCORES, near) == ["main.clip_t.ours: 0.31 here, 0.34 committed, noise 0.02"]


def test_a_set_that_only_one_side_has_does_not_agree():
    assert len(score_differences(SCORES, {})) == 4


def test_machines_are_the_same_only_with_processor_and_versions():
    here = {"python": "3.11", "system": "Linux", "cpu": "A", "versions": {"torch": "1"}}
    assert same_machine(here, dict(here))
    assert not same_machine(here, here | {"cpu": "B"})
    assert not same_machine(here, here | {"cpu_kind": "model 2"})
    assert not same_machine(here, here | {"versions": {"torch": "2"}})


@pytest.fixture
def project(tmp_path):
    """A git project with committed results, and a function that compares its folder with them."""
    reports = tmp_path / "reports"
    (reports / "metrics").mkdir(parents=True)
    (reports / "metrics" / "scores.json").write_text(json.dumps(SCORES))
    (reports / "pictures.csv").write_text("picture,pixels\na,1\n")
    (reports / "run.json").write_text(json.dumps({"cpu": "A", "versions": {}}))
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "results"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)

    def compare():
        command = [sys.executable, "-m", "dreamshot.agree"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})

    return reports, compare


def test_results_agree_to_the_bit_on_the_same_machine(project):
    reports, compare = project
    assert compare().returncode == 0
    (reports / "pictures.csv").write_text("picture,pixels\na,2\n")
    done = compare()
    assert done.returncode == 1
    assert "a: other pixels on the same processor and versions" in done.stderr


def test_results_agree_within_noise_on_another_machine(project):
    reports, compare = project
    (reports / "pictures.csv").write_text("picture,pixels\na,2\n")
    (reports / "run.json").write_text(json.dumps({"cpu": "B", "versions": {}}))
    assert compare().returncode == 0
    (reports / "metrics" / "scores.json").write_text("{}")
    assert compare().returncode == 1
