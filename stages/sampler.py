"""DPM++ SDE Karras, the paper's sampler: k-diffusion's ``sample_dpmpp_sde`` (eta 1, r 1/2) on Karras sigmas.

Taken from diffusers (``DPMSolverSDEScheduler``); this module owns its loop and its noise. A run of N steps
evaluates the UNet 2N - 1 times. State and noise are float32 whatever the UNet's dtype.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stages.diffusion import Scheduler, Unet

if TYPE_CHECKING:
    import torch

Predict = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def scheduler_for(config: Any) -> Scheduler:
    """The sampler for a base, from the configuration of whatever scheduler the base came with."""
    from diffusers import DPMSolverSDEScheduler

    return DPMSolverSDEScheduler.from_config(config, use_karras_sigmas=True, timestep_spacing="linspace")


def start_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> "torch.Tensor":
    """Unit noise, (batch, *shape), float32: each picture's from its own generator on the CPU."""
    import torch

    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


class BrownianNoise:
    """The noise of the steps: one Brownian path over sigma for each picture, from its own seed.

    The values are those of diffusers with a list of seeds as ``noise_sampler_seed``. Two things are added: every
    increment is computed once, however many arms of a pair ask for it, and the tree keeps all of its nodes, which
    spares two thirds of the draws.
    """

    def __init__(
        self, seeds: Sequence[int], shape: tuple[int, ...], sigmas: "torch.Tensor", device: str = "cpu"
    ) -> None:
        """``sigmas``: the sampler's, ending in 0. ``shape``: one picture's latents."""
        import torch
        import torchsde

        low, high = sigmas[sigmas > 0].min().item(), sigmas.max().item()
        self._trees = [
            torchsde.BrownianInterval(
                t0=low, t1=high, size=shape, dtype=torch.float32, device="cpu", entropy=seed, tol=1e-6,
                pool_size=24, cache_size=None, halfway_tree=True,
            )
            for seed in seeds
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
            return -torch.stack([tree(low, high) for tree in self._trees])


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


def sample(predict: Predict, scheduler: Scheduler, steps: int, start: "torch.Tensor", noise: Any) -> "torch.Tensor":
    """Latents from unit noise ``start``; ``noise(sigma, sigma_next)`` drives the steps."""
    scheduler.set_timesteps(steps, device=start.device)
    scheduler.noise_sampler = noise  # after set_timesteps, which clears it
    latents = start * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        predicted = predict(scheduler.scale_model_input(latents, time), time)
        latents = scheduler.step(predicted, time, latents).prev_sample
    return latents
