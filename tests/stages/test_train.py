"""Training: each caption with its picture, exact resume, and a LoRA that loads with the scaling it was trained with."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, safe_open, save

from dreamshot.errors import StudyError
from dreamshot.models import load_base
from dreamshot.params import Profile, load_params
from dreamshot.paths import CAPTION_ROWS, CROPS, LORA, LORA_FILE, WORK
from dreamshot.records import Pool, read_table
from dreamshot.seeds import seed
from stages.diffusion import encode_prompts, from_unit
from stages.train import __main__ as stage
from stages.train import loop
from stages.train.data import examples_of, to_tensor
from stages.train.lora import add_lora, save_lora, sort_header
from tests.tiny_models import base_pipeline
from tests.tiny_study import PARAMS, caption_of, pixels_of, write_params, write_study

FILE = LORA / "close" / LORA_FILE


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its captions, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_study()
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return load_params()


def run_of(study: Profile) -> loop.Run:
    """A run of the "close" LoRA that has not begun."""
    examples = examples_of("close", study.generate.prompt)
    return stage.prepare(study, "close", examples, Pool(CROPS / "shards"), Path())[0]


def test_the_stage_writes_lora_log_and_record(study: Profile) -> None:
    stage.run(["close"])
    log = (LORA / "close" / "log.csv").read_text().splitlines()
    assert log[0] == "step,loss"
    assert [line.split(",")[0] for line in log[1:]] == ["1", "2", "3", "4", "5", "6"]
    record = json.loads((LORA / "close" / "run.json").read_text())
    assert record["params"]["rank"] == 2
    assert record["frames"] == 4
    assert len(record["models"]["base"]) == len(record["data"]) == len(record["lora"]) == 64
    assert any(
        float(weight.abs().max()) > 0 for key, weight in load_file(FILE).items() if "lora_B" in key or "up" in key
    )


@pytest.mark.parametrize("killed_at", [1, 3, 4])
def test_killed_and_run_again_it_ends_with_the_same_bytes(
    study: Profile, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    stage.run(["close"])
    whole = {path.name: path.read_bytes() for path in (LORA / "close").iterdir()}
    for path in [*WORK.rglob("state.safetensors"), *(LORA / "close").iterdir()]:
        path.unlink()
    step, done = loop.train_step, []

    def killed(run: loop.Run) -> None:
        if run.step == killed_at:
            raise KeyboardInterrupt
        step(run)

    monkeypatch.setattr(loop, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        stage.run(["close"])
    assert not FILE.exists()
    monkeypatch.setattr(loop, "train_step", lambda run: (done.append(run.step), step(run))[1])
    stage.run(["close"])
    assert done == list(range(killed_at // 2 * 2, 6))
    assert {path.name: path.read_bytes() for path in (LORA / "close").iterdir()} == whole


def test_a_checkpoint_holds_weights_moments_and_losses(study: Profile, tmp_path: Path) -> None:
    run = run_of(study)
    for _ in range(3):
        loop.train_step(run)
    loop.save_checkpoint(run, tmp_path / "state")
    other = run_of(study)
    loop.load_checkpoint(other, tmp_path / "state")
    assert other.losses == run.losses
    for name, weight in run.weights.items():
        assert torch.equal(other.weights[name], weight)
        mine, theirs = run.optimizer.state[weight], other.optimizer.state[other.weights[name]]
        assert all(torch.equal(mine[key], theirs[key]) for key in ("step", "exp_avg", "exp_avg_sq"))


def test_every_epoch_shows_each_frame_once_in_an_order_of_its_own() -> None:
    def seed_of(*names: str | int) -> int:
        return seed(0, *names)

    row = [place for step in range(14) for place in loop.batch_of(step, 5, 7, seed_of)]
    epochs = [row[start : start + 7] for start in range(0, 70, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 5


def test_each_picture_trains_with_its_own_caption(study: Profile) -> None:
    """Swap two captions in the cache, or fill it in another order, and this fails."""
    run, pipeline = run_of(study), base_pipeline()
    for step in range(4):
        _, _, _, text = loop.inputs(run, step)
        places = loop.batch_of(step, 3, 4, run.seed_of)
        for place, embedding in zip(places, text, strict=True):
            frame = sorted(run.cache.mean)[place]
            prompt = f"a high-quality close_shot picture of {caption_of(frame)}"
            assert torch.equal(embedding, encode_prompts(pipeline, [prompt])[prompt][0])
            with torch.inference_mode():
                posterior = pipeline.vae.encode(to_tensor([pixels_of(frame)])).latent_dist
            assert torch.allclose(run.cache.mean[frame], posterior.mean[0], atol=1e-5)
            assert torch.allclose(run.cache.std[frame], posterior.std[0], atol=1e-5)


def test_a_step_is_random_in_its_number_and_in_nothing_else(study: Profile) -> None:
    run = run_of(study)
    torch.manual_seed(1)
    first = loop.inputs(run, 3)
    torch.manual_seed(2)
    loop.inputs(run, 0)
    assert all(torch.equal(a, b) for a, b in zip(first, loop.inputs(run, 3), strict=True))
    assert not torch.equal(first[1], loop.inputs(run, 4)[1])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_loss_is_that_of_the_noising_formula(study: Profile, prediction_type: str) -> None:
    base_pipeline(prediction_type=prediction_type, shift_factor=0.2).save_pretrained("tiny/base")
    run = run_of(study)
    latents, noise, times, text = loop.inputs(run, 0)
    places = loop.batch_of(0, 3, 4, run.seed_of)
    frames = [run.examples[place].frame for place in places]
    spread = torch.stack([(run.cache.std[frame]) for frame in frames]) * 0.7
    centre = (torch.stack([run.cache.mean[frame] for frame in frames]) - 0.2) * 0.7
    drawn = (latents - centre) / spread
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.1)
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.1)
    assert torch.allclose(from_unit(latents, run.vae), latents / 0.7 + 0.2)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = (1 - betas).cumprod(0)[times].reshape(-1, 1, 1, 1)
    noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
    target = noise if prediction_type == "epsilon" else kept.sqrt() * noise - (1 - kept).sqrt() * latents
    with torch.inference_mode():
        predicted = run.unet(noisy.float(), times, text).sample
    loss = loop.loss_of(run, 0).detach()
    assert float(loss) == pytest.approx(float((predicted - target).square().mean()), rel=1e-5)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_min_snr_weighs_a_time_step_by_its_formula(study: Profile, prediction_type: str) -> None:
    base_pipeline(prediction_type=prediction_type).save_pretrained("tiny/base")
    run = run_of(study)
    times = torch.tensor([0, 300, 999])
    assert torch.equal(loop.loss_weights(run, times), torch.ones(3))
    run.params = run.params.model_copy(update={"min_snr_gamma": 5.0})
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = (1 - betas).cumprod(0)[times]
    snr = kept / (1 - kept)
    expected = snr.clamp(max=5.0) / (snr if prediction_type == "epsilon" else snr + 1)
    assert torch.allclose(loop.loss_weights(run, times).double(), expected, rtol=1e-4)


def test_a_dropped_caption_becomes_the_empty_prompt_and_nothing_else_changes(study: Profile) -> None:
    run = run_of(study)
    empty = encode_prompts(base_pipeline(), [""])[""][0]
    kept = [loop.inputs(run, step) for step in range(40)]
    run.params = run.params.model_copy(update={"caption_dropout": 0.3})
    some = [loop.inputs(run, step) for step in range(40)]
    dropped = 0
    for before, after in zip(kept, some, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(before[:3], after[:3], strict=True))
        for text, changed in zip(before[3], after[3], strict=True):
            dropped += torch.equal(changed, empty)
            assert torch.equal(changed, empty) or torch.equal(changed, text)
    assert 0.15 < dropped / 120 < 0.45


def test_only_the_lora_learns_and_it_starts_as_nothing(study: Profile) -> None:
    run = run_of(study)
    plain = {name: weight.clone() for name, weight in run.unet.named_parameters()}
    assert set(run.weights) == {name for name in plain if "lora_" in name}
    assert not any(weight.any() for name, weight in run.weights.items() if "lora_B" in name)
    loop.train_step(run)
    loop.train_step(run)
    moved = {name for name, weight in run.unet.named_parameters() if not torch.equal(weight, plain[name])}
    assert moved
    assert moved <= set(run.weights)
    assert all(weight.dtype == torch.float32 for weight in run.weights.values())


def test_training_lowers_the_loss_at_fixed_noise(study: Profile) -> None:
    run = run_of(study)
    with torch.no_grad():
        before = sum(float(loop.loss_of(run, step)) for step in range(4))
    for _ in range(12):
        loop.train_step(run)
    with torch.no_grad():
        assert sum(float(loop.loss_of(run, step)) for step in range(4)) < before


def test_the_warm_up_is_linear_and_then_constant(study: Profile) -> None:
    rates = [loop.learning_rate(step, study.train) for step in range(5)]
    assert rates == pytest.approx([0.05 / 3, 0.1 / 3, 0.05, 0.05, 0.05])


def unet_output(pipeline: Any) -> torch.Tensor:
    with torch.inference_mode():
        x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        return pipeline.unet(x, torch.tensor(500.0), torch.ones(1, 77, 16)).sample


def trained_lora(study: Profile) -> Any:
    """A pipeline with a LoRA (lora_alpha / rank = 2) that does something."""
    pipeline = load_base(study.models.base)
    for weight in add_lora(pipeline.unet, study.train, 3).values():
        weight.data.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    return pipeline


def test_a_lora_loads_back_with_its_scaling(study: Profile, tmp_path: Path) -> None:
    trained = trained_lora(study)
    save_lora(trained.unet, tmp_path)
    loaded: Any = load_base(study.models.base)
    plain = unet_output(loaded)
    loaded.load_lora_weights(tmp_path, adapter_name="close")
    assert float((unet_output(loaded) - unet_output(trained)).abs().max()) < 1e-5
    assert float((unet_output(loaded) - plain).abs().max()) > 0.01
    scalings = {module.scaling["close"] for module in loaded.unet.modules() if hasattr(module, "scaling")}
    assert scalings == {2.0}


def test_a_lora_without_its_alpha_would_be_noticed(study: Profile, tmp_path: Path) -> None:
    trained = trained_lora(study)
    path = save_lora(trained.unet, tmp_path)
    path.write_bytes(save(load_file(path), metadata={"format": "pt"}))
    loaded: Any = load_base(study.models.base)
    loaded.load_lora_weights(tmp_path, adapter_name="close")
    assert float((unet_output(loaded) - unet_output(trained)).abs().max()) > 0.01


def test_equal_loras_have_equal_bytes_whatever_order_the_library_writes(study: Profile, tmp_path: Path) -> None:
    trained = trained_lora(study)
    files = {save_lora(trained.unet, tmp_path / str(number)).read_bytes() for number in range(6)}
    assert len(files) == 1
    path = tmp_path / "0" / LORA_FILE
    before = load_file(path)
    sort_header(path)
    assert all(torch.equal(before[key], value) for key, value in load_file(path).items())
    with safe_open(path, framework="pt") as file:
        settings = json.loads(file.metadata()["lora_adapter_metadata"])
    assert settings["unet.lora_alpha"] == 4.0
    assert settings["unet.target_modules"] == sorted(study.train.targets)


def test_bfloat16_trains_and_keeps_the_lora_in_float32(study: Profile) -> None:
    run = run_of(write_params(train={"dtype": "bfloat16"}))
    loop.train_step(run)
    assert run.unet.conv_in.weight.dtype == torch.bfloat16
    assert {weight.dtype for weight in run.weights.values()} == {torch.float32}


def test_another_number_of_the_study_starts_a_run_of_its_own(study: Profile) -> None:
    stage.run(["close"])
    first = FILE.read_bytes()
    write_params(train={"learning_rate": 0.01})
    stage.run(["close"])
    assert len(list((WORK / "train").iterdir())) == 2
    assert FILE.read_bytes() != first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float16"}, "train.dtype = 'float16'"),
        ({"targets": ["to_k", "to_nothing"]}, "train.targets: 'to_nothing'"),
        ({"learning_rate": 1e30}, "lower train.learning_rate"),
    ],
)
def test_impossible_training_is_named(study: Profile, changes: dict[str, Any], message: str) -> None:
    write_params(train=changes)
    with pytest.raises(StudyError, match=message):
        stage.run(["close"])
    assert not FILE.exists()


def test_a_shot_type_without_training_frames_is_named(study: Profile) -> None:
    from dreamshot.records import write_table

    rows = read_table(CAPTION_ROWS)
    write_table(rows[(rows["shot_type"] != "close") | (rows["split"] != "train")], CAPTION_ROWS, by="frame")
    with pytest.raises(StudyError, match="no training frame of shot type 'close'"):
        stage.run(["close"])


ARGUMENTS = [([], "argument ''"), (["wide"], "argument 'wide'"), (["close"], "no such table")]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    root = str(Path(stage.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "stages.train", *arguments],
        cwd=tmp_path, env={"PYTHONPATH": root, "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
