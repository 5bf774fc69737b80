"""Draw the pictures of a chunk: every arm of its pairs from the same noise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dreamshot.params import Generate, ShotType
from stages.diffusion import Pipeline, Scheduler, Unet, encode_prompts, from_unit
from stages.generate.plan import Arm, Chunk
from stages.sampler import BrownianNoise, guided, sample, scheduler_for, start_noise

if TYPE_CHECKING:
    import torch

FLAT_LEVELS = 2  # a picture whose levels (0..255) span no more than this shows nothing


@dataclass(frozen=True)
class Noise:
    """The noise of a chunk's pictures: where they start, and their Brownian paths."""

    start: "torch.Tensor"
    path: BrownianNoise


def use(unet: Unet, shot_type: ShotType, arm: Arm) -> None:
    """Switch the UNet's adapters to what the arm needs; a strength is set, it multiplies nothing set before."""
    if not getattr(unet, "peft_config", None):
        return
    if arm.lora:
        unet.enable_lora()
        unet.set_adapters([shot_type], [arm.strength])
    else:
        unet.disable_lora()


def noise_for(pipeline: Pipeline, scheduler: Scheduler, seeds: Sequence[int], size: int) -> Noise:
    """The noise of pictures of side ``size`` with these seeds; the scheduler's time steps must be set."""
    side = size // pipeline.vae_scale_factor
    shape = (pipeline.unet.config.in_channels, side, side)
    device = str(pipeline.unet.device)
    return Noise(start_noise(seeds, shape).to(device), BrownianNoise(seeds, shape, scheduler.sigmas, device))


def decode(pipeline: Pipeline, latents: "torch.Tensor") -> "torch.Tensor":
    """Latents as the UNet knows them to pictures, (batch, height, width, 3) float32 in [0, 1], or NaN."""
    decoded = pipeline.vae.decode(from_unit(latents, pipeline.vae)).sample
    return (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu()


def to_pixels(picture: "torch.Tensor") -> tuple[np.ndarray, bool]:
    """(uint8 pixels, failed): a picture that is not finite, black or otherwise flat has failed."""
    levels = (picture * 255).round().nan_to_num(0.0).numpy().astype(np.uint8)
    levels = np.ascontiguousarray(levels)  # safetensors writes any other array scrambled, without a word
    failed = not bool(picture.isfinite().all()) or int(np.ptp(levels)) <= FLAT_LEVELS
    return levels, failed


class Artist:
    """Draws chunks with one base and its LoRAs; text is encoded once for a prompt."""

    def __init__(self, pipeline: Pipeline, params: Generate) -> None:
        self.pipeline = pipeline
        self.params = params
        self.scheduler = scheduler_for(pipeline.scheduler.config)
        self.scheduler.set_timesteps(params.steps)
        self.text: dict[str, torch.Tensor] = {}

    def embeddings(self, prompts: Sequence[str]) -> "torch.Tensor":
        """(batch, tokens, width)"""
        import torch

        self.text.update(encode_prompts(self.pipeline, [text for text in prompts if text not in self.text]))
        return torch.cat([self.text[text] for text in prompts])

    def draw(self, chunk: Chunk, arms: Sequence[Arm]) -> Iterator[tuple[str, np.ndarray, bool]]:
        """Yield (picture id, pixels, failed) of every arm of every pair in the chunk."""
        import torch

        noises: dict[tuple[int, ...], Noise] = {}
        text = self.embeddings([pair.prompt for pair in chunk.pairs])
        empty = self.embeddings([self.params.negative_prompt] * len(chunk.pairs))
        for arm in arms:
            seeds = tuple(pair.seed_of(arm) for pair in chunk.pairs)
            if seeds not in noises:
                noises[seeds] = noise_for(self.pipeline, self.scheduler, seeds, self.params.size)
            use(self.pipeline.unet, chunk.shot_type, arm)
            with torch.inference_mode():
                pictures = self._pictures(text, empty, noises[seeds])
            for pair, picture in zip(chunk.pairs, pictures, strict=True):
                yield pair.picture(arm), *to_pixels(picture)

    def _pictures(self, text: "torch.Tensor", empty: "torch.Tensor", noise: Noise) -> "torch.Tensor":
        predict = guided(self.pipeline.unet, text, empty, self.params.guidance)
        latents = sample(predict, self.scheduler, self.params.steps, noise.start, noise.path)
        return decode(self.pipeline, latents)
