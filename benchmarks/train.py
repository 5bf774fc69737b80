"""A LoRA's training: this project's loop beside the plain one, which encodes picture and text at every step.

    python -m benchmarks.train [--steps 20] [--batch 16] [--true-size] [--dtype float32 bfloat16]

Both train on the same pictures with the same captions, order, noises and time steps, from the same weights of the
demo's study (with --true-size, random weights of Stable Diffusion 1.5's size, see benchmarks.random_base), the same
optimiser, batch, precision and number of threads, in one run. The plain loop is that of diffusers' examples: the
autoencoder and the text encoder are in the precision of training and are asked at every step, and torch chooses
attention and kernels as it likes, where ours must repeat itself to the bit.

Printed: seconds a step after the first, the once-only time of filling the cache, the ratio of the steps, that of a
whole run of as many steps as the profile has with the cache counted in, and how far the losses are apart.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.study import RANDOM_BASE, ROOT, arguments_of, machine, study
from dreamshot.models import device, load_base, model_hash, torch_dtype
from dreamshot.params import Dtype, Profile, ShotType
from dreamshot.provenance import threads
from dreamshot.seeds import seed
from stages.diffusion import reproducible, to_unit
from stages.train import __main__ as stage
from stages.train import loop
from stages.train.data import Data, Example, cached, read_data, to_tensor
from stages.tuning import lora

SHOT_TYPE: ShotType = "close"


class Plain:
    """The loop as diffusers' examples have it, with the draws of ours."""

    def __init__(self, params: Profile, data: Data) -> None:
        import torch
        from diffusers import DDPMScheduler

        self.params, self.data, self.losses = params, data, []  # type: tuple[Profile, Data, list[float]]
        self.dtype = torch_dtype(params.train.dtype)
        self.pipeline: Any = load_base(params.models.base)
        for network in (self.pipeline.unet, self.pipeline.vae, self.pipeline.text_encoder):
            torch.nn.Module.to(network, self.dtype)
        self.scheduler = DDPMScheduler.from_config(self.pipeline.scheduler.config)
        weights = lora.begin(self.pipeline, SHOT_TYPE, params.train, self.seed_of("init"))
        self.weights = list(weights.values())
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=params.train.learning_rate, weight_decay=params.train.weight_decay
        )

    def seed_of(self, *names: str | int) -> int:
        return seed(self.params.seed, "train", SHOT_TYPE, *names)

    def encode(self, examples: Sequence[Example], dropped: list[bool]) -> tuple[Any, Any]:
        """(posterior, text embeddings)"""
        import torch

        pixels = to_tensor([self.data.pixels[item.picture]() for item in examples])
        prompts = ["" if drop else item.prompt for item, drop in zip(examples, dropped, strict=True)]
        with torch.no_grad():
            posterior = self.pipeline.vae.encode(pixels.to(self.pipeline.device, self.dtype)).latent_dist
            text = self.pipeline.encode_prompt(prompts, self.pipeline.device, 1, False)[0]
        return posterior, text

    def loss(self, step: int) -> Any:
        """The loss of a step; each random number is drawn as ours is."""
        import torch

        settings = self.params.train
        places = loop.batch_of(step, settings.batch, len(self.data.train), self.seed_of)
        examples = [self.data.train[place] for place in places]
        generator = torch.Generator().manual_seed(self.seed_of("step", step))
        side = self.data.pixels[examples[0].picture]().shape[0] // self.pipeline.vae_scale_factor
        shape = (len(examples), self.pipeline.unet.config.in_channels, side, side)
        spread, noise = (torch.randn(shape, generator=generator).to(self.pipeline.device) for _ in range(2))
        times = torch.randint(1000, (len(examples),), generator=generator).to(self.pipeline.device)
        dropped = (torch.rand(len(examples), generator=generator) < settings.caption_dropout).tolist()
        posterior, text = self.encode(examples, dropped)
        latents = to_unit(posterior.mean.float() + posterior.std.float() * spread, self.pipeline.vae)
        noisy = self.scheduler.add_noise(latents, noise, times).to(self.dtype)
        half = self.dtype != torch.float32
        with torch.autocast(self.pipeline.device.type, dtype=self.dtype, enabled=half):
            found = self.pipeline.unet(noisy, times, text.to(self.dtype)).sample
        return (found.float() - noise).square().mean()

    def step(self) -> None:
        """One step of the optimiser."""
        import torch

        number = len(self.losses)
        for group in self.optimizer.param_groups:
            group["lr"] = loop.learning_rate(number, self.params.train.learning_rate, self.params.train)
        loss = self.loss(number)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, self.params.train.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.losses.append(float(loss.detach()))


def timed(step: Callable[[], None], count: int) -> float:
    """Seconds a step, of ``count`` steps after a first that is not counted."""
    step()
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count


def filling_time(params: Profile, data: Data) -> float:
    """Seconds to fill the cache with these examples, the base being loaded."""
    from accelerate import Accelerator

    pipeline = load_base(params.models.base)
    start = time.perf_counter()
    cached(lambda: pipeline, data, model_hash("base"), True, Accelerator())
    return time.perf_counter() - start


def measure(given: argparse.Namespace, dtype: Dtype) -> None:
    """Both ways in one precision."""
    import torch
    from accelerate import Accelerator

    base = RANDOM_BASE if given.true_size else ROOT / "demo/models/base"
    profile, side = ("paper", 512) if given.true_size else ("demo", 128)
    none = {"every": 1, "frames": 0, "draws": 1, "pictures": 0}
    train = {"dtype": dtype, "batch": given.batch, "min_snr_gamma": 0.0, "validation": none}
    with study(profile, base, side, given.batch, {"train": train}) as params:
        data = read_data(params, SHOT_TYPE)
        once = filling_time(params, data)
        reproducible(threads())
        run = stage.prepare(params, SHOT_TYPE, data, Accelerator())
        ours = timed(partial(loop.train_step, run), given.steps)
        mine = run.log.losses
        del run
        torch.use_deterministic_algorithms(False)
        other = Plain(params, data)
        plain = timed(other.step, given.steps)
        whole = params.train.steps
        filling = once * params.select.train / given.batch
    apart = max(abs(a - b) / b for a, b in zip(mine, other.losses, strict=True))
    print(
        f"{dtype:<9} batch {given.batch:>3}  ours {ours:7.3f} s a step  plain {plain:7.3f}  ratio {plain / ours:5.2f}  "
        f"cache {filling:5.0f} s  whole run {plain * whole / (ours * whole + filling):5.2f}  "
        f"losses at most {100 * apart:.2f}% apart",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    given = arguments_of(__doc__, arguments, steps=20, batch=16)
    print(machine())
    print(f"{given.steps} steps after the first, on {device()}, {threads()} threads", flush=True)
    for dtype in given.dtype:
        measure(given, dtype)


if __name__ == "__main__":
    main()
