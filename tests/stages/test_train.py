"""The training stage: what it writes, exact resume, errors in one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dreamshot.errors import StudyError
from dreamshot.paths import CAPTION_ROWS, LORA_FILE, TUNED, WORK
from dreamshot.records import read_table, write_table
from stages.train import __main__ as stage
from stages.train import checkpoint, loop
from stages.tuning import weights_hash
from tests.tiny_runs import content, run_with
from tests.tiny_study import PARAMS, write_params

CLOSE = TUNED / "close"
ROOT = Path(stage.__file__).parents[2]
TEXT_ENCODER = {"train": True, "learning_rate": 0.01}
PRIOR = {"weight": 0.5, "pictures": 2, "prompt": "a picture"}
HELD_OUT = {"every": 2, "frames": 1, "draws": 1, "pictures": 1}


@pytest.fixture(scope="module")
def template(template: Path) -> Path:
    """The study with its cache filled."""
    run_with()
    return template


WRITTEN = {
    "lora": ["dreamshot_close.safetensors", LORA_FILE],
    "dreambooth": [
        "text_encoder/config.json", "text_encoder/model.safetensors",
        "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
    ],
    "textual_inversion": ["dreamshot_close_words.safetensors"],
}  # fmt: skip


@pytest.mark.parametrize("method", WRITTEN)
def test_the_stage_writes_what_was_learnt_with_card_record_and_losses(study: Path, method: str) -> None:
    write_params(train={"method": method, "text_encoder": {"train": method == "dreambooth", "learning_rate": 0.001}})
    stage.run(["close"])
    files = content(CLOSE)
    beside = [name for name in files if not name.startswith("training/")]
    assert beside == sorted([*WRITTEN[method], "README.md", "run.json"])
    assert "training/plots/metrics/loss.tsv" in files
    record = json.loads(files["run.json"])
    assert record["params"]["method"] == method
    assert (record["frames"], record["class_pictures"]) == (4, 0)
    assert len(record["models"]["base"]) == len(record["data"]) == 64
    assert weights_hash("close") in files["README.md"].decode()


# --- exact resume ---

RUNS: dict[str, dict[str, Any]] = {
    "lora": {"noise_offset": 0.1, "caption_dropout": 0.3, "min_snr_gamma": 5.0},
    "lora, text encoder, average, pieces, class pictures": {
        "text_encoder": TEXT_ENCODER, "ema_decay": 0.6, "accumulate": 3, "prior": PRIOR,
    },
    "lora, adafactor, float16": {"optimizer": "adafactor", "dtype": "float16", "schedule": "cosine"},
    "dreambooth, text encoder, average, bfloat16": {
        "method": "dreambooth", "text_encoder": TEXT_ENCODER, "ema_decay": 0.6, "dtype": "bfloat16",
    },
    "dreambooth, adafactor": {"method": "dreambooth", "optimizer": "adafactor", "schedule": "linear"},
    "textual inversion, average": {"method": "textual_inversion", "ema_decay": 0.6, "weight_decay": 0.1},
}  # fmt: skip


def forget() -> None:
    """Remove the checkpoints and what was written, but not the cache."""
    shutil.rmtree(WORK / "train")
    shutil.rmtree(CLOSE)


@pytest.mark.parametrize("kind", RUNS)
def test_killed_and_run_again_it_ends_with_the_same_bytes(
    study: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    write_params(train={"steps": 5, "validation": HELD_OUT, **RUNS[kind]})
    stage.run(["close"])
    whole = content(CLOSE)
    forget()
    step, done = loop.train_step, []

    def killed(run: loop.Run) -> None:
        if run.step == 3:
            raise KeyboardInterrupt
        step(run)

    monkeypatch.setattr(loop, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        stage.run(["close"])
    assert "run.json" not in content(CLOSE)
    monkeypatch.setattr(loop, "train_step", lambda run: (done.append(run.step), step(run))[1])
    stage.run(["close"])
    assert done == [2, 3, 4]
    assert content(CLOSE) == whole


@pytest.mark.parametrize("killed_at", [1, 2, 4])
def test_it_may_be_killed_anywhere(study: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int) -> None:
    """Before the first checkpoint; after one, while a validation picture is drawn; and again on its second way."""
    write_params(train={"steps": 4, "validation": HELD_OUT})
    stage.run(["close"])
    whole = content(CLOSE)
    forget()
    look = stage.watch.look

    def killed(run: loop.Run, folder: Path) -> None:
        if run.step >= killed_at:
            raise KeyboardInterrupt
        look(run, folder)

    with monkeypatch.context() as patch:
        patch.setattr(stage.watch, "look", killed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                stage.run(["close"])
    stage.run(["close"])
    assert content(CLOSE) == whole


def test_after_kill_9_the_command_goes_on_from_its_checkpoint_and_ends_with_the_same_bytes(study: Path) -> None:
    write_params(train={"steps": 40})
    stage.run(["close"])
    whole = content(CLOSE)
    forget()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.train", "close"]
    running = subprocess.Popen(command, cwd=study, env=environment, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 200
        while not list(WORK.glob("train/*/state.safetensors")) and time.monotonic() < end and running.poll() is None:
            time.sleep(0.005)
    finally:
        running.kill()
    assert running.wait() == -signal.SIGKILL
    assert "run.json" not in content(CLOSE)
    (state,) = WORK.glob("train/*/state.safetensors")
    torn = state.with_name("state.safetensors.1.part")
    torn.write_bytes(b"torn")
    begun = run_with(steps=40)
    checkpoint.load_checkpoint(begun, state)
    assert 2 <= begun.step < 40
    stage.run(["close"])
    assert content(CLOSE) == whole
    assert not torn.exists()


def test_a_finished_run_is_written_again_without_a_step(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run(["close"])
    whole = content(CLOSE)
    shutil.rmtree(CLOSE)
    monkeypatch.setattr(loop, "train_step", lambda run: pytest.fail("a step was done again"))
    stage.run(["close"])
    assert content(CLOSE) == whole


def test_prompts_that_the_text_encoder_cuts_are_counted(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_params(train={"steps": 1})
    stage.run(["close"])
    assert "longer than the text encoder reads" not in capsys.readouterr().out
    rows = read_table(CAPTION_ROWS)
    chosen = rows.index[(rows["shot_type"] == "close") & (rows["split"] == "train")][:2]
    rows.loc[chosen, "caption"] = rows.loc[chosen, "caption"] + " and a dog" * 40
    write_table(rows, CAPTION_ROWS, by="frame")
    stage.run(["close"])
    assert "; 2 prompts longer than the text encoder reads\n" in capsys.readouterr().out
    assert json.loads((CLOSE / "run.json").read_text())["cut_prompts"] == 2


def test_what_an_earlier_run_has_written_by_another_method_goes(study: Path) -> None:
    write_params(train={"method": "textual_inversion"})
    stage.run(["close"])
    write_params()
    stage.run(["close"])
    assert not (CLOSE / "dreamshot_close_words.safetensors").exists()
    assert (CLOSE / LORA_FILE).is_file()


@pytest.mark.parametrize("kind", ["lora, adafactor, float16", "dreambooth, text encoder, average, bfloat16"])
def test_a_checkpoint_holds_all_that_a_run_has(study: Path, kind: str) -> None:
    run, other = run_with(**RUNS[kind]), run_with(**RUNS[kind])
    for _ in range(3):
        loop.train_step(run)
    run.log.held_out[0] = 1 / 3
    checkpoint.save_checkpoint(run, Path("state"))
    checkpoint.load_checkpoint(other, Path("state"))
    assert (other.step, other.log) == (3, run.log)
    assert other.scaler.state_dict() == run.scaler.state_dict()
    for name, weight in run.weights.items():
        assert torch.equal(other.weights[name], weight)
        mine, theirs = run.optimizer.state[weight], other.optimizer.state[other.weights[name]]
        assert {key for key in mine if mine[key] is not None} == theirs.keys()
        for key, value in theirs.items():
            assert torch.equal(mine[key], value)
            assert mine[key].stride() == value.stride()  # the order of a sum, and with it its last bit, hangs on it
    if run.average is not None:
        assert other.average.optimization_step == 3
        assert all(map(torch.equal, run.average.shadow_params, other.average.shadow_params))


def test_a_checkpoint_is_there_whole_or_not_at_all(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_with()
    checkpoint.save_checkpoint(run, Path("state"))
    before = Path("state").read_bytes()
    loop.train_step(run)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save_checkpoint(run, Path("state"))
    assert Path("state").read_bytes() == before


OTHER: dict[str, dict[str, Any]] = {
    "learning rate": {"train": {"learning_rate": 0.01}},
    "prompt": {"generate": {"prompt": "a [shot_type] of [caption]"}},
    "identifier": {"generate": {"identifier": "sks"}},
}


@pytest.mark.parametrize("change", OTHER)
def test_another_number_of_the_study_starts_a_run_of_its_own(study: Path, change: str) -> None:
    write_params(train={"steps": 1})
    stage.run(["close"])
    first = load_file(CLOSE / LORA_FILE)
    groups = OTHER[change]
    write_params(**{**groups, "train": {"steps": 1, **groups.get("train", {})}})
    stage.run(["close"])
    assert len(list((WORK / "train").iterdir())) == 2
    assert any(not torch.equal(tensor, first[name]) for name, tensor in load_file(CLOSE / LORA_FILE).items())


# --- errors ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ["to_k", "to_nothing"]}, "train.targets: 'to_nothing' is no linear or convolutional layer"),
        ({"targets": ["attn1"]}, "train.targets: 'attn1' is no linear or convolutional layer of the UNet; usual"),
        ({"learning_rate": 1e30}, "lower train.learning_rate"),
    ],
)
def test_impossible_training_is_named(study: Path, changes: dict[str, Any], message: str) -> None:
    write_params(train=changes)
    with pytest.raises(StudyError, match=message):
        stage.run(["close"])
    assert not (CLOSE / "run.json").exists()


def test_missing_captions_are_named(study: Path) -> None:
    CAPTION_ROWS.unlink()
    with pytest.raises(StudyError, match=r"captions\.parquet: no such table"):
        stage.run(["close"])


@pytest.mark.parametrize(("arguments", "message"), [([], "argument ''"), (["wide"], "argument 'wide': no such shot")])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    done = subprocess.run(
        [sys.executable, "-m", "stages.train", *arguments],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
