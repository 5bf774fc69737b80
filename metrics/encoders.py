"""Pictures and prompts to vectors, as CLIP and DINO define it. The models arrive loaded; torch is imported when used.

Conventions: pictures are RGB PIL images, vectors float32 arrays of shape (n, width). A batch always has the same shape,
the last one padded by repeating a picture, so that a picture's vector does not depend on how many others are left.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Vectors = NDArray[np.float32]
T = TypeVar("T")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def batches(items: Sequence[T], size: int) -> Iterator[tuple[list[T], int]]:
    """(``size`` items, how many of them count): the last batch repeats its last item to keep the shape."""
    for start in range(0, len(items), size):
        part = list(items[start : start + size])
        yield part + [part[-1]] * (size - len(part)), len(part)


def resize_shorter(image: Image.Image, side: int) -> Image.Image:
    """Resize so that the shorter side is ``side``, bicubic with PIL's antialiasing; the longer one is rounded down."""
    width, height = image.size
    upright = width <= height
    size = (side, int(side * height / width)) if upright else (int(side * width / height), side)
    return image.resize(size, Image.Resampling.BICUBIC)


def centre_crop(image: Image.Image, side: int) -> Image.Image:
    """The central square; an odd margin is rounded as DINO's own transform does (half to even)."""
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return image.crop((left, top, left + side, top + side))


def dino_preprocess(image: Image.Image, resize: int, crop: int) -> Vectors:
    """DINO's evaluation transform: shorter side to ``resize``, central ``crop``, ImageNet's mean and std; CHW."""
    pixels = np.asarray(centre_crop(resize_shorter(image.convert("RGB"), resize), crop), np.float32) / 255
    normal = (pixels - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def run(
    encode: Callable[[Any], Any], model: Any, items: Sequence[T], prepare: Callable[[list[T]], Any], batch: int
) -> Vectors:
    """Encode ``items`` in batches of one shape, on the model's device; (n, width) float32."""
    import torch

    device = next(model.parameters()).device
    parts = []
    with torch.inference_mode():
        for part, count in batches(items, batch):
            parts.append(encode(prepare(part).to(device))[:count].float().cpu().numpy())
    return np.concatenate(parts).astype(np.float32)


def dino_features(model: Any, images: Sequence[Image.Image], resize: int, crop: int, batch: int = 64) -> Vectors:
    """The class token of a ViT (``model`` returns it), not normalised; (n, width)."""
    import torch

    def prepare(part: list[Image.Image]) -> Any:
        return torch.from_numpy(np.stack([dino_preprocess(image, resize, crop) for image in part]))

    return run(model, model, images, prepare, batch)


def clip_image_features(
    model: Any, preprocess: Callable[[Image.Image], Any], images: Sequence[Image.Image], batch: int = 64
) -> Vectors:
    """open_clip's picture vectors, not normalised; ``preprocess`` is the model's own; (n, width)."""
    import torch

    return run(
        model.encode_image, model, images, lambda part: torch.stack([preprocess(image) for image in part]), batch
    )


def clip_text_features(
    model: Any, tokenizer: Callable[[list[str]], Any], texts: Sequence[str], batch: int = 64
) -> Vectors:
    """open_clip's prompt vectors, not normalised; a prompt beyond the model's context is cut there; (n, width)."""
    return run(model.encode_text, model, texts, tokenizer, batch)


def cosine(a: Vectors, b: Vectors) -> NDArray[np.float64]:
    """The cosine of each row of ``a`` with the same row of ``b``, computed in float64; (n,)."""
    one, two = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.sum(one * two, axis=1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1))
