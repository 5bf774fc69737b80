"""Draw pictures, for training and generation alike: each is a function of its prompt, seed and strength."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np

from dreamshot.params import Dtype
from dreamshot.samplers import SamplerName
from stages.diffusion import Pipeline, Unet, Vae, cast, encode_prompts, from_unit
from stages.sampler import Noise, Predict, sample, scheduler_for
from stages.tuning import Tuning, Untuned

if TYPE_CHECKING:
    import torch

Failure = Literal["", "nan", "black", "flat"]
FLAT_LEVELS = 2  # a picture whose levels (0..255) span no more than this shows nothing


@dataclass(frozen=True)
class Request:
    """A picture to be drawn; pictures of one seed share all their noise."""

    prompt: str
    seed: int
    strength: float = 0.0


@dataclass(frozen=True)
class Manner:
    """How pictures are drawn. size: their side. slab: how many the UNet is always called with; 0: all there are."""

    sampler: SamplerName
    steps: int
    guidance: float
    size: int
    negative_prompt: str = ""
    slab: int = 0


@dataclass(frozen=True)
class Picture:
    """(height, width, 3) uint8 pixels, what is wrong with them, and whether they are the float32 decoder's."""

    pixels: np.ndarray
    failure: Failure = ""
    retried: bool = False


@dataclass(frozen=True)
class Slab:
    """The places of the pictures of one call of the UNet, the last of them repeated where the slab is to be full."""

    places: list[int]
    count: int


def slabs(count: int, size: int) -> list[Slab]:
    """``count`` pictures in slabs of ``size``, all of the same shape; in one slab where ``size`` is 0."""
    if not size:
        return [Slab(list(range(count)), count)]
    starts = range(0, count, size)
    parts = [list(range(start, min(start + size, count))) for start in starts]
    return [Slab(part + part[-1:] * (size - len(part)), len(part)) for part in parts]


def failure_of(picture: "torch.Tensor") -> Failure:
    """What is wrong with a picture in [0, 1]: not finite, black, or otherwise flat."""
    if not bool(picture.isfinite().all()):
        return "nan"
    low, high = float(picture.min()) * 255, float(picture.max()) * 255
    if high <= FLAT_LEVELS:
        return "black"
    return "flat" if high - low <= FLAT_LEVELS else ""


def to_pixels(picture: "torch.Tensor") -> np.ndarray:
    """(height, width, 3) float in [0, 1] as uint8; what is not a number is black."""
    levels = (picture * 255).round().nan_to_num(0.0).numpy().astype(np.uint8)
    return np.ascontiguousarray(levels)  # safetensors writes any other array scrambled, without a word


