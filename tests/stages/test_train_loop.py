"""A training step against its formulas: what it draws, its loss, its gradient, its optimiser, the moving average."""

import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dreamshot.errors import StudyError
from dreamshot.params import Train
from dreamshot.paths import LORA_FILE, LOSSES, TUNED, WORK
from dreamshot.seeds import seed
from stages.diffusion import encode_prompts, from_unit
from stages.train import __main__ as stage
from stages.train import loop
from tests.tiny_models import base_pipeline
from tests.tiny_runs import alone, run_with
from tests.tiny_study import write_params

ROOT = Path(stage.__file__).parents[2]
PRIOR = {"weight": 0.25, "pictures": 3, "prompt": "a picture of a person"}
TEXT_ENCODER = {"train": True, "learning_rate": 0.002}


@pytest.fixture(scope="module")
def template(template: Path) -> Path:
    """The study with its cache filled."""
    run_with()
    return template


def changed(run: loop.Run, **values: Any) -> loop.Run:
    run.params = run.params.model_copy(update=values)
    return run


def gradients(run: loop.Run) -> dict[str, torch.Tensor]:
    """The gradient of the run's next step."""
    loop.backward(run)
    found = {name: weight.grad.clone() for name, weight in run.weights.items() if weight.grad is not None}
    run.optimizer.zero_grad(set_to_none=True)
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two gradients are equal up to rounding, each seen from its own size."""
    return one.keys() == other.keys() and all(
        float((one[name] - other[name]).abs().max()) <= 1e-5 * float(one[name].abs().max()) + 1e-9 for name in one
    )


def learnt_a_little(run: loop.Run) -> loop.Run:
    """B of a LoRA is zero at first, and A has no gradient then."""
    for number, weight in enumerate(run.weights.values()):
        weight.data += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    return run


# --- what a step draws ---


def test_every_epoch_shows_each_frame_once_in_an_order_of_its_own() -> None:
    def seed_of(*names: str | int) -> int:
        return seed(0, *names)

    row = [place for step in range(14) for place in loop.batch_of(step, 5, 7, seed_of)]
    epochs = [row[start : start + 7] for start in range(0, 70, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 5


def test_a_batch_larger_than_the_data_goes_through_it_again_and_again() -> None:
    places = loop.batch_of(0, 10, 3, lambda *names: seed(0, *names))
    assert [places.count(place) for place in range(3)] in ([4, 3, 3], [3, 4, 3], [3, 3, 4])


def test_a_step_is_random_in_its_number_and_in_nothing_else(study: Path) -> None:
    run = run_with()
    torch.manual_seed(1)
    ((_, first),) = loop.drawn(run, 3)
    torch.manual_seed(2)
    loop.drawn(run, 0)
    ((_, again),) = loop.drawn(run, 3)
    ((_, other),) = loop.drawn(run, 4)
    assert torch.equal(first.latents, again.latents)
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.times, again.times)
    assert first.prompts == again.prompts
    assert not torch.equal(first.noise, other.noise)
    assert first.noise.dtype == first.latents.dtype == torch.float32
    assert torch.equal(torch.cat([first.part(index, 3).noise for index in range(3)]), first.noise)


def test_latents_are_drawn_anew_at_every_step_with_the_cached_mean_and_deviation(study: Path) -> None:
    base_pipeline(shift_factor=0.2).save_pretrained("tiny/base")
    run = run_with()
    (example,) = run.data.train[:1]
    drawn = torch.cat([loop.draw(run, [example], number).latents for number in range(200)])
    mean, std = run.cache.mean[example.picture], run.cache.std[example.picture]
    unit = (drawn - (mean - 0.2) * 0.7) / (std * 0.7)
    assert float(unit.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(unit.std()) == pytest.approx(1.0, abs=0.02)
    assert torch.allclose(from_unit(drawn, run.pipeline.vae), drawn / 0.7 + 0.2)


def test_a_dropped_caption_becomes_the_empty_prompt_and_nothing_else_changes(study: Path) -> None:
    run = run_with()
    kept = [loop.draw(run, run.data.train, step) for step in range(30)]
    changed(run, caption_dropout=0.3)
    some = [loop.draw(run, run.data.train, step) for step in range(30)]
    dropped = 0
    for before, after in zip(kept, some, strict=True):
        assert torch.equal(before.latents, after.latents)
        assert torch.equal(before.noise, after.noise)
        assert torch.equal(before.times, after.times)
        dropped += after.prompts.count("")
        assert all(text in ("", prompt) for text, prompt in zip(after.prompts, before.prompts, strict=True))
    assert 0.2 < dropped / 120 < 0.4


def test_noise_offset_shifts_each_channel_as_a_whole_and_changes_nothing_else(study: Path) -> None:
    run = run_with()
    plain = [loop.draw(run, run.data.train, step) for step in range(100)]
    changed(run, noise_offset=0.1)
    offset = [loop.draw(run, run.data.train, step) for step in range(100)]
    shifts = torch.stack([after.noise - before.noise for before, after in zip(plain, offset, strict=True)])
    level = shifts.mean(dim=(-1, -2), keepdim=True)
    assert float((shifts - level).abs().max()) < 1e-6
    assert float(level.std()) == pytest.approx(0.1, rel=0.05)
    assert len(level.unique()) == level.numel() == 100 * 4 * 4
    for before, after in zip(plain, offset, strict=True):
        assert torch.equal(before.latents, after.latents)
        assert torch.equal(before.times, after.times)
        assert before.prompts == after.prompts


# --- the loss ---


def kept_share(times: torch.Tensor) -> torch.Tensor:
    """The published schedule's cumulative product of 1 - beta, float64."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0)[times]


