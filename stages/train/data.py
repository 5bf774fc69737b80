"""The training examples, and the cache of what never changes: latents by picture, text by prompt, never by step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from dreamshot.captions import prompt
from dreamshot.errors import StudyError
from dreamshot.models import device
from dreamshot.params import Profile, ShotType
from dreamshot.paths import CAPTION_ROWS, CROPS
from dreamshot.records import Pool, picture_hash
from dreamshot.seeds import digest
from dreamshot.work import code_hash, work_folder, write_atomic
from stages.diffusion import Pipeline, caption_rows, encode_prompts

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Pixels = Callable[[], np.ndarray]
CODE = ("stages/train/data.py", "stages/diffusion.py")


@dataclass(frozen=True)
class Example:
    """A picture, by the SHA-256 of its pixels, and the prompt that it teaches."""

    picture: str
    prompt: str


@dataclass(frozen=True)
class Data:
    """What is trained on, the class pictures that keep the prior, what is held out; and how each picture is read."""

    train: list[Example]
    prior: list[Example]
    held_out: list[Example]
    pixels: Mapping[str, Pixels]

    @property
    def all(self) -> list[Example]:
        return [*self.train, *self.prior, *self.held_out]

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of every picture and prompt, and of what each is used for."""
        groups = {"train": self.train, "prior": self.prior, "held out": self.held_out}
        parts = ((name, item.picture, item.prompt) for name, group in groups.items() for item in group)
        return digest(*(part for item in parts for part in item))


def rows_of(shot_type: ShotType, split: str) -> pd.DataFrame:
    """The captions of one split and shot type, in the order of the frames' ids."""
    rows = caption_rows(split)
    return rows[rows["shot_type"] == shot_type].reset_index(drop=True)


def read_data(params: Profile, shot_type: ShotType) -> Data:
    """The training frames of a shot type, and of its test frames those that are held out, without class pictures.

    Raises:
        StudyError: there is no training frame.
    """
    rows, test = rows_of(shot_type, "train"), rows_of(shot_type, "test")
    if rows.empty:
        raise StudyError(f"{CAPTION_ROWS}: no training frame of shot type {shot_type!r}; label some, run select again")
    rank = test["frame"].map(lambda frame: digest(params.seed, "held out", frame)).sort_values().index
    test = test.loc[rank[: params.train.validation.frames]]
    pool, pixels = Pool(CROPS / "shards"), {}
    groups: dict[str, list[Example]] = {}
    for name, part in (("train", rows), ("held_out", test)):
        found = groups[name] = []
        for frame, caption in zip(part["frame"], part["caption"], strict=True):
            picture = picture_hash(pool.pixels(frame))
            pixels[picture] = partial(pool.pixels, frame)
            found.append(Example(picture, prompt(params.generate.template, shot_type, caption)))
    return Data(train=groups["train"], prior=[], held_out=groups["held_out"], pixels=pixels)


# --- the cache ---


@dataclass(frozen=True)
class Cache:
    """What the frozen models say, looked up by what a thing is.

    mean, std: by picture, (channels, height, width), the autoencoder's posterior. text: by prompt, the empty one among
    them, (tokens, width); empty where the text encoder learns.
    """

    mean: "dict[str, torch.Tensor]"
    std: "dict[str, torch.Tensor]"
    text: "dict[str, torch.Tensor]"


def to_tensor(pictures: Sequence[np.ndarray]) -> "torch.Tensor":
    """(height, width, 3) uint8 pictures as (batch, 3, height, width) float32 in [-1, 1]."""
    import torch

    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def latents_of(pipeline: Pipeline, pixels: Pixels) -> "dict[str, torch.Tensor]":
    """Mean and deviation of the autoencoder's posterior of one picture, alone: its bits hang on no other."""
    import torch

    with torch.inference_mode():
        posterior = pipeline.vae.encode(to_tensor([pixels()]).to(pipeline.device)).latent_dist
        return {"mean": posterior.mean[0].float().cpu(), "std": posterior.std[0].float().cpu()}


def text_of(pipeline: Pipeline, text: str) -> "dict[str, torch.Tensor]":
    """One prompt's embedding."""
    return {"text": encode_prompts(pipeline, [text])[text][0].float().cpu()}


Compute = Callable[[Pipeline], "dict[str, torch.Tensor]"]


def cache_folder(base: str) -> Path:
    """Where this base's cache is, for every run and shot type: a file a picture and a prompt."""
    return work_folder("cache", code_hash(*CODE), base, device())


def share_of(items: Sequence[Item], accelerator: Any) -> Sequence[Item]:
    """What this process does of that which all processes do together."""
    return items[accelerator.process_index :: accelerator.num_processes]


def fill(folder: Path, load: Callable[[], Pipeline], wanted: Mapping[str, Compute], accelerator: Any) -> None:
    """Compute what the folder lacks, a file at a time, each by one atomic rename."""
    from safetensors.torch import save
    from tqdm import tqdm

    missing = [name for name in share_of(list(wanted), accelerator) if not (folder / name).is_file()]
    for name in tqdm(missing, desc="train: cache", unit="item", disable=not missing):
        tensors = {key: value.contiguous() for key, value in wanted[name](load()).items()}
        write_atomic(folder / name, save(tensors))
    accelerator.wait_for_everyone()


def latents_file(picture: str) -> str:
    return f"latents-{picture}.safetensors"


def text_file(text: str) -> str:
    return f"text-{digest(text)}.safetensors"


def cached(load: Callable[[], Pipeline], data: Data, base: str, with_text: bool, accelerator: Any) -> Cache:
    """The cache for these examples. ``load`` gives the base; ``base`` is its SHA-256."""
    from safetensors.torch import load_file

    folder = cache_folder(base)
    pictures = list(dict.fromkeys(item.picture for item in data.all))
    prompts = list(dict.fromkeys(["", *(item.prompt for item in data.all)])) if with_text else []
    wanted: dict[str, Compute] = {latents_file(key): partial(latents_of, pixels=data.pixels[key]) for key in pictures}
    wanted |= {text_file(text): partial(text_of, text=text) for text in prompts}
    fill(folder, load, wanted, accelerator)
    latents = {key: load_file(folder / latents_file(key)) for key in pictures}
    return Cache(
        mean={key: tensors["mean"] for key, tensors in latents.items()},
        std={key: tensors["std"] for key, tensors in latents.items()},
        text={text: load_file(folder / text_file(text))["text"] for text in prompts},
    )
