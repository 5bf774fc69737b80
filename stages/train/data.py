"""The training examples, and the cache of what never changes while training: latents by frame, text by prompt."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dreamshot.captions import prompt
from dreamshot.errors import StudyError
from dreamshot.params import ShotType
from dreamshot.paths import CAPTION_ROWS
from dreamshot.records import Pool, picture_hash
from dreamshot.seeds import digest
from dreamshot.work import write_atomic
from stages.diffusion import Pipeline, caption_rows, encode_prompts

if TYPE_CHECKING:
    import torch

ENCODE_BATCH = 8


@dataclass(frozen=True)
class Example:
    """A frame and the prompt that it teaches."""

    frame: str
    prompt: str


@dataclass(frozen=True)
class Cache:
    """What the frozen models say: looked up by what a thing is, never by the step that uses it.

    mean, std: by frame, (channels, height, width), the autoencoder's posterior. text: by prompt, the empty one among
    them, (tokens, width).
    """

    mean: "dict[str, torch.Tensor]"
    std: "dict[str, torch.Tensor]"
    text: "dict[str, torch.Tensor]"


def examples_of(shot_type: ShotType, template: str) -> list[Example]:
    """The training frames of one shot type with their prompts, in the order of their ids."""
    rows = caption_rows("train")
    rows = rows[rows["shot_type"] == shot_type]
    if rows.empty:
        raise StudyError(f"{CAPTION_ROWS}: no training frame of shot type {shot_type!r}; label some, run select again")
    return [
        Example(frame, prompt(template, shot_type, caption))
        for frame, caption in zip(rows["frame"], rows["caption"], strict=True)
    ]


def prompts_of(examples: Sequence[Example]) -> list[str]:
    """Every prompt that training may need: the empty one, for captions that are dropped, and the examples'."""
    return ["", *(item.prompt for item in examples)]


def data_hash(examples: Sequence[Example], pool: Pool) -> str:
    """SHA-256 (hex) of the pixels and prompts that are trained on."""
    parts = ((item.frame, picture_hash(pool.pixels(item.frame)), item.prompt) for item in examples)
    return digest(*(part for item in parts for part in item))


def to_tensor(pictures: Sequence[np.ndarray]) -> "torch.Tensor":
    """(height, width, 3) uint8 pictures as (batch, 3, height, width) float32 in [-1, 1]."""
    import torch

    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def posteriors(
    pipeline: Pipeline, frames: Sequence[str], pool: Pool
) -> "Iterator[tuple[str, torch.Tensor, torch.Tensor]]":
    """Yield (frame, mean, std) of the autoencoder's posterior for each frame."""
    import torch

    for start in range(0, len(frames), ENCODE_BATCH):
        batch = frames[start : start + ENCODE_BATCH]
        with torch.inference_mode():
            pixels = to_tensor([pool.pixels(frame) for frame in batch])
            posterior = pipeline.vae.encode(pixels.to(pipeline.device)).latent_dist
            yield from zip(batch, posterior.mean.float().cpu(), posterior.std.float().cpu(), strict=True)


def compute(pipeline: Pipeline, examples: Sequence[Example], pool: Pool) -> "dict[str, torch.Tensor]":
    """The cache's content by its keys in the file."""
    found: dict[str, torch.Tensor] = {}
    for frame, mean, std in posteriors(pipeline, [item.frame for item in examples], pool):
        found[f"mean/{frame}"], found[f"std/{frame}"] = mean, std
    for text, embedding in encode_prompts(pipeline, prompts_of(examples)).items():
        found[f"text/{digest(text)}"] = embedding[0].float().cpu()
    return {key: value.contiguous() for key, value in found.items()}


def cached(load: Callable[[], Pipeline], examples: Sequence[Example], pool: Pool, path: Path) -> Cache:
    """The cache in the file ``path``, made and written first if it is not there."""
    from safetensors.torch import load_file, save

    if not path.is_file():
        write_atomic(path, save(compute(load(), examples, pool)))
    tensors = load_file(path)
    return Cache(
        mean={item.frame: tensors[f"mean/{item.frame}"] for item in examples},
        std={item.frame: tensors[f"std/{item.frame}"] for item in examples},
        text={text: tensors[f"text/{digest(text)}"] for text in prompts_of(examples)},
    )
