"""The whole graph, from ingest to report, on real pictures, by parameters alone."""

import importlib
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from dreamshot.paths import CAPTION_ROWS, INGEST, LEDGER, METRICS, REPORT_HTML
from tests.tiny_encoders import save_clip, save_dino
from tests.tiny_models import PICTURE_SIZE, write_base, write_captioner

ROOT = Path(__file__).parents[1]
FRAMES = ROOT.parent / "shared" / "frames"
STEPS = ["fetch", "ingest", "crop", "select", "caption", "train close", "train medium", "train long",
         "generate main", "generate ablation", "generate control", "generate strengths", "score", "report"]  # fmt: skip

MAINS = {name: f"stages.{name}.__main__" for name in ("ingest", "train", "generate", "report")}
MODELS = {"base": write_base, "captioner": write_captioner, "clip": save_clip, "dino": save_dino}

pytestmark = pytest.mark.skipif(
    not (FRAMES / "frames.csv").is_file(), reason="the folder of real frames is not beside the project"
)

TRUNCATED = "awkward__tos_truncated.jpg"  # the only awkward one whose film is given


def small_study() -> dict:
    """Parameters alone: films of any year, grey ones too, small models with random weights, few pictures."""
    study = yaml.safe_load((ROOT / "params.yaml").read_text())
    block = study["profiles"]["demo"]
    block |= {"world": "real", "frames": str(FRAMES), "labels": str(FRAMES / "frames.csv")}
    for name, model in block["models"].items():
        model["source"] = f"tiny/{name}"
    block["crop"]["size"] = block["generate"]["size"] = PICTURE_SIZE
    block["score"] |= {"dino_resize": 36, "dino_crop": 32}
    block["ingest"] |= {"min_year": 1900, "min_channels": 1, "min_chroma": 0.0}
    block["select"] = {"train": 1, "test": 1, "probe": 1, "max_per_film": 4}
    block["train"] |= {"steps": 2, "batch": 1, "warmup": 0, "checkpoint_every": 1}
    block["generate"] |= {"steps": 2, "batch": 1}
    for pairs in block["generate"]["sets"].values():
        pairs["per_type"] = 1
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder in which every step has run."""
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("params.yaml").write_text(yaml.safe_dump(small_study()))
        for name, write in MODELS.items():
            write(Path("tiny") / name)
        for step in STEPS:
            name, *arguments = step.split()
            run = importlib.import_module(MAINS.get(name, f"stages.{name}")).run
            run(arguments) if arguments else run()
    return folder


def test_the_graph_runs_from_ingest_to_report(study):
    assert (study / REPORT_HTML).stat().st_size > 20_000
    scores = json.loads((study / METRICS / "scores.json").read_text())
    assert scores["main"]["clip_t"]["n"] == 3


def test_every_picture_is_kept_or_has_its_exact_reason(study):
    listed = pd.read_csv(FRAMES / "frames.csv")
    ledger = pd.read_parquet(study / LEDGER).set_index("file")["rule"]
    kept = set(pd.read_parquet(study / INGEST / "frames.parquet")["file"])
    without_film = set(listed.loc[listed["film"].isna(), "file"])
    assert set(ledger.index) == without_film | {TRUNCATED}
    assert set(ledger[list(without_film)]) == {"missing_film"}
    assert ledger[TRUNCATED] == "undecodable"
    assert kept == set(listed["file"]) - set(ledger.index)


def test_real_crops_are_captioned(study):
    captions = pd.read_parquet(study / CAPTION_ROWS)
    assert len(captions) == 6
    assert captions["caption"].str.len().gt(0).all()
