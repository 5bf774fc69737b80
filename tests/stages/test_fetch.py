import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# A port of this machine that nobody listens on: the hub is out of reach, wherever the test runs.
NO_HUB = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def fetch(tmp_path):
    """Run the fetch stage in an empty folder on the project's parameters, changed by ``change``."""

    def run(change, *models):
        study = yaml.safe_load((ROOT / "params.yaml").read_text())
        change(study)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(study))
        environment = {**os.environ, **NO_HUB, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "hub")}
        command = [sys.executable, "-m", "stages.fetch", *models]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    return run, tmp_path / "data" / "models"


def local(study):
    """Folders that are there, whatever is in them: fetching looks at nothing but their files."""
    for model in study["profiles"]["demo"]["models"].values():
        model["source"] = str(ROOT / "metrics")


def test_local_models_are_recorded_with_their_hash(fetch):
    run, records = fetch
    assert run(local).returncode == 0
    record = json.loads((records / "base.json").read_text())
    assert len(record["sha256"]) == 64
    assert sorted(path.stem for path in records.iterdir()) == ["base", "captioner", "clip", "detector", "dino"]


def test_a_detector_that_no_crop_wants_is_neither_looked_for_nor_named(fetch):
    run, records = fetch

    def elsewhere(study):
        local(study)
        study["profiles"]["demo"]["crop"]["method"] = "attention"
        study["profiles"]["demo"]["models"]["detector"]["source"] = "no/such/folder/here"

    done = run(elsewhere)
    assert done.returncode == 0
    assert "fetch: no detector (crop.method is attention)" in done.stdout.splitlines()
    assert json.loads((records / "detector.json").read_text()) == {"source": "", "revision": "", "sha256": ""}


def test_a_detector_that_the_crop_wants_is_hashed_or_missed_by_name(fetch):
    run, records = fetch

    def wanted(study, source=str(ROOT / "metrics")):
        local(study)
        study["profiles"]["demo"]["crop"]["method"] = "detector"
        study["profiles"]["demo"]["models"]["detector"]["source"] = source

    assert run(wanted).returncode == 0
    assert len(json.loads((records / "detector.json").read_text())["sha256"]) == 64
    done = run(lambda study: wanted(study, "no/such/folder/here"))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: models.detector.source = 'no/such/folder/here': cannot be loaded")


def test_one_model_may_be_had_without_the_others(fetch):
    run, records = fetch

    def only_one_there(study):
        for model in study["profiles"]["demo"]["models"].values():
            model["source"] = "no/such/folder/here"
        study["profiles"]["demo"]["models"]["dino"]["source"] = str(ROOT / "metrics")

    assert run(only_one_there, "dino").returncode == 0
    assert [path.stem for path in records.iterdir()] == ["dino"]
    done = run(only_one_there, "dyno")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "error: argument 'dyno': no such model; one of base, captioner, clip, dino, detector"
    )


def test_a_hub_out_of_reach_is_one_line_that_names_the_model_and_the_remedy(fetch):
    run, records = fetch
    done = run(lambda study: study.update(profile="paper"))
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: models.base.source = 'stable-diffusion-v1-5/stable-diffusion-v1-5': ")
    assert "path of a local folder" in lines[0]
    assert not records.exists()


def test_a_path_that_is_not_there_is_named(fetch):
    run, _ = fetch
    done = run(lambda study: study["profiles"]["demo"]["models"]["base"].update(source="no/such/folder/here"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: models.base.source = 'no/such/folder/here'")
