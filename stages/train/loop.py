"""The training loop. Whatever is random in step k is a function of (seed, k), so a resumed run is the same run.

Steps are counted from 0; after step k, k + 1 steps are done.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamshot.errors import StudyError
from dreamshot.models import torch_dtype
from dreamshot.params import Train
from dreamshot.work import write_atomic
from stages.diffusion import Scheduler, Unet, Vae, prediction_type, to_unit
from stages.train.data import Cache, Example

if TYPE_CHECKING:
    import torch

SeedOf = Callable[..., int]


@dataclass
class Run:
    """A training run: the models, the examples, the parameters, and how far it has come."""

    unet: Unet
    vae: Vae
    scheduler: Scheduler
    weights: "dict[str, torch.nn.Parameter]"
    optimizer: "torch.optim.Optimizer"
    examples: Sequence[Example]
    cache: Cache
    params: Train
    seed_of: SeedOf
    losses: list[float] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.losses)


def optimizer_of(weights: "dict[str, torch.nn.Parameter]", params: Train) -> "torch.optim.Optimizer":
    import torch

    return torch.optim.AdamW(weights.values(), lr=params.learning_rate, weight_decay=params.weight_decay)


def learning_rate(step: int, params: Train) -> float:
    """Linear warm-up over ``warmup`` steps, then constant."""
    return params.learning_rate * min(1.0, (step + 1) / (params.warmup + 1))


def order(epoch: int, count: int, seed_of: SeedOf) -> list[int]:
    """The order of the examples in one epoch."""
    import torch

    generator = torch.Generator().manual_seed(seed_of("epoch", epoch))
    return torch.randperm(count, generator=generator).tolist()


def batch_of(step: int, batch: int, count: int, seed_of: SeedOf) -> list[int]:
    """Which examples step ``step`` sees: its window in the endless row of the epochs."""
    places = range(step * batch, (step + 1) * batch)
    orders = {epoch: order(epoch, count, seed_of) for epoch in {place // count for place in places}}
    return [orders[place // count][place % count] for place in places]


def inputs(run: Run, step: int) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]":
    """(latents, noise, time steps, text) of a step, float32, on the CPU: all that is random is drawn here."""
    import torch

    examples = [run.examples[i] for i in batch_of(step, run.params.batch, len(run.examples), run.seed_of)]
    mean = torch.stack([run.cache.mean[item.frame] for item in examples])
    std = torch.stack([run.cache.std[item.frame] for item in examples])
    generator = torch.Generator().manual_seed(run.seed_of("step", step))
    latents = to_unit(mean + std * torch.randn(mean.shape, generator=generator), run.vae)
    noise = torch.randn(mean.shape, generator=generator)
    times = torch.randint(run.scheduler.config.num_train_timesteps, (len(examples),), generator=generator)
    dropped = (torch.rand(len(examples), generator=generator) < run.params.caption_dropout).tolist()
    prompts = ["" if drop else item.prompt for item, drop in zip(examples, dropped, strict=True)]
    text = torch.stack([run.cache.text[prompt] for prompt in prompts])
    return latents, noise, times, text


def target(run: Run, latents: "torch.Tensor", noise: "torch.Tensor", times: "torch.Tensor") -> "torch.Tensor":
    """What the UNet is to predict."""
    if prediction_type(run.scheduler.config) == "v_prediction":
        return run.scheduler.get_velocity(latents, noise, times)
    return noise


def attention(device: "torch.device", mixed: bool) -> AbstractContextManager[None]:
    """Plain attention for bfloat16 on a CPU, where the fused one's backward pass takes 20 times as long."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if mixed and device.type == "cpu" else nullcontext()


def loss_weights(run: Run, times: "torch.Tensor") -> "torch.Tensor":
    """(batch,) the weight of each time step: min-SNR (Hang et al. 2023), or 1 where ``min_snr_gamma`` is 0."""
    import torch
    from diffusers.training_utils import compute_snr

    gamma = run.params.min_snr_gamma
    if not gamma:
        return torch.ones(len(times), device=times.device)
    snr = compute_snr(run.scheduler, times)
    velocity = prediction_type(run.scheduler.config) == "v_prediction"
    return snr.clamp(max=gamma) / (snr + 1 if velocity else snr)


def loss_of(run: Run, step: int) -> "torch.Tensor":
    """The weighted mean squared error of the UNet's prediction in one step."""
    import torch

    device, dtype = run.unet.device, torch_dtype(run.params.dtype)
    latents, noise, times, text = (tensor.to(device) for tensor in inputs(run, step))
    noisy = run.scheduler.add_noise(latents, noise, times).to(dtype)
    mixed = dtype == torch.bfloat16
    with attention(device, mixed), torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed):
        predicted = run.unet(noisy, times, text.to(dtype)).sample
    errors = (predicted.float() - target(run, latents, noise, times)).square().mean(dim=(1, 2, 3))
    return (errors * loss_weights(run, times)).mean()


def train_step(run: Run) -> None:
    """One step of the optimiser; the loss joins ``run.losses``."""
    import torch

    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run.step, run.params)
    loss = loss_of(run, run.step)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise StudyError(f"train: the loss is {value} at step {run.step}; lower train.learning_rate")
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(run.weights.values()), run.params.max_grad_norm)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.losses.append(value)


def save_checkpoint(run: Run, path: Path) -> None:
    """Write weights, the optimiser's moments and the losses so far, by one atomic rename."""
    import torch
    from safetensors.torch import save

    tensors = {"losses": torch.tensor(run.losses, dtype=torch.float64)}
    for name, weight in run.weights.items():
        state = run.optimizer.state[weight]
        tensors[f"weight/{name}"] = weight.detach()
        tensors[f"mean/{name}"], tensors[f"square/{name}"] = state["exp_avg"], state["exp_avg_sq"]
    write_atomic(path, save({key: tensor.cpu().contiguous() for key, tensor in tensors.items()}))


def load_checkpoint(run: Run, path: Path) -> None:
    """Put the run where the checkpoint left it."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(path)
    run.losses = tensors["losses"].tolist()
    for name, weight in run.weights.items():
        weight.data.copy_(tensors[f"weight/{name}"])
        state: dict[str, Any] = {"step": torch.tensor(float(run.step))}
        state["exp_avg"] = tensors[f"mean/{name}"].to(weight.device)
        state["exp_avg_sq"] = tensors[f"square/{name}"].to(weight.device)
        run.optimizer.state[weight] = state


def train(run: Run, checkpoint: Path, on_step: Callable[[Run], None] = lambda run: None) -> None:
    """Train to ``params.steps``, from the checkpoint if there is one, writing it every so many steps."""
    if checkpoint.is_file():
        load_checkpoint(run, checkpoint)
    while run.step < run.params.steps:
        train_step(run)
        on_step(run)
        if run.step % run.params.checkpoint_every == 0 or run.step == run.params.steps:
            save_checkpoint(run, checkpoint)