def decode(vae: Vae, latents: "torch.Tensor") -> "torch.Tensor":
    """One picture's latents as the UNet knows them to (height, width, 3) float32 in [0, 1], or NaN."""
    decoded = vae.decode(from_unit(latents, vae).unsqueeze(0).to(vae.dtype)).sample[0]
    return (decoded.float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu()


class Artist:
    """Draws with one base, and with one fine-tuning of it at a time; text is encoded once for a prompt."""

    def __init__(
        self, pipeline: Pipeline, manner: Manner, decoder: Vae = None,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:  # fmt: skip
        """decoder: the pipeline's, in float32, where none is given. around: what the UNet's calls are made in."""
        self.pipeline = pipeline
        self.manner = manner
        self.scheduler = scheduler_for(pipeline.scheduler.config, manner.sampler)
        self.scheduler.set_timesteps(manner.steps)
        self.tuning: Tuning = Untuned()
        self._decoder = pipeline.vae if decoder is None else decoder
        self._around = around
        self._key = ""
        self._text: dict[tuple[str, float], torch.Tensor] = {}

    def use(self, key: str, load: Callable[[], Tuning]) -> None:
        """Draw with the fine-tuning of that key from now on; it is loaded unless it is the one in use."""
        if key == self._key:
            return
        self.tuning.remove()
        self.tuning, self._key = load(), key
        self._text.clear()

    def draw(self, requests: Sequence[Request]) -> list[Picture]:
        """The pictures, in the order of the requests."""
        import torch

        with torch.inference_mode():
            return [self._finish(latents) for latents in self._latents(requests)]

    def _latents(self, requests: Sequence[Request]) -> "Iterator[torch.Tensor]":
        """Each picture's latents, of all requests together or, if the fine-tuning wants it so, a strength at a time."""
        if self.tuning.mixed:
            yield from self._sample(requests)
            return
        places = sorted(range(len(requests)), key=lambda place: requests[place].strength)
        found: dict[int, torch.Tensor] = {}
        for _, same in groupby(places, key=lambda place: requests[place].strength):
            group = list(same)
            found.update(zip(group, self._sample([requests[place] for place in group]), strict=True))
        yield from (found[place] for place in range(len(requests)))

    def _sample(self, requests: Sequence[Request]) -> "torch.Tensor":
        """(batch, channels, height, width) float32"""
        unet = self.pipeline.unet
        side = self.manner.size // self.pipeline.vae_scale_factor
        shape = (unet.config.in_channels, side, side)
        noise = Noise([item.seed for item in requests], shape, self.scheduler, str(unet.device))
        return sample(self._predict(requests), self.scheduler, self.manner.steps, noise)

    def _predict(self, requests: Sequence[Request]) -> Predict:
        """The UNet's part, slab after slab."""
        import torch

        strengths = [item.strength for item in requests]
        text = self._embeddings([(item.prompt, item.strength) for item in requests])
        empty = self._embeddings([(self.manner.negative_prompt, strength) for strength in strengths])
        parts = slabs(len(requests), self.manner.slab)
        calls = [
            (slab, guided(self.pipeline.unet, text[slab.places], empty[slab.places], self.manner.guidance))
            for slab in parts
        ]

        def predict(latents: "torch.Tensor", time: "torch.Tensor") -> "torch.Tensor":
            found = []
            for slab, call in calls:
                rows = [strengths[place] for place in slab.places]
                self.tuning.at(rows * 2 if self.manner.guidance > 1 else rows)
                with self._around():
                    found.append(call(latents[slab.places], time)[: slab.count])
            return torch.cat(found)

        return predict

    def _embeddings(self, wanted: Sequence[tuple[str, float]]) -> "torch.Tensor":
        """(batch, tokens, width), of (prompt, strength)"""
        import torch

        keys = [(prompt, strength if self.tuning.text else 0.0) for prompt, strength in wanted]
        for prompt, strength in dict.fromkeys(keys):
            if (prompt, strength) not in self._text:
                self.tuning.at([strength])
                self._text[prompt, strength] = encode_prompts(self.pipeline, [prompt])[prompt]
        return torch.cat([self._text[key] for key in keys])

    def _finish(self, latents: "torch.Tensor") -> Picture:
        """Decode a picture; one that is not finite or shows nothing is decoded once more in float32."""
        picture = decode(self._decoder, latents)
        failure = failure_of(picture)
        if not failure or self._decoder is self.pipeline.vae:
            return Picture(to_pixels(picture), failure)
        picture = decode(self.pipeline.vae, latents)
        return Picture(to_pixels(picture), failure_of(picture), retried=True)


def artist_for(pipeline: Pipeline, manner: Manner, dtype: Dtype, decoder_dtype: Dtype) -> Artist:
    """An artist whose UNet and decoder have these dtypes; the text encoder keeps its own."""
    cast(pipeline.unet, dtype)
    cast(pipeline.vae, "float32")
    if decoder_dtype == "float32":
        return Artist(pipeline, manner)
    decoder = deepcopy(pipeline.vae)
    cast(decoder, decoder_dtype)
    return Artist(pipeline, manner, decoder)


def guided(unet: Unet, text: "torch.Tensor", empty: "torch.Tensor", guidance: float) -> Predict:
    """The UNet's prediction with classifier-free guidance, both halves in one batch.

    text: (batch, tokens, width), of the prompts. empty: the same of the negative prompt.
    """
    import torch

    both = (torch.cat([empty, text]) if guidance > 1 else text).to(unet.dtype)

    def predict(latents: "torch.Tensor", time: "torch.Tensor") -> "torch.Tensor":
        doubled = torch.cat([latents, latents]) if guidance > 1 else latents
        doubled = doubled.to(unet.dtype).contiguous(memory_format=torch.channels_last)
        predicted = unet(doubled, time, both).sample.float()
        if guidance <= 1:
            return predicted
        without, with_text = predicted.chunk(2)
        return without + guidance * (with_text - without)

    return predict
