"""Preprocessing against its definition, and vectors that depend on nothing but the picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dreamshot.models import load_clip, load_dino
from dreamshot.params import ClipWeights, Weights
from metrics import encoders
from tests.tiny_encoders import save_clip, save_dino

SIZES = [(50, 50), (90, 40), (41, 97), (36, 32), (32, 36), (300, 211)]


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Noise and gradients of several sizes: what a resize without antialiasing would change."""
    draw = np.random.default_rng(0)
    found = []
    for width, height in SIZES:
        ramp = np.linspace(0, 255, width)[None, :, None] * np.linspace(0.3, 1, height)[:, None, None]
        noisy = np.clip(ramp * [1, 0.7, 0.4] + draw.normal(0, 40, (height, width, 3)), 0, 255)
        found.append(Image.fromarray(noisy.astype(np.uint8)))
    return found


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_dino(tmp_path_factory.mktemp("dino"))
    return load_dino(Weights(source=str(folder), revision=""))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    folder: Path = save_clip(tmp_path_factory.mktemp("clip"))
    return load_clip(ClipWeights(source=str(folder), revision="", name="tiny"))


@pytest.mark.parametrize(("resize", "crop"), [(36, 32), (256, 224), (33, 32), (128, 112)])
def test_dino_sees_what_its_own_transform_makes(pictures: list[Image.Image], resize: int, crop: int) -> None:
    from torchvision import transforms

    theirs = transforms.Compose(
        [
            transforms.Resize(resize, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(crop),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    for picture in pictures:
        ours = encoders.dino_preprocess(picture, resize, crop)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs(picture).numpy(), atol=1e-6)


def test_dino_preprocessing_step_by_step() -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (80, 121, 3), dtype=np.uint8))
    small = picture.resize((54, 36), Image.Resampling.BICUBIC)  # int(36 * 121 / 80)
    square = np.asarray(small)[2:34, 11:43].astype(np.float64) / 255
    expected = (square - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(encoders.dino_preprocess(picture, 36, 32), expected.transpose(2, 0, 1), atol=1e-5)


def test_dino_without_antialiasing_would_be_another_picture(pictures: list[Image.Image]) -> None:
    picture = pictures[-1]
    nearest = picture.resize((51, 36), Image.Resampling.NEAREST)
    ours = encoders.resize_shorter(picture, 36)
    assert ours.size == nearest.size
    assert np.abs(np.asarray(ours, float) - np.asarray(nearest, float)).mean() > 5


def test_dino_is_the_class_token(dino: Any, pictures: list[Image.Image]) -> None:
    ours = encoders.dino_features(dino, pictures, 36, 32)
    batch = torch.from_numpy(np.stack([encoders.dino_preprocess(picture, 36, 32) for picture in pictures]))
    with torch.inference_mode():
        tokens = dino.forward_features(batch)
    assert ours.shape == (len(pictures), 24)
    assert ours == pytest.approx(tokens[:, 0].numpy(), abs=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 4, 64])
def test_vectors_do_not_depend_on_the_batch(dino: Any, clip: Any, pictures: list[Image.Image], batch: int) -> None:
    model, preprocess, tokenizer = clip
    texts = [f"a picture of {n} people" for n in range(6)]
    for encode in (
        lambda size: encoders.dino_features(dino, pictures, 36, 32, size),
        lambda size: encoders.clip_image_features(model, preprocess, pictures, size),
        lambda size: encoders.clip_text_features(model, tokenizer, texts, size),
    ):
        np.testing.assert_allclose(encode(batch), encode(3), atol=1e-5)


def test_what_is_left_of_a_run_gets_the_same_bits(dino: Any, pictures: list[Image.Image]) -> None:
    whole = encoders.dino_features(dino, pictures, 36, 32, batch=4)
    rest = encoders.dino_features(dino, pictures[4:], 36, 32, batch=4)
    assert np.array_equal(whole[4:], rest)


def test_the_order_of_the_pictures_does_not_matter(dino: Any, pictures: list[Image.Image]) -> None:
    forward = encoders.dino_features(dino, pictures, 36, 32, batch=4)
    backward = encoders.dino_features(dino, pictures[::-1], 36, 32, batch=4)
    assert forward == pytest.approx(backward[::-1], abs=1e-5)


def test_clip_is_open_clips_own_way(clip: Any, pictures: list[Image.Image]) -> None:
    model, preprocess, tokenizer = clip
    texts = ["a close_shot picture of a cat", "snow", "rain", "two dogs", "", "a b c"]
    ours = encoders.cosine(
        encoders.clip_image_features(model, preprocess, pictures), encoders.clip_text_features(model, tokenizer, texts)
    )
    with torch.inference_mode():
        images = model.encode_image(torch.stack([preprocess(picture) for picture in pictures]), normalize=True)
        prompts = model.encode_text(tokenizer(texts), normalize=True)
    assert ours == pytest.approx((images * prompts).sum(dim=1).numpy(), abs=1e-5)


def test_cosine_known_by_heart() -> None:
    a, b = np.array([[1, 0], [1, 1], [3, 4]]), np.array([[5, 0], [1, -1], [4, 3]])
    assert encoders.cosine(a, b) == pytest.approx([1, 0, 24 / 25])
