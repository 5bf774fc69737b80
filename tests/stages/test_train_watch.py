"""What is looked at while it trains: a loss at fixed noise, pictures, the files for `dvc plots`, the model card."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file

from dreamshot.models import load_base, model_hash
from dreamshot.paths import LORA_FILE, TUNED
from stages.artist import Manner, Request, artist_for
from stages.diffusion import encode_prompts
from stages.train import __main__ as stage
from stages.train import loop, watch
from stages.train.card import card
from stages.tuning import tuner, weights_hash
from tests.tiny_models import PICTURE_SIZE, base_pipeline
from tests.tiny_runs import run_of, run_with
from tests.tiny_study import PARAMS, write_params

CLOSE = TUNED / "close"
MANNER = Manner("DPM++ SDE Karras", 2, 3.0, PICTURE_SIZE, slab=2)
BASE = {"source": "tiny/base", "revision": "", "licence": "mit"}


@pytest.fixture(scope="module")
def template(template: Path) -> Path:
    """The study with its cache filled."""
    run_with()
    return template


def looking(**values: int) -> dict[str, int]:
    return {"every": 4, "frames": 2, "draws": 2, "pictures": 1, **values}


# --- the held-out loss ---


def test_time_steps_are_the_middles_of_equal_parts() -> None:
    assert watch.fixed_times(4, 1000) == [125, 375, 625, 875]
    assert watch.fixed_times(1, 1000) == [500]
    assert len(set(watch.fixed_times(1000, 1000))) == 1000


def test_the_held_out_loss_is_the_same_when_asked_twice_and_changes_with_the_weights(study: Path) -> None:
    run = run_with(min_snr_gamma=5.0, caption_dropout=0.9, noise_offset=0.5)
    first = watch.held_out_loss(run)
    torch.manual_seed(5)
    assert watch.held_out_loss(run) == first
    run.params = run.params.model_copy(update={"caption_dropout": 0.0, "min_snr_gamma": 0.0, "noise_offset": 0.0})
    assert watch.held_out_loss(run) == first  # nothing of how it is trained is in it
    for _ in range(2):
        loop.train_step(run)
    assert watch.held_out_loss(run) != first
    for weight in run.weights.values():
        weight.data.zero_()
    assert watch.held_out_loss(run) == first  # a LoRA of zeros is the base


def test_the_held_out_loss_is_the_mean_error_at_its_noises_and_time_steps(study: Path) -> None:
    run = run_with(validation=looking(frames=3))
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    pipeline, found = base_pipeline(), []
    for number, time in enumerate((250, 750)):
        item = watch.fixed_draw(run, number)
        assert item.times.tolist() == [time] * 3
        assert item.prompts == [example.prompt for example in run.data.held_out]
        means = torch.stack([run.cache.mean[example.picture] for example in run.data.held_out])
        assert torch.equal(item.latents, means * 0.7)
        kept = (1 - betas).cumprod(0)[time]
        noisy = (kept.sqrt() * item.latents + (1 - kept).sqrt() * item.noise).float()
        texts = encode_prompts(pipeline, item.prompts)
        with torch.inference_mode():
            text = torch.cat([texts[prompt] for prompt in item.prompts])
            predicted = pipeline.unet(noisy, torch.tensor([time] * 3), text).sample
        found += (predicted - item.noise).square().mean(dim=(1, 2, 3)).tolist()
    assert watch.held_out_loss(run) == pytest.approx(sum(found) / 6, rel=1e-5)
    assert not torch.equal(watch.fixed_draw(run, 0).noise, watch.fixed_draw(run, 1).noise)


def test_the_held_out_loss_hangs_on_no_batch_beyond_rounding(study: Path) -> None:
    whole = watch.held_out_loss(run_with(validation=looking(frames=3)))
    assert watch.held_out_loss(run_with(validation=looking(frames=3), accumulate=3)) == pytest.approx(whole, rel=1e-6)


def test_looking_does_not_touch_training(study: Path) -> None:
    found = []
    for validation in (looking(), looking(every=1, frames=3), looking(frames=0)):
        write_params(train={"validation": validation, "ema_decay": 0.5})
        stage.run(["close"])
        files = {path.name: path for path in CLOSE.rglob("*") if path.is_file()}
        found.append((files[LORA_FILE].read_bytes(), files["loss.tsv"].read_bytes(), "held_out.tsv" in files))
    assert found[0][:2] == found[1][:2] == found[2][:2]
    assert [told for _, _, told in found] == [True, True, False]
    assert "No loss was held out." in (CLOSE / "README.md").read_text()


# --- pictures ---


@pytest.mark.parametrize("method", ["lora", "dreambooth", "textual_inversion"])
def test_the_last_validation_picture_is_what_the_saved_weights_draw(study: Path, method: Any) -> None:
    """With the average where one is kept, for the average is saved; and the first picture is the base's."""
    text = {"train": method != "textual_inversion", "learning_rate": 0.01}
    settings = {"method": method, "learning_rate": 0.01, "text_encoder": text, "ema_decay": 0.5}
    params = write_params(train={**settings, "validation": looking(pictures=2)})
    run = run_of(params)
    stage.run(["close"])
    base = load_base(params.models.base)
    artist = artist_for(base, MANNER, "float32", "float32")
    wanted = [Request(item.prompt, run.seed_of("validation", item.picture)) for item in run.data.held_out]
    before = artist.draw(wanted)
    artist.use("close", lambda: tuner(method).load(base, "close", CLOSE))
    after = artist.draw([Request(item.prompt, item.seed, 1.0) for item in wanted])
    for number in range(2):
        first, last = (shown(step, number) for step in (0, 6))
        assert np.array_equal(first, before[number].pixels)
        assert np.abs(last.astype(int) - after[number].pixels).max() <= 1  # a LoRA merged by rows rounds otherwise
        assert np.abs(last.astype(int) - first).max() > 1


