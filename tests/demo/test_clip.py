"""The tiny CLIP: what the trainer writes is loaded as the paper's CLIP is, and the committed one has learned."""

from pathlib import Path

import pytest
from tiny_frames import MODELS, noise_frames, rendered_frames

from demo import measure, train_clip
from dreamshot.models import load_clip
from dreamshot.params import ClipWeights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of two steps on sixteen random pictures."""
    folder = tmp_path_factory.mktemp("clip")
    train_clip.train(noise_frames(16, 1), noise_frames(16, 2), folder, steps=2, batch=8)
    return folder


def test_the_trained_folder_loads_and_reads_any_text(folder: Path) -> None:
    model, preprocess, tokenizer = load_clip(ClipWeights(source=str(folder), revision="", name="x"))
    ids = tokenizer(["a high-quality close_shot picture of a woman", "Nothing like: ANY of it?", "", "word " * 200])
    assert ids.shape == (4, train_clip.CONTEXT)
    assert (ids[:, -1] != ids[0, 0]).all()
    assert model.encode_text(ids).isfinite().all()
    assert preprocess.transforms[0].size == train_clip.SIDE


def test_a_long_text_keeps_its_end_token(folder: Path) -> None:
    tokenizer = load_clip(ClipWeights(source=str(folder), revision="", name="x"))[2]
    assert (tokenizer(["a woman " * 60]) == 3).sum() == 1


def test_training_twice_gives_the_same_weights(folder: Path, tmp_path: Path) -> None:
    train_clip.train(noise_frames(16, 1), noise_frames(16, 2), tmp_path, steps=2, batch=8)
    name = "open_clip_model.safetensors"
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_committed_clip_picks_captions_of_unseen_films() -> None:
    frames = rendered_frames(films=16, each=4)
    pictures, texts = measure.clip_features(MODELS / "clip", frames, measure.some(frames, 64), ("",))
    captions = measure.captions_of(frames, measure.some(frames, 64))
    assert measure.picks(pictures, texts, captions) >= 0.7
