"""The tiny DINO: what the trainer writes is loaded as the paper's DINO is, and the committed one has learned."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_frames import MODELS, noise_frames, rendered_frames

from demo import measure, train_dino
from dreamshot.models import load_dino
from dreamshot.params import Weights


def test_the_trained_folder_loads_as_a_vit_with_a_class_token(tmp_path: Path) -> None:
    takes = noise_frames(32, 3).pixels.reshape(16, 2, 128, 128, 3)
    train_dino.train(takes, noise_frames(16, 1), noise_frames(16, 2), tmp_path, steps=2, batch=8)
    model = load_dino(Weights(source=str(tmp_path), revision=""))
    assert type(model).__name__ == "VisionTransformer"
    assert model(torch.rand(2, 3, 112, 112)).shape == (2, 192)


def test_a_view_keeps_the_scale_within_the_study_s_crop() -> None:
    low, high = train_dino.WINDOW
    assert 0.8 < low / (112 / 128) < 1 < high / (112 / 128) < 1.25


def test_waking_enlarges_the_embeddings_and_the_blocks_matrices_only() -> None:
    torch.manual_seed(1)
    plain = train_dino.make_backbone()
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    after = train_dino.wake(plain).state_dict()
    assert after["pos_embed"].std().item() == pytest.approx(train_dino.POSITION, rel=0.1)
    assert after["cls_token"].std().item() == pytest.approx(train_dino.CLASS, rel=0.2)
    for name, value in after.items():
        if name not in ("pos_embed", "cls_token"):
            gain = train_dino.GAIN if name.startswith("blocks") and value.ndim == 2 else 1.0
            torch.testing.assert_close(value, gain * before[name])


def test_a_thumbnail_holds_means_and_its_weight_falls_to_nothing_at_the_half() -> None:
    images = torch.zeros(1, 3, 112, 112)
    images[0, 0, :14, :14] = 1
    thumbnail = train_dino.thumbnails(images).view(3, 8, 8)
    assert thumbnail[0, 0, 0] == 1
    assert thumbnail.sum() == 1 - (3 * 64 - 1)
    weights = [train_dino.decoding_weight(step, 100) for step in (0, 25, 50, 99)]
    assert weights == [train_dino.DECODING, train_dino.DECODING / 2, 0.0, 0.0]


@pytest.mark.parametrize("key", ["shot_type", "place"])
def test_the_committed_dino_finds_shot_type_and_place_of_unseen_films(key: str) -> None:
    frames = rendered_frames(films=30, each=20)
    features = measure.dino_features(MODELS / "dino", frames, np.arange(len(frames.pixels)))
    asked = np.arange(len(features)) % 600 >= 500  # the last five films
    labels = frames.truth[key].to_numpy()
    assert measure.knn_share(features[~asked], labels[~asked], features[asked], labels[asked]) >= 0.75