def shown(step: int, number: int) -> np.ndarray:
    return np.asarray(Image.open(CLOSE / "training/plots/images" / f"{step:06d}-{number}.png"))


def test_as_many_pictures_are_drawn_as_are_wanted_and_there_are(study: Path) -> None:
    for wanted, count in ((0, 0), (1, 1), (2, 2), (9, 2)):
        assert len(watch.pictures(run_with(validation=looking(pictures=wanted)))) == count


def test_drawing_calls_the_unet_with_no_more_than_it_needs(study: Path) -> None:
    rows: set[int] = set()
    drawing = {"sampler": "Euler", "steps": 2, "guidance": 3.0, "batch": 8}
    run = run_with(validation=looking(pictures=2), drawing=drawing)
    run.pipeline.unet.register_forward_pre_hook(lambda _, inputs: rows.add(len(inputs[0])))
    watch.pictures(run)
    assert rows == {4}  # two pictures, each with and without its prompt


# --- for dvc plots ---


def table(name: str) -> list[list[str]]:
    """A file of dvclive, its header and its rows."""
    text = (CLOSE / "training/plots/metrics" / name).read_text()
    return [line.split("\t") for line in text.splitlines()]


def test_losses_and_pictures_are_where_dvc_plots_looks_for_them(study: Path) -> None:
    write_params(train={"validation": looking(every=4)})
    stage.run(["close"])
    losses, held_out = table("loss.tsv"), table("held_out.tsv")
    assert losses[0] == ["step", "loss"]
    assert [row[0] for row in losses[1:]] == ["1", "2", "3", "4", "5", "6"]
    assert held_out[0] == ["step", "held_out"]
    assert [row[0] for row in held_out[1:]] == ["0", "4", "6"]
    images = sorted(path.name for path in (CLOSE / "training/plots/images").iterdir())
    assert images == ["000000-0.png", "000004-0.png", "000006-0.png"]
    plots = {name: told for item in yaml.safe_load((PARAMS.parent / "dvc.yaml").read_text())["plots"]
             for name, told in (item.items() if isinstance(item, dict) else [(item, {})])}  # fmt: skip
    for name in ("Training loss", "Held-out loss"):
        (path,) = [path for path in plots[name]["y"] if "/close/" in path]
        header = Path(path).read_text().splitlines()[0].split("\t")
        assert {plots[name]["x"], plots[name]["y"][path]} <= set(header)
    assert Path(next(name for name in plots if "close" in name)).is_dir()


def test_the_files_hold_what_the_log_holds_to_the_bit(study: Path, tmp_path: Path) -> None:
    run = run_with(validation=looking(every=2))
    with watch.live(tmp_path / "live", tmp_path, first=True) as live:
        loop.train(run, lambda run: watch.look(run, tmp_path), lambda run: None, lambda run: live.show(run.log))
        live.finish(run.log)
    rows = (tmp_path / "live/plots/metrics/loss.tsv").read_text().splitlines()[1:]
    assert [float(row.split("\t")[1]) for row in rows] == run.log.losses
    rows = (tmp_path / "live/plots/metrics/held_out.tsv").read_text().splitlines()[1:]
    assert {int(row.split("\t")[0]): float(row.split("\t")[1]) for row in rows} == run.log.held_out
    assert list(run.log.held_out) == [0, 2, 4, 6]


