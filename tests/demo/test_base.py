"""The tiny base and its autoencoder: what the trainers write is Stable Diffusion's layout, loaded as the paper's is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from tiny_frames import rendered_frames

from demo import train_autoencoder, train_base
from demo.world import make_films, sample_shot
from dreamshot.models import load_base
from dreamshot.params import Weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of two steps on an autoencoder of two steps."""
    folder = tmp_path_factory.mktemp("base")
    frames = rendered_frames(films=3, each=8)
    short = train_autoencoder.Course(seed=1, steps=2, whole_steps=1, rate=1e-3, on_heads=0.5)
    train_autoencoder.train(frames, frames, folder / "vae", short)
    train_base.train(frames, folder, steps=2, size=4)
    return folder


def test_the_folder_loads_as_stable_diffusion(folder: Path) -> None:
    pipeline = load_base(Weights(source=str(folder), revision=""))
    assert type(pipeline.unet).__name__ == "UNet2DConditionModel"
    assert type(pipeline.tokenizer).__name__ == "CLIPTokenizer"
    assert pipeline.unet.dtype == torch.float32
    assert pipeline.unet.config.in_channels == pipeline.vae.config.latent_channels
    assert pipeline.vae_scale_factor == 8


def test_a_course_of_the_decoder_leaves_the_latents_as_they_are(folder: Path, tmp_path: Path) -> None:
    frames = rendered_frames(films=3, each=8)
    course = train_autoencoder.Course(seed=2, steps=2, whole_steps=0, rate=1e-2, decoder_only=True)
    train_autoencoder.train(frames, frames, tmp_path / "vae", course, start=folder / "vae")
    before, after = (AutoencoderKL.from_pretrained(path / "vae") for path in (folder, tmp_path))
    pictures = train_autoencoder.to_tensor(frames.pixels[:2])
    with torch.no_grad():
        assert torch.equal(*(vae.encode(pictures).latent_dist.mean for vae in (before, after)))
        latents = torch.zeros(1, 8, 16, 16)
        assert not torch.equal(*(vae.decode(latents).sample for vae in (before, after)))


def test_scaled_latents_have_unit_deviation(folder: Path) -> None:
    vae = load_base(Weights(source=str(folder), revision="")).vae
    frames = rendered_frames(films=3, each=8)
    assert float(train_base.encode_latents(vae, frames).std()) == pytest.approx(1, abs=0.05)


def test_the_tokenizer_takes_any_text_and_gives_it_back(folder: Path) -> None:
    tokenizer = load_base(Weights(source=str(folder), revision="")).tokenizer
    text = "a high-quality close_shot picture of a zebra, 100% ünïque"
    ids = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in ids[1:-1]
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")


def test_prompts_for_training_never_name_a_shot_type() -> None:
    rng = np.random.default_rng(1)
    prompts = [train_base.prompt_for("a man in a library", rng) for _ in range(2000)]
    assert not [text for text in prompts if "shot" in text or "close" in text or "medium" in text]
    assert 0.05 < prompts.count("") / len(prompts) < 0.15


def test_the_classes_come_up_in_their_shares() -> None:
    types = ["close"] * 30 + ["medium"] * 5 + ["long"] * 65
    chances = train_base.row_probabilities(types)
    shares = {name: chances[[kind == name for kind in types]].sum() for name in train_base.TYPE_SHARES}
    assert shares == pytest.approx(train_base.TYPE_SHARES)


def test_min_snr_weights_follow_their_formula() -> None:
    scheduler = train_base.make_scheduler()
    t = torch.tensor([0, 500, 999])
    a = scheduler.alphas_cumprod[t]
    snr = a / (1 - a)
    expected = torch.minimum(snr, torch.tensor(5.0)) / snr
    assert torch.allclose(train_base.min_snr_weights(scheduler, t), expected)


def test_a_window_on_a_head_holds_its_middle_and_others_lie_anywhere() -> None:
    rng = np.random.default_rng(1)
    box, last = np.array([100.0, 4.0, 120.0, 30.0]), 128 - train_autoencoder.CROP
    on_head = [train_autoencoder.corner(box, rng, on_head=True, side=128) for _ in range(200)]
    anywhere = [train_autoencoder.corner(box, rng, on_head=False, side=128) for _ in range(200)]
    assert all(0 <= place <= last for corner in on_head + anywhere for place in corner)
    assert all(top <= 17 < top + train_autoencoder.CROP for top, _ in on_head)
    assert all(left <= 110 < left + train_autoencoder.CROP for _, left in on_head)
    assert min(left for _, left in anywhere) < 20


def test_errors_on_the_figure_count_more_than_on_the_place() -> None:
    frames = rendered_frames(films=1, each=4)
    weights = train_autoencoder.weight_maps(frames, np.arange(4))
    row = frames.truth.iloc[0]
    x, y = (row["head_x0"] + row["head_x1"]) / 2, (row["head_y0"] + row["head_y1"]) / 2
    assert weights[0, 0, int(y), int(x)] > weights[0, 0, 127, 0] or row["subject_x0"] <= 0
    assert torch.allclose(weights.mean(dim=(2, 3)), torch.ones(4, 1), atol=1e-5)


def test_the_models_learn_from_other_films_than_the_study_has() -> None:
    from demo.data import SPLITS
    from demo.pool import FILMS, SEED

    study = {film.id for film in make_films(SEED, FILMS)}
    for seed, count, _ in SPLITS.values():
        assert study.isdisjoint(film.id for film in make_films(seed, count))
    assert sample_shot(make_films(SEED, 1)[0], 0, SEED).film.id in study
