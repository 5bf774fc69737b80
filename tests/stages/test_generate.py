"""Pairs: shared noise, true strengths, the same pixels after a kill, and every failure named."""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamshot import seeds
from dreamshot.errors import StudyError
from dreamshot.models import load_base
from dreamshot.params import SHOT_TYPES, Profile, load_params
from dreamshot.paths import CAPTION_ROWS, LORA, LORA_FILE, PAIRS, PICTURE_ROWS, WORK
from dreamshot.records import Pool, picture_hash, read_table, write_table
from stages.diffusion import caption_rows, reproducible, too_long
from stages.generate import __main__ as stage
from stages.generate import draw
from stages.generate.plan import Arm, arms_of, pairs_of, plan
from stages.sampler import scheduler_for
from stages.train.lora import add_lora, save_lora
from tests.tiny_models import clip_tokenizer
from tests.tiny_study import PARAMS, write_params, write_study


def write_loras(study: Profile) -> None:
    """A LoRA for each shot type that changes pictures visibly."""
    for number, shot_type in enumerate(SHOT_TYPES):
        pipeline = load_base(study.models.base)
        for weight in add_lora(pipeline.unet, study.train, number).values():
            weight.data.normal_(std=0.3, generator=torch.Generator().manual_seed(number))
        save_lora(pipeline.unet, LORA / shot_type)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its LoRAs, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_loras(write_study())
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return load_params()


def rows_of(name: str) -> Any:
    return read_table(PAIRS / name / PICTURE_ROWS)


def content(name: str) -> dict[str, bytes]:
    """The bytes of all that the stage has written for a set."""
    return {str(path.relative_to(PAIRS)): path.read_bytes() for path in (PAIRS / name).rglob("*") if path.is_file()}


def test_main_has_a_row_and_a_picture_for_each_arm_of_each_pair(study: Profile) -> None:
    stage.run(["main"])
    rows, pool = rows_of("main"), Pool(PAIRS / "main" / "shards")
    assert len(rows) == len(pool) == 3 * 3 * 2
    assert list(rows["picture"]) == sorted(pool)
    assert set(rows["arm"]) == {"baseline", "ours"}
    assert not rows["failed"].any()
    for row in rows.itertuples():
        assert row.pixels == picture_hash(pool.pixels(row.picture))
        assert row.pair == seeds.pair_id("main", row.shot_type, row.frame, row.repetition)
        assert row.picture == seeds.picture_id(row.pair, row.arm, row.strength)
        assert row.seed == seeds.seed(study.seed, row.pair)
        assert row.prompt.startswith(f"a high-quality {row.shot_type}_shot picture of a woman in a ")
        assert bool(row.lora) == (row.arm == "ours")
    assert rows["pixels"].is_unique
    record = json.loads((PAIRS / "main" / "run.json").read_text())
    assert set(record["loras"]) == set(SHOT_TYPES)