def error_of(run: loop.Run, item: loop.Draw, prediction_type: str) -> torch.Tensor:
    """(batch,) squared errors from the noising formula, with texts that no cache holds."""
    kept = kept_share(item.times).reshape(-1, 1, 1, 1)
    noisy = kept.sqrt() * item.latents + (1 - kept).sqrt() * item.noise
    target = item.noise if prediction_type == "epsilon" else kept.sqrt() * item.noise - (1 - kept).sqrt() * item.latents
    texts = encode_prompts(base_pipeline(), item.prompts)
    with torch.inference_mode():
        text = torch.cat([texts[prompt] for prompt in item.prompts])
        predicted = run.pipeline.unet(noisy.float(), item.times, text).sample
    return (predicted - target).square().mean(dim=(1, 2, 3))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_loss_is_that_of_the_noising_formula(study: Path, prediction_type: str) -> None:
    base_pipeline(prediction_type=prediction_type).save_pretrained("tiny/base")
    run = run_with()
    ((weight, item),) = loop.drawn(run, 0)
    assert weight == 1
    expected = float(error_of(run, item, prediction_type).mean())
    assert float(loop.loss_of(run, 0).detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_min_snr_weighs_a_time_step_by_its_formula(study: Path, prediction_type: str) -> None:
    base_pipeline(prediction_type=prediction_type).save_pretrained("tiny/base")
    run = run_with()
    times = torch.tensor([0, 300, 999])
    assert torch.equal(loop.loss_weights(run, times), torch.ones(3))
    changed(run, min_snr_gamma=5.0)
    kept = kept_share(times)
    snr = kept / (1 - kept)
    expected = snr.clamp(max=5.0) / (snr if prediction_type == "epsilon" else snr + 1)
    assert torch.allclose(loop.loss_weights(run, times).double(), expected, rtol=1e-4)
    ((_, item),) = loop.drawn(run, 0)
    weighed = error_of(run, item, prediction_type) * loop.loss_weights(run, item.times)
    assert float(loop.loss_of(run, 0).detach()) == pytest.approx(float(weighed.mean()), rel=1e-5)


def test_the_loss_of_the_class_pictures_enters_with_its_weight(study: Path) -> None:
    params = write_params(train={"prior": PRIOR})
    data = stage.read_data(params, "close")
    run = stage.prepare(params, "close", stage.with_prior(data, base_pipeline, params, "close", "", alone()), alone())
    (one, mine), (weight, prior) = loop.drawn(run, 0)
    assert (one, weight) == (1.0, 0.25)
    assert prior.prompts == ["a picture of a person"] * 3
    assert not torch.equal(mine.noise, prior.noise)
    parts = [float(error_of(run, item, "epsilon").mean()) for item in (mine, prior)]
    assert float(loop.loss_of(run, 0).detach()) == pytest.approx(parts[0] + 0.25 * parts[1], rel=1e-5)


def test_training_lowers_the_loss_at_fixed_noise(study: Path) -> None:
    run = run_with()
    with torch.no_grad():
        before = sum(float(loop.loss_of(run, step)) for step in range(4))
    for _ in range(12):
        loop.train_step(run)
    with torch.no_grad():
        assert sum(float(loop.loss_of(run, step)) for step in range(4)) < before


# --- the gradient ---


@pytest.mark.parametrize("method", ["lora", "textual_inversion"])
def test_in_several_pieces_the_gradient_is_the_same_up_to_rounding(study: Path, method: str) -> None:
    rows: list[int] = []
    whole = gradients(learnt_a_little(run_with(method=method, min_snr_gamma=5.0)))
    run = learnt_a_little(run_with(method=method, min_snr_gamma=5.0, accumulate=3))
    run.pipeline.unet.register_forward_pre_hook(lambda unet, inputs: rows.append(len(inputs[0])))
    assert same(whole, gradients(run))
    assert rows == [1, 1, 1]
    assert all(bool(grad.any()) for grad in whole.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradient_checkpointing_computes_again_what_it_has_not_kept_and_gets_the_same(study: Path, dtype: str) -> None:
    found = {}
    for checkpointing in (False, True):
        calls: list[int] = []
        run = learnt_a_little(run_with(gradient_checkpointing=checkpointing, dtype=dtype))
        run.pipeline.unet.up_blocks[0].resnets[0].register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        found[checkpointing] = gradients(run)
        assert len(calls) == 1 + checkpointing
    assert same(found[False], found[True])


def test_only_what_is_to_learn_learns(study: Path) -> None:
    learns = {"lora": "lora_", "dreambooth": "", "textual_inversion": "text_encoder.words"}
    for method, part in learns.items():
        run = run_with(method=method)
        before = {name: weight.clone() for name, weight in run.pipeline.unet.named_parameters()}
        text = [weight.clone() for weight in run.pipeline.text_encoder.parameters()]
        start = {name: weight.detach().clone() for name, weight in run.weights.items()}
        assert all(part in name for name in run.weights)
        for _ in range(2):
            loop.train_step(run)
        moved = {n for n, weight in run.pipeline.unet.named_parameters() if not torch.equal(weight, before[n])}
        assert {f"unet.{name}" for name in moved} <= set(run.weights)
        assert all(map(torch.equal, run.pipeline.text_encoder.parameters(), text))
        assert all(not torch.equal(weight, start[name]) for name, weight in run.weights.items())


@pytest.mark.parametrize("method", ["lora", "dreambooth", "textual_inversion"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_learn_in_float32_whatever_they_are_computed_with(study: Path, method: str, dtype: str) -> None:
    run = run_with(method=method, dtype=dtype)
    seen: set[torch.dtype] = set()
    run.pipeline.unet.mid_block.resnets[0].conv1.register_forward_hook(lambda *found: seen.add(found[2].dtype))
    for _ in range(2):
        loop.train_step(run)
    assert {weight.dtype for weight in run.weights.values()} == {torch.float32}
    assert seen == {getattr(torch, dtype)}
    frozen = {weight.dtype for weight in run.pipeline.unet.parameters() if not weight.requires_grad}
    assert frozen <= {getattr(torch, dtype)}
    assert all(math.isfinite(loss) for loss in run.log.losses)
    assert run.scaler.is_enabled() == (dtype == "float16")


def test_a_gradient_that_overflows_float16_is_left_out_and_the_scale_falls(study: Path) -> None:
    run = run_with(dtype="float16")
    run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100)
    before = {name: weight.detach().clone() for name, weight in run.weights.items()}
    loop.train_step(run)
    assert all(torch.equal(weight, before[name]) for name, weight in run.weights.items())
    assert run.scaler.get_scale() == 2.0**99
    run.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    loop.train_step(run)
    assert not all(torch.equal(weight, before[name]) for name, weight in run.weights.items())


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_a_gradient_is_clipped_at_its_own_size_whatever_float16_scales_it_by(study: Path, scale: float) -> None:
    run = learnt_a_little(run_with(dtype="float16", max_grad_norm=0.01))
    run.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    loop.train_step(run)
    moments = [run.optimizer.state[weight]["exp_avg"] / 0.1 for weight in run.weights.values()]
    assert float(torch.cat([moment.flatten() for moment in moments]).norm()) == pytest.approx(0.01, rel=1e-3)


def test_a_loss_that_is_no_number_is_named(study: Path) -> None:
    run = run_with(learning_rate=1e30)
    loop.train_step(run)
    with pytest.raises(StudyError, match=r"the loss is (nan|inf) at step 1; lower train.learning_rate"):
        loop.train_step(run)


# --- the optimiser ---


RATES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}


@pytest.mark.parametrize("schedule", RATES)
def test_the_learning_rate_rises_by_a_line_and_then_follows_its_schedule(study: Path, schedule: str) -> None:
    params = write_params(train={"schedule": schedule, "warmup": 2, "steps": 10}).train
    rates = [loop.learning_rate(step, 0.05, params) for step in range(10)]
    expected = [1 / 3, 2 / 3, *(RATES[schedule]((step - 2) / 8) for step in range(2, 10))]
    assert rates == pytest.approx([0.05 * rate for rate in expected])
    assert min(rates) > 0


def by_hand(params: Train, weights: dict[str, torch.Tensor], grads: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One step of torch's own optimiser on copies of the weights, the gradient clipped by its norm."""
    norm = torch.stack([grad.square().sum() for grad in grads.values()]).sum().sqrt()
    for name, weight in weights.items():
        rate = params.text_encoder.learning_rate if name.startswith("text_encoder.") else params.learning_rate
        weight.grad = grads[name] * min(1.0, params.max_grad_norm / float(norm))
        kind = {"adamw": torch.optim.AdamW, "adafactor": torch.optim.Adafactor}[params.optimizer]
        kind([weight], lr=rate / (params.warmup + 1), weight_decay=params.weight_decay).step()
    return weights


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_a_step_is_torch_s_own_with_the_decay_the_clipping_and_each_network_s_rate(study: Path, optimizer: str) -> None:
    settings = {"optimizer": optimizer, "weight_decay": 0.3, "max_grad_norm": 0.01, "text_encoder": TEXT_ENCODER}
    run = learnt_a_little(run_with(**settings))
    grads = gradients(run)
    copies = {name: weight.detach().clone().requires_grad_() for name, weight in run.weights.items()}
    expected = by_hand(run.params, copies, grads)
    before = {name: weight.detach().clone() for name, weight in run.weights.items()}
    loop.train_step(run)
    for name, weight in run.weights.items():
        moved = float((weight - before[name]).detach().abs().max())
        assert float((weight - expected[name]).detach().abs().max()) <= 1e-4 * moved, name


def test_the_words_of_textual_inversion_learn_at_the_learning_rate(study: Path) -> None:
    run = run_with(method="textual_inversion", learning_rate=0.07, text_encoder={"train": False, "learning_rate": 0.5})
    assert [group["peak"] for group in run.optimizer.param_groups] == [0.07]


# --- the moving average ---


def test_the_average_is_that_of_the_weights_after_each_step(study: Path) -> None:
    run = run_with(ema_decay=0.4)
    expected: dict[str, torch.Tensor] = {}
    for step in range(6):
        loop.train_step(run)
        decay = min(0.4, (1 + step) / (10 + step)) if step else 0.0
        for name, weight in run.weights.items():
            now = weight.detach().double()
            expected[name] = decay * expected[name] + (1 - decay) * now if step else now
    for (name, weight), average in zip(run.weights.items(), run.average.shadow_params, strict=True):
        assert torch.allclose(average.double(), expected[name], rtol=1e-5, atol=1e-7)
        assert not torch.allclose(average, weight)


def test_inside_averaged_the_pipeline_has_the_average_and_afterwards_its_weights_to_the_bit(study: Path) -> None:
    run = run_with(ema_decay=0.4)
    for _ in range(3):
        loop.train_step(run)
    before = {name: weight.detach().clone() for name, weight in run.weights.items()}
    with loop.averaged(run):
        assert all(map(torch.equal, run.weights.values(), run.average.shadow_params))
    assert all(torch.equal(weight, before[name]) for name, weight in run.weights.items())


def test_the_average_is_saved_and_looked_at_and_training_goes_on_with_the_weights(study: Path) -> None:
    found = {}
    for decay in (0.0, 0.6):
        write_params(train={"ema_decay": decay})
        stage.run(["close"])
        losses = (TUNED / "close" / LOSSES).read_text()
        held_out = (TUNED / "close" / LOSSES).with_name("held_out.tsv").read_text().splitlines()
        found[decay] = (losses, held_out, load_file(TUNED / "close" / LORA_FILE))
    assert found[0.0][0] == found[0.6][0]
    assert found[0.0][1][1] == found[0.6][1][1]  # before the first step
    assert found[0.0][1][2] != found[0.6][1][2]
    (state,) = [path for path in WORK.glob("train/*/state.safetensors") if "average" in str(load_file(path).keys())]
    saved, kept = found[0.6][2], load_file(state)
    for name, tensor in saved.items():
        where = name.removesuffix(".weight")
        (average,) = [value for key, value in kept.items() if key.startswith("average/") and matches(key, where)]
        assert torch.equal(tensor, average)


def matches(key: str, name: str) -> bool:
    """Whether a checkpoint's key is of the layer and half that a LoRA file's name says."""
    plain = key.removeprefix("average/").replace(".default.weight", "").replace(".processor", "")
    return plain == name.replace(".lora.down", ".lora_A").replace(".lora.up", ".lora_B")


# --- several processes ---


def launch(processes: int, folder: Path) -> list[tuple[int, str, str]]:
    """(exit code, stdout, stderr) of `python -m stages.train close` in processes that meet as a launcher's do."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    shared |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "stages.train", "close"]
    started = [
        subprocess.Popen(
            command, cwd=folder, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in range(processes)
    ]  # fmt: skip
    try:
        told = [one.communicate(timeout=240) for one in started]
    finally:
        for one in started:
            one.kill()
    return [(one.returncode, *texts) for one, texts in zip(started, told, strict=True)]


def test_two_processes_share_a_step_and_teach_the_same_up_to_rounding(study: Path) -> None:
    write_params(train={"batch": 4, "accumulate": 2, "prior": PRIOR, "learning_rate": 0.01})
    stage.run(["close"])
    alone = {path.name: path for path in (TUNED / "close").rglob("*") if path.is_file()}
    losses, lora = alone["loss.tsv"].read_text(), load_file(alone[LORA_FILE])
    for path in [*WORK.glob("train/*/*"), *WORK.glob("class/*/*"), *WORK.glob("cache/*/*"), *alone.values()]:
        path.unlink()
    done = launch(2, study)
    assert [code for code, _, _ in done] == [0, 0], "".join(error for _, _, error in done)
    assert [out.count("train close: 6 steps") for _, out, _ in done] == [1, 0]
    assert {path.name for path in (TUNED / "close").rglob("*") if path.is_file()} == set(alone)
    together = [line.split("\t") for line in alone["loss.tsv"].read_text().splitlines()[1:]]
    for (_, one), (_, two) in zip([line.split("\t") for line in losses.splitlines()[1:]], together, strict=True):
        assert float(one) == pytest.approx(float(two), rel=1e-4)
    for name, tensor in load_file(TUNED / "close" / LORA_FILE).items():
        assert torch.allclose(tensor, lora[name], atol=1e-4), name


def test_a_batch_that_the_processes_cannot_share_is_named(study: Path) -> None:
    class Two:
        num_processes, process_index = 2, 0

    params = write_params(train={"batch": 6, "accumulate": 2})
    with pytest.raises(StudyError, match=r"train.batch = 6: cannot be cut into 2 processes' 2 equal pieces"):
        stage.prepare(params, "close", stage.read_data(params, "close"), Two())
