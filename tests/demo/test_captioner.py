"""The tiny BLIP-2: what the trainer writes is loaded as the paper's BLIP-2 is, and the committed one has learned."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_frames import MODELS, noise_frames, rendered_frames

from demo import learn, measure, train_captioner, train_clip
from dreamshot.models import load_captioner
from dreamshot.params import Weights


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A CLIP of one step and a captioner of two steps that began from it."""
    clip, folder = tmp_path_factory.mktemp("clip"), tmp_path_factory.mktemp("captioner")
    train_clip.train(noise_frames(16, 1), noise_frames(16, 2), clip, steps=1, batch=8)
    train_captioner.train(noise_frames(16, 1), noise_frames(16, 2), folder, clip, steps=2, batch=8)
    return clip, folder


def test_the_trained_folder_loads_with_its_query_tokens(folders: tuple[Path, Path]) -> None:
    processor, model = load_captioner(Weights(source=str(folders[1]), revision=""))
    assert processor.num_query_tokens == model.config.num_query_tokens == train_captioner.QUERIES
    inputs = processor(images=noise_frames(2, 3).pixels[0], return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 3, 128, 128)
    assert model.generate(**inputs, max_new_tokens=4).shape[0] == 1


def test_a_prompted_call_gets_the_picture_s_tokens(folders: tuple[Path, Path]) -> None:
    processor, model = load_captioner(Weights(source=str(folders[1]), revision=""))
    inputs = processor(images=noise_frames(2, 3).pixels[0], text="a woman with", return_tensors="pt")
    assert (inputs["input_ids"] == model.config.image_token_index).sum() == train_captioner.QUERIES


def test_the_vision_tower_begins_as_clip_s(folders: tuple[Path, Path]) -> None:
    processor = train_captioner.make_processor(learn.word_tokenizer(noise_frames(16, 1).captions))
    model = train_captioner.make_model(train_captioner.model_config(processor.tokenizer), folders[0]).eval()
    clip = measure_tower(folders[0])
    images = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        seen = model.vision_model(images).last_hidden_state[:, 0]
        torch.testing.assert_close(seen @ clip.proj, clip(images), rtol=1e-4, atol=1e-4)


def measure_tower(folder: Path) -> torch.nn.Module:
    """The vision tower of a CLIP folder."""
    from dreamshot.models import load_clip
    from dreamshot.params import ClipWeights

    tower: torch.nn.Module = load_clip(ClipWeights(source=str(folder), revision="", name="x"))[0].visual
    return tower


def test_the_committed_captioner_describes_unseen_films() -> None:
    frames = rendered_frames(films=16, each=4)
    said = measure.write_captions(MODELS / "captioner", frames, np.arange(64))
    truth = frames.truth[list(measure.ATTRIBUTES)].astype(str).to_dict("records")
    assert np.mean(list(measure.attribute_shares(said, truth).values())) >= 0.85
    assert len(set(said)) > 40