def test_both_arms_start_from_the_same_noise_and_walk_the_same_path(
    study: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a LoRA that does nothing the two arms are one picture."""
    for shot_type in SHOT_TYPES:
        pipeline = load_base(study.models.base)
        add_lora(pipeline.unet, study.train, 0)
        save_lora(pipeline.unet, LORA / shot_type)
    stage.run(["main"])
    assert (rows_of("main").groupby("pair")["pixels"].nunique() == 1).all()


def test_strength_zero_is_the_baseline_to_the_bit_and_more_strength_moves_further(study: Profile) -> None:
    stage.run(["strengths"])
    pool = Pool(PAIRS / "strengths" / "shards")
    for pair in rows_of("strengths")["pair"].unique():
        base, none, half, full = (
            pool.pixels(seeds.picture_id(pair, arm, strength)).astype(int)
            for arm, strength in (("baseline", 0.0), ("ours", 0.0), ("ours", 0.5), ("ours", 1.0))
        )
        assert np.array_equal(base, none)
        assert np.abs(base - half).mean() > 0
        assert np.abs(half - full).mean() > 0


def test_a_strength_scales_the_weights_change_and_compounds_nothing(study: Profile) -> None:
    artist = stage.load_artist(study, ["close"])
    layer = next(module for module in artist.pipeline.unet.modules() if hasattr(module, "scaling"))
    for strength in (0.5, 1.0, 0.5, 0.25):
        draw.use(artist.pipeline.unet, "close", Arm("baseline"))
        draw.use(artist.pipeline.unet, "close", Arm("ours", strength))
        assert layer.scaling["close"] == 2.0 * strength


def test_the_arms_can_be_drawn_in_any_order(study: Profile) -> None:
    reproducible(1)
    chunk = plan("strengths", caption_rows("test"), study)[0]
    arms = arms_of("strengths", study.generate.sets.strengths)
    artist = stage.load_artist(study, list(SHOT_TYPES))
    forth = {key: picture_hash(pixels) for key, pixels, _ in artist.draw(chunk, arms)}
    back = {key: picture_hash(pixels) for key, pixels, _ in artist.draw(chunk, arms[::-1])}
    assert forth == back
    assert len(forth) == 2 * 4


def test_a_picture_is_the_same_whatever_the_batch(study: Profile) -> None:
    stage.run(["main"])
    pool = Pool(PAIRS / "main" / "shards")
    two = {key: pool.pixels(key).astype(int) for key in pool}
    write_params(generate={"batch": 1})
    stage.run(["main"])
    one, different = Pool(PAIRS / "main" / "shards"), 0
    for key in one:
        apart = np.abs(one.pixels(key).astype(int) - two[key])
        assert apart.max() <= 1
        different += int((apart > 0).sum())
    assert different < 0.01 * len(one) * 16 * 16 * 3


def test_what_the_stage_writes_is_what_diffusers_pipeline_draws(study: Profile) -> None:
    stage.run(["main"])
    pool, rows = Pool(PAIRS / "main" / "shards"), rows_of("main")
    pipeline: Any = load_base(study.models.base)
    pipeline.scheduler = scheduler_for(pipeline.scheduler.config)
    pipeline.load_lora_weights(LORA / "close", weight_name=LORA_FILE)
    for row in rows[rows["shot_type"] == "close"].itertuples():
        (pipeline.enable_lora if row.arm == "ours" else pipeline.disable_lora)()
        pipeline.scheduler.noise_sampler_seed = [row.seed]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = pipeline(
                row.prompt, height=16, width=16, num_inference_steps=3, guidance_scale=3.0, output_type="np",
                generator=torch.Generator().manual_seed(row.seed),
            ).images[0]  # fmt: skip
        assert np.abs(theirs * 255 - pool.pixels(row.picture)).max() <= 1.0


def test_control_needs_no_lora_and_draws_the_baseline_with_two_seeds(study: Profile) -> None:
    for shot_type in SHOT_TYPES:
        (LORA / shot_type / LORA_FILE).unlink()
    stage.run(["control"])
    rows = rows_of("control")
    assert set(rows["arm"]) == {"baseline", "other"}
    assert set(rows["strength"]) == {0.0}
    assert (rows["lora"] == "").all()
    assert (rows.groupby("pair")["pixels"].nunique() == 2).all()
    for row in rows[rows["arm"] == "other"].itertuples():
        assert row.seed == seeds.seed(study.seed, row.pair, "other")


def test_ablation_uses_the_lora_but_not_the_word(study: Profile) -> None:
    stage.run(["ablation"])
    rows = rows_of("ablation")
    assert rows["prompt"].str.startswith("a high-quality picture of a woman").all()
    assert (rows.groupby("pair")["pixels"].nunique() == 2).all()


def test_the_smaller_sets_captions_are_among_the_larger_ones(study: Profile) -> None:
    rows = caption_rows("test")
    frames = {
        name: {p.frame for c in plan(name, rows, study) for p in c.pairs} for name in ("main", "ablation", "strengths")
    }
    assert frames["strengths"] < frames["ablation"] < frames["main"]
    turned = pairs_of("ablation", "long", rows.iloc[::-1].reset_index(drop=True), study)
    assert turned == pairs_of("ablation", "long", rows, study)


def test_repetitions_are_pairs_with_seeds_of_their_own(study: Profile) -> None:
    first, second = pairs_of("strengths", "close", caption_rows("test"), study)
    assert first.frame == second.frame
    assert first.seed != second.seed


def test_killed_and_run_again_it_redoes_one_chunk_and_ends_with_the_same_bytes(
    study: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.run(["main"])
    whole = content("main")
    for path in WORK.rglob("*.safetensors"):
        path.unlink()
    draw_chunk, done = stage.draw_chunk, []

    def killed(*arguments: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        draw_chunk(*arguments)

    monkeypatch.setattr(stage, "draw_chunk", killed)
    with pytest.raises(KeyboardInterrupt):
        stage.run(["main"])
    assert content("main") == whole  # nothing that was there is lost
    done.clear()
    monkeypatch.setattr(stage, "draw_chunk", lambda *arguments: (done.append(1), draw_chunk(*arguments))[1])
    stage.run(["main"])
    assert len(done) == 6 - 2
    assert content("main") == whole


def test_two_processes_draw_the_same_bytes_as_one(study: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run(["main"])
    whole = content("main")
    for path in WORK.rglob("*.safetensors"):
        path.unlink()
    monkeypatch.setattr(stage, "artists", lambda: 2)
    stage.run(["main"])
    assert content("main") == whole


def test_a_wider_set_keeps_the_pictures_that_are_drawn(study: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run(["ablation"])
    before = content("ablation")
    monkeypatch.setattr(stage, "load_artist", None)
    stage.run(["ablation"])
    assert content("ablation") == before


def test_another_lora_draws_again(study: Profile) -> None:
    stage.run(["main"])
    before = rows_of("main").set_index("picture")["pixels"]
    pipeline = load_base(study.models.base)
    for weight in add_lora(pipeline.unet, study.train, 9).values():
        weight.data.normal_(std=0.3, generator=torch.Generator().manual_seed(9))
    save_lora(pipeline.unet, LORA / "close")
    stage.run(["main"])
    rows = rows_of("main").set_index("picture")
    moved = rows["pixels"] != before
    assert (moved == ((rows["shot_type"] == "close") & (rows["arm"] == "ours"))).all()


@pytest.mark.parametrize("value", [float("nan"), 0.0, 0.5])
def test_nan_and_flat_pictures_have_failed(value: float) -> None:
    picture = torch.full((4, 4, 3), value)
    pixels, failed = draw.to_pixels(picture)
    assert failed
    assert pixels.dtype == np.uint8
    picture[0, 0, 0] = 1.0
    assert draw.to_pixels(picture)[1] == (value != value)


def test_a_failed_picture_is_recorded_and_the_rest_goes_on(study: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = draw.decode

    def broken(pipeline: Any, latents: torch.Tensor) -> torch.Tensor:
        pictures = decode(pipeline, latents).clone()
        pictures[0] = float("nan")
        return pictures

    monkeypatch.setattr(draw, "decode", broken)
    stage.run(["control"])
    failed = rows_of("control").set_index("picture")["failed"]
    assert failed.dtype == bool
    assert failed.sum() == 3 * 2


def test_decoding_is_diffusers_own(study: Profile) -> None:
    pipeline: Any = load_base(study.models.base)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = np.stack([draw.to_pixels(picture)[0] for picture in draw.decode(pipeline, latents)])
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
        theirs = pipeline.image_processor.postprocess(decoded, output_type="pil")
    assert np.array_equal(ours, np.stack([np.asarray(image) for image in theirs]))


def test_prompts_that_the_text_encoder_cuts_are_reported(study: Profile, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_table(CAPTION_ROWS)
    rows["caption"] = rows["caption"] + " and a dog" * 30
    write_table(rows, CAPTION_ROWS, by="frame")
    stage.run(["ablation"])
    assert "6 prompts exceed 77 tokens" in capsys.readouterr().err


def test_a_prompt_of_exactly_the_limit_is_not_cut() -> None:
    fits, cut = " ".join(["dog"] * 75), " ".join(["dog"] * 76)
    assert too_long(clip_tokenizer(), [fits, cut, cut]) == [cut]


def test_strengths_that_a_pictures_id_cannot_tell_apart_are_named(study: Profile) -> None:
    settings = study.generate.sets.main.model_copy(update={"strengths": [0.5, 0.501]})
    with pytest.raises(StudyError, match=r"generate\.sets\.main\.strengths"):
        arms_of("main", settings)


def test_a_missing_lora_is_named_with_the_command(study: Profile) -> None:
    (LORA / "medium" / LORA_FILE).unlink()
    with pytest.raises(StudyError, match=r"medium.*no such LoRA; run `python -m stages.train medium`"):
        stage.run(["main"])


def test_a_lora_of_another_base_is_named(study: Profile) -> None:
    from safetensors.torch import load_file, save_file

    path = LORA / "close" / LORA_FILE
    save_file({key: torch.zeros(3, 3) for key in load_file(path)}, path, metadata={"format": "pt"})
    with pytest.raises(StudyError, match="does not fit the base"):
        stage.run(["main"])


def test_too_few_captions_are_named(study: Profile) -> None:
    rows = read_table(CAPTION_ROWS)
    write_table(rows[(rows["shot_type"] != "long") | (rows["split"] == "train")], CAPTION_ROWS, by="frame")
    with pytest.raises(StudyError, match="3 captions wanted of shot type 'long', the test split has 0"):
        stage.run(["main"])


def test_without_captions_it_says_what_to_run(study: Profile) -> None:
    CAPTION_ROWS.unlink()
    with pytest.raises(StudyError, match=r"captions\.parquet"):
        stage.run(["main"])
    assert load_params() == study


ARGUMENTS = [([], "argument ''"), (["mian"], "argument 'mian'"), (["main"], "no such table")]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    root = str(Path(stage.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "stages.generate", *arguments],
        cwd=tmp_path, env={"PYTHONPATH": root, "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
