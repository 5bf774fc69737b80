"""Draw pictures, for training and generation alike: each is a function of its prompt, seed and strength."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
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
    """How pictures are drawn.

    size: their side. slab: how many the UNet is always called with; 0: all that are drawn together. batch: how many are
    drawn together at most; 0: all that are asked for.
    """

    sampler: SamplerName
    steps: int
    guidance: float
    size: int
    negative_prompt: str = ""
    slab: int = 0
    batch: int = 0


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


def failure_of(low: float, high: float) -> Failure:
    """What is wrong with a picture whose values in [0, 1] reach from low to high: not finite, black, otherwise flat."""
    if math.isnan(low) or math.isnan(high):
        return "nan"
    if high * 255 <= FLAT_LEVELS:
        return "black"
    return "flat" if (high - low) * 255 <= FLAT_LEVELS else ""


def to_pixels(picture: "torch.Tensor") -> np.ndarray:
    """(height, width, 3) float in [0, 1] as uint8; what is not a number is black."""
    import torch

    levels = (picture * 255).round().nan_to_num(0.0).to(torch.uint8).cpu().numpy()
    return np.ascontiguousarray(levels)  # safetensors writes any other array scrambled, without a word


def decode(vae: Vae, latents: "torch.Tensor") -> "torch.Tensor":
    """One picture's latents as the UNet knows them to (height, width, 3) float32 in [0, 1], NaN where not finite."""
    import torch

    decoded = vae.decode(from_unit(latents, vae).unsqueeze(0).to(vae.dtype)).sample[0].float() / 2 + 0.5
    return torch.where(decoded.isfinite(), decoded.clamp(0, 1), math.nan).permute(1, 2, 0)


def developed(vae: Vae, latents: "Sequence[torch.Tensor]") -> list[Picture]:
    """The pictures, decoded one by one: a picture's bits hang on no other. A GPU is waited for once for all of them."""
    import torch

    decoded = [decode(vae, item) for item in latents]
    ranges = torch.stack([torch.stack(picture.aminmax()) for picture in decoded]).tolist()
    return [
        Picture(to_pixels(picture), failure_of(low, high)) for picture, (low, high) in zip(decoded, ranges, strict=True)
    ]


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
        self._strengths: list[float] = []
        self._text: dict[tuple[str, float], torch.Tensor] = {}

    def use(self, key: str, load: Callable[[], Tuning]) -> None:
        """Draw with the fine-tuning of that key from now on; it is loaded unless it is the one in use."""
        if key == self._key:
            return
        self.tuning.remove()
        self.tuning, self._key, self._strengths = Untuned(), "", []
        self._text.clear()
        self.tuning, self._key = load(), key

    def draw(self, requests: Sequence[Request]) -> list[Picture]:
        """The pictures, in the order of the requests; equal requests are one picture."""
        import torch

        distinct = list(dict.fromkeys(requests))
        size = self.manner.batch or len(distinct)
        drawn: dict[Request, Picture] = {}
        with torch.inference_mode():
            for start in range(0, len(distinct), size):
                part = distinct[start : start + size]
                drawn.update(zip(part, self._finish(self._latents(part)), strict=True))
        return [drawn[request] for request in requests]

    def _latents(self, requests: Sequence[Request]) -> "torch.Tensor":
        """(batch, channels, height, width) float32: all together or, if the fine-tuning wants it so, by strength."""
        import torch

        noise = self._noise([item.seed for item in requests])
        if self.tuning.mixed:
            return self._sample(requests, noise)
        groups: dict[float, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(request.strength, []).append(place)
        latents = torch.empty_like(noise.start)
        for strength in sorted(groups, key=lambda strength: [strength] != self._strengths[:1]):  # as it stands, first
            places = groups[strength]
            latents[places] = self._sample([requests[place] for place in places], noise.some(places))
        return latents

    def _noise(self, seeds: Sequence[int]) -> Noise:
        unet = self.pipeline.unet
        side = self.manner.size // self.pipeline.vae_scale_factor
        return Noise(seeds, (unet.config.in_channels, side, side), self.scheduler, str(unet.device))

    def _sample(self, requests: Sequence[Request], noise: Noise) -> "torch.Tensor":
        return sample(self._predict(requests), self.scheduler, self.manner.steps, noise)

    def _predict(self, requests: Sequence[Request]) -> Predict:
        """The UNet's part, slab after slab."""
        import torch

        unet, guidance = self.pipeline.unet, self.manner.guidance
        strengths = [item.strength for item in requests]
        text = self._embeddings([(item.prompt, item.strength) for item in requests])
        empty = self._embeddings([(self.manner.negative_prompt, strength) for strength in strengths])
        calls = []
        for slab in slabs(len(requests), self.manner.slab):
            places = torch.tensor(slab.places, device=unet.device)
            rows = [strengths[place] for place in slab.places] * (2 if guidance > 1 else 1)
            calls.append((slab.count, places, rows, guided(unet, text[places], empty[places], guidance)))

        def predict(latents: "torch.Tensor", time: "torch.Tensor") -> "torch.Tensor":
            found = []
            for count, places, rows, call in calls:
                self._at(rows)
                with self._around():
                    found.append(call(latents[places], time)[:count])
            return torch.cat(found)

        return predict

    def _at(self, strengths: list[float]) -> None:
        """Set the strengths of the rows of the calls that follow: only if they change, for that waits for a GPU."""
        if strengths != self._strengths:
            self.tuning.at(strengths)
            self._strengths = strengths

    def _embeddings(self, wanted: Sequence[tuple[str, float]]) -> "torch.Tensor":
        """(batch, tokens, width), of (prompt, strength)"""
        import torch

        keys = [(prompt, strength if self.tuning.text else 0.0) for prompt, strength in wanted]
        for prompt, strength in dict.fromkeys(keys):
            if (prompt, strength) not in self._text:
                if self.tuning.text:
                    self._at([strength])
                self._text[prompt, strength] = encode_prompts(self.pipeline, [prompt])[prompt]
        return torch.cat([self._text[key] for key in keys])

    def _finish(self, latents: "torch.Tensor") -> list[Picture]:
        """Decode pictures; those that are not finite or show nothing are decoded once more in float32."""
        pictures = developed(self._decoder, list(latents))
        again = [place for place, picture in enumerate(pictures) if picture.failure]
        if again and self._decoder is not self.pipeline.vae:
            for place, picture in zip(again, developed(self.pipeline.vae, list(latents[again])), strict=True):
                pictures[place] = replace(picture, retried=True)
        return pictures


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