def test_a_resumed_log_is_written_again_from_its_beginning(tmp_path: Path) -> None:
    log = loop.Log(losses=[1 / 3, 0.1, 1e-9], held_out={0: 2 / 3, 3: 0.5})
    texts = []
    for parts in ((1, 2, 3), (3,)):
        folder = tmp_path / str(len(parts))
        with watch.live(folder, tmp_path, first=True) as live:
            for steps in parts:
                live.show(loop.Log(log.losses[:steps], log.held_out))
            live.finish(log)
        texts.append({path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert texts[0] == texts[1]
    assert {"loss.tsv", "held_out.tsv", "metrics.json"} <= texts[0].keys()


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    with watch.live(tmp_path / "live", tmp_path, first=False) as live:
        live.show(loop.Log([1.0], {0: 1.0}))
        live.finish(loop.Log([1.0], {0: 1.0}))
    assert not (tmp_path / "live").exists()


# --- the card ---


@pytest.mark.parametrize("method", ["lora", "dreambooth", "textual_inversion"])
def test_the_card_names_base_data_weights_and_licence_and_the_hub_can_read_it(study: Path, method: str) -> None:
    write_params(train={"method": method, "text_encoder": {"train": method == "dreambooth", "learning_rate": 0.001}})
    stage.run(["close"])
    text = (CLOSE / "README.md").read_text()
    found = ModelCard(text)
    assert found.data.license == "mit"
    assert found.data.library_name == "diffusers"
    assert method in found.data.tags
    assert found.data.base_model is None  # a local folder
    run = run_of(write_params(train={"method": method}))
    assert "| base | tiny/base |" in text
    for value in (model_hash("base"), run.data.hash, weights_hash("close")):
        assert f"`{value}`" in text
    assert "That of the base, mit. The stills' own licences stand in" in text
    first, last = (float(row[1]) for row in (table("held_out.tsv")[1], table("held_out.tsv")[-1]))
    assert f"on 2 frames that were not trained on: {first:.4f} before, {last:.4f} after." in text
    for line in text.splitlines():
        for name in (part for part in line.split("`") if part.endswith(".safetensors")):
            assert (CLOSE / name).is_file(), name
    folders = [part.split('"')[1] for part in text.split("subfolder=")[1:]]
    assert folders == (["unet", "text_encoder"] if method == "dreambooth" else [])
    assert all((CLOSE / folder).is_dir() for folder in folders)


def card_of(**base: str) -> ModelCard:
    """The card of a run that has not begun, of a base with other facts."""
    params = write_params(models={"base": {**BASE, **base}})
    run = run_of(write_params())
    record = {"source": params.models.base.source, "revision": params.models.base.revision, "sha256": "0" * 64}
    return ModelCard(card(params, "close", run, record, "1" * 64))


def test_a_base_from_the_hub_is_named_with_its_revision_and_its_restrictions(study: Path) -> None:
    found = card_of(source="someone/some-base", revision="abc123", licence="creativeml-openrail-m")
    assert found.data.base_model == "someone/some-base"
    assert found.data.license == "creativeml-openrail-m"
    assert "| revision | abc123 |" in found.text
    assert "Its use restrictions apply to these weights and must be passed on with them." in found.text


def test_a_licence_without_restrictions_claims_none(study: Path) -> None:
    assert "restrictions" not in card_of(source="someone/some-base", revision="abc123").text


def test_the_hub_reads_names_that_yaml_would_misread(study: Path) -> None:
    found = card_of(source="someone/yes: no #1", revision="1e3", licence="no")
    assert found.data.base_model == "someone/yes: no #1"
    assert found.data.license == "no"


def test_the_words_of_the_card_load_what_it_describes(study: Path) -> None:
    """The calls that it gives for diffusers, done as they stand there."""
    write_params(train={"method": "textual_inversion"})
    stage.run(["close"])
    text = (CLOSE / "README.md").read_text()
    call = next(part for part in text.split("`") if part.startswith("pipeline.load_"))
    pipeline = base_pipeline()
    eval(call, {"pipeline": pipeline, "folder": CLOSE})
    assert len(pipeline.tokenizer("<dreamshot-close>", add_special_tokens=False).input_ids) == 1
    write_params()
    stage.run(["close"])
    text = (CLOSE / "README.md").read_text()
    call = next(part for part in text.split("`") if part.startswith("pipeline.load_"))
    eval(call, {"pipeline": pipeline, "folder": CLOSE})
    assert len(load_file(CLOSE / LORA_FILE)) == 2 * sum(
        "lora_A" in name for name, _ in pipeline.unet.named_parameters()
    )
