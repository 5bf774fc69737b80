"""How pictures come from noise. DPM++ SDE Karras is the paper's sampler: k-diffusion's ``sample_dpmpp_sde`` (eta 1,
r 1/2) on Karras sigmas.

The steps are diffusers' own (``DPMSolverSDEScheduler``, or another scheduler by name); this module owns the loop and
the noise. A run of N steps of DPM++ SDE evaluates the UNet 2N - 1 times. State and noise are float32 whatever the
UNet's dtype, and every picture's noise comes from its own seed.
"""

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dreamshot.samplers import SAMPLERS, SamplerName
from dreamshot.seeds import digest, seed
from stages.diffusion import Scheduler

if TYPE_CHECKING:
    import torch

Predict = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def scheduler_for(config: Any, name: SamplerName = "DPM++ SDE Karras") -> Scheduler:
    """The sampler for a base, from the configuration of whatever scheduler the base came with."""
    import diffusers

    chosen = SAMPLERS[name]
    return getattr(diffusers, chosen.scheduler).from_config(config, **chosen.settings)


def schedule_hash(scheduler: Scheduler) -> str:
    """SHA-256 (hex) of the sigmas (of the time steps where a sampler has none) of a scheduler that has its steps."""
    schedule = getattr(scheduler, "sigmas", scheduler.timesteps)
    return digest(schedule.double().cpu().numpy().tobytes())


def start_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> "torch.Tensor":
    """Unit noise, (batch, *shape), float32: each picture's from its own generator on the CPU."""
    import torch

    known = {
        number: torch.randn(shape, generator=torch.Generator().manual_seed(number)) for number in dict.fromkeys(seeds)
    }
    return torch.stack([known[number] for number in seeds])


class BrownianNoise:
    """The noise of the steps: one Brownian path over sigma for each picture, from its own seed.

    The values are those of diffusers with a list of seeds as ``noise_sampler_seed``. Two things are added: every
    increment is computed once, however many pictures have its seed, and the tree keeps all of its nodes, which
    spares two thirds of the draws.
    """

    def __init__(
        self, seeds: Sequence[int], shape: tuple[int, ...], sigmas: "torch.Tensor", device: str = "cpu"
    ) -> None:
        """``sigmas``: the sampler's, ending in 0. ``shape``: one picture's latents."""
        import torch
        import torchsde

        low, high = sigmas[sigmas > 0].min().item(), sigmas.max().item()
        distinct = list(dict.fromkeys(seeds))
        self._rows = torch.tensor([distinct.index(seed) for seed in seeds])
        self._trees = [
            torchsde.BrownianInterval(
                t0=low, t1=high, size=shape, dtype=torch.float32, device="cpu", entropy=seed, tol=1e-6,
                pool_size=24, cache_size=None, halfway_tree=True,
            )
            for seed in distinct
        ]  # fmt: skip
        self._device = device
        self._known: dict[tuple[float, float], torch.Tensor] = {}

    def __call__(self, sigma: "torch.Tensor", sigma_next: "torch.Tensor") -> "torch.Tensor":
        """The increment from ``sigma`` down to ``sigma_next``, scaled to unit variance: (batch, *shape)."""
        key = (sigma.item(), sigma_next.item())
        if key not in self._known:
            self._known[key] = self._increment(*key).to(self._device) / (sigma_next - sigma).abs().sqrt()
        return self._known[key]

    def _increment(self, high: float, low: float) -> "torch.Tensor":
        """W(low) - W(high).

        torchsde rounds the ends of its interval to ``tol``: the lowest sigma, 0.0291675, is asked of a tree that
        begins at 0.029168. It moves the query there, 5e-7 off in 0.02, and warns; that warning is silenced.
        """
        import torch

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"Should have t[ab][<>]=t[01] but got")
            return -torch.stack([tree(low, high) for tree in self._trees])[self._rows]


class Noise:
    """The noise of some pictures, each from its own seed: where they start, and what drives their steps."""

    def __init__(self, seeds: Sequence[int], shape: tuple[int, ...], scheduler: Scheduler, device: str = "cpu") -> None:
        """``scheduler`` has its steps. ``shape``: one picture's latents. Pictures of one seed share their noise."""
        self.start = start_noise(seeds, shape).to(device)
        self._seeds = list(seeds)
        self._brownian: BrownianNoise | None = None
        if hasattr(scheduler, "noise_sampler"):
            self._brownian = BrownianNoise(seeds, shape, scheduler.sigmas, device)

    def drive(self, scheduler: Scheduler) -> dict[str, Any]:
        """Give the noise to a scheduler that has just been given its steps; returns what each step wants besides."""
        import torch

        if self._brownian is not None:
            scheduler.noise_sampler = self._brownian
        if "generator" not in inspect.signature(scheduler.step).parameters:
            return {}
        return {"generator": [torch.Generator().manual_seed(seed(number, "steps")) for number in self._seeds]}


def sample(predict: Predict, scheduler: Scheduler, steps: int, noise: Noise) -> "torch.Tensor":
    """Latents, (batch, *shape) float32, from the noise; ``predict`` is the UNet with its guidance."""
    scheduler.set_timesteps(steps, device=noise.start.device)
    more = noise.drive(scheduler)
    latents = noise.start * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        predicted = predict(scheduler.scale_model_input(latents, time), time)
        latents = scheduler.step(predicted, time, latents, **more).prev_sample
    return latents
