"""The training loop. Whatever is random in step k is a function of (seed, k), so a resumed run is the same run.

Steps are counted from 0; after step k, k + 1 steps are done. All that a step draws is drawn for its whole batch at
once and then cut into equal pieces, for gradient accumulation and for several processes: the pictures, noises and time
steps of a step are the same however many pieces there are.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dreamshot.errors import StudyError
from dreamshot.models import torch_dtype
from dreamshot.params import Train
from stages.diffusion import Pipeline, Scheduler, prediction_type, to_unit
from stages.train.data import Cache, Data, Example
from stages.tuning import Weights

if TYPE_CHECKING:
    import torch

SeedOf = Callable[..., int]
HALVES = ("bfloat16", "float16")


@dataclass
class Log:
    """What has been measured: a loss a step, and the held-out loss by the number of steps done before it."""

    losses: list[float] = field(default_factory=list)
    held_out: dict[int, float] = field(default_factory=dict)


@dataclass
class Run:
    """A training run: the models, the examples, the parameters, and how far it has come.

    accelerator: accelerate's, for the device and the other processes. scaler: the loss's in float16. average: the
    weights' moving average, None without one.
    """

    pipeline: Pipeline
    scheduler: Scheduler
    weights: Weights
    optimizer: "torch.optim.Optimizer"
    scaler: "torch.amp.GradScaler"
    average: Any
    accelerator: Any
    data: Data
    cache: Cache
    params: Train
    seed_of: SeedOf
    log: Log = field(default_factory=Log)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.log.losses)


# --- what a step draws ---


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


@dataclass(frozen=True)
class Draw:
    """Examples with all that is random about them: latents and noise (batch, channels, height, width), time steps."""

    latents: "torch.Tensor"
    noise: "torch.Tensor"
    times: "torch.Tensor"
    prompts: list[str]

    def part(self, index: int, count: int) -> "Draw":
        """One of ``count`` equal parts."""
        size = len(self.prompts) // count
        here = slice(index * size, (index + 1) * size)
        return Draw(self.latents[here], self.noise[here], self.times[here], self.prompts[here])


def stacked(run: Run, examples: Sequence[Example]) -> "tuple[torch.Tensor, torch.Tensor]":
    """Mean and deviation of the examples' latents."""
    import torch

    mean = torch.stack([run.cache.mean[item.picture] for item in examples])
    return mean, torch.stack([run.cache.std[item.picture] for item in examples])


def offset_noise(noise: "torch.Tensor", offset: float, generator: "torch.Generator") -> "torch.Tensor":
    """The noise with a shift of each channel as a whole, drawn last: without it nothing else changes."""
    import torch

    if not offset:
        return noise
    return noise + offset * torch.randn((*noise.shape[:2], 1, 1), generator=generator)


def draw(run: Run, examples: Sequence[Example], seed: int) -> Draw:
    """Noise, time steps and dropped captions for these examples, float32, on the CPU, from one seed."""
    import torch

    mean, std = stacked(run, examples)
    generator = torch.Generator().manual_seed(seed)
    latents = to_unit(mean + std * torch.randn(mean.shape, generator=generator), run.pipeline.vae)
    noise = torch.randn(mean.shape, generator=generator)
    times = torch.randint(run.scheduler.config.num_train_timesteps, (len(examples),), generator=generator)
    dropped = (torch.rand(len(examples), generator=generator) < run.params.caption_dropout).tolist()
    prompts = ["" if drop else item.prompt for item, drop in zip(examples, dropped, strict=True)]
    return Draw(latents, offset_noise(noise, run.params.noise_offset, generator), times, prompts)


def drawn(run: Run, step: int) -> list[tuple[float, Draw]]:
    """(weight in the loss, examples) of a step: those of the shot type and, with prior preservation, class pictures."""
    kinds = [(1.0, "", run.data.train)]
    if run.data.prior:
        kinds.append((run.params.prior.weight, "prior ", run.data.prior))
    found = []
    for weight, kind, examples in kinds:

        def seed_of(name: str, number: int, kind: str = kind) -> int:
            return run.seed_of(kind + name, number)

        places = batch_of(step, run.params.batch, len(examples), seed_of)
        found.append((weight, draw(run, [examples[place] for place in places], seed_of("step", step))))
    return found


# --- the loss ---


def attention(run: Run) -> AbstractContextManager[Any]:
    """Plain attention in half precision on a CPU, where the fused one's backward pass is slower."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    plain = run.params.dtype in HALVES and run.pipeline.device.type == "cpu"
    return sdpa_kernel(SDPBackend.MATH) if plain else nullcontext()


def precision(run: Run) -> AbstractContextManager[Any]:
    """What the networks are called in: autocast in half precision, and attention that is fast there."""
    import torch

    if run.params.dtype not in HALVES:
        return nullcontext()
    stack = ExitStack()
    stack.enter_context(attention(run))
    stack.enter_context(torch.autocast(run.pipeline.device.type, dtype=torch_dtype(run.params.dtype)))
    return stack


def text(run: Run, prompts: list[str]) -> "torch.Tensor":
    """(batch, tokens, width): from the cache, or from the text encoder where it learns."""
    import torch

    if run.cache.text:
        return torch.stack([run.cache.text[prompt] for prompt in prompts]).to(run.pipeline.device)
    return run.pipeline.encode_prompt(prompts, run.pipeline.device, 1, False)[0]


def target(run: Run, item: Draw) -> "torch.Tensor":
    """What the UNet is to predict."""
    if prediction_type(run.scheduler.config) == "v_prediction":
        return run.scheduler.get_velocity(item.latents, item.noise, item.times)
    return item.noise


def errors(run: Run, item: Draw) -> "torch.Tensor":
    """(batch,) the mean squared error of the UNet's prediction for each example."""
    device, dtype = run.pipeline.device, run.pipeline.unet.conv_in.weight.dtype
    noisy = run.scheduler.add_noise(item.latents, item.noise, item.times)
    with precision(run):
        found = run.pipeline.unet(
            noisy.to(device, dtype), item.times.to(device), text(run, item.prompts).to(dtype)
        ).sample
    return (found.float() - target(run, item).to(device)).square().mean(dim=(1, 2, 3))


def loss_weights(run: Run, times: "torch.Tensor") -> "torch.Tensor":
    """(batch,) the weight of each time step: min-SNR (Hang et al. 2023), or 1 where ``min_snr_gamma`` is 0."""
    import torch
    from diffusers.training_utils import compute_snr

    gamma = run.params.min_snr_gamma
    if not gamma:
        return torch.ones(len(times), device=run.pipeline.device)
    snr = compute_snr(run.scheduler, times)
    velocity = prediction_type(run.scheduler.config) == "v_prediction"
    return (snr.clamp(max=gamma) / (snr + 1 if velocity else snr)).to(run.pipeline.device)


def loss_of(run: Run, step: int, index: int = 0, count: int = 1) -> "torch.Tensor":
    """The loss of one of ``count`` equal pieces of a step; the step's is their mean."""
    import torch

    parts = [(weight, whole.part(index, count)) for weight, whole in drawn(run, step)]
    losses = [weight * (errors(run, item) * loss_weights(run, item.times)).mean() for weight, item in parts]
    return torch.stack(losses).sum()


# --- a step ---


def learning_rate(step: int, peak: float, params: Train) -> float:
    """Linear warm-up over ``warmup`` steps, then constant, or falling to 0 by a line or half a cosine."""
    rising = min(1.0, (step + 1) / (params.warmup + 1))
    done = min(1.0, max(0.0, (step - params.warmup) / max(1, params.steps - params.warmup)))
    falling = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[params.schedule]
    return peak * rising * falling


def optimizer_of(weights: Weights, params: Train) -> "torch.optim.Optimizer":
    """The optimiser, with a group of weights for each network; ``peak`` is what a group's learning rate rises to."""
    import torch

    parts = {"unet.": params.learning_rate, "text_encoder.": params.text_encoder.learning_rate}
    if params.method == "textual_inversion":
        parts["text_encoder."] = params.learning_rate
    groups: list[dict[str, Any]] = [
        {"params": [weight for name, weight in weights.items() if name.startswith(prefix)], "lr": peak, "peak": peak}
        for prefix, peak in parts.items()
    ]
    kind = {"adamw": torch.optim.AdamW, "adafactor": torch.optim.Adafactor}[params.optimizer]
    return kind([group for group in groups if group["params"]], weight_decay=params.weight_decay)


def backward(run: Run) -> float:
    """Compute this process's pieces of the step, add their gradients, and take the mean over all processes."""
    world, here = run.accelerator.num_processes, run.accelerator.process_index
    own, total = run.params.accumulate, 0.0
    for piece in range(own):
        loss = loss_of(run, run.step, here * own + piece, world * own) / own
        with attention(run):  # gradient checkpointing computes again here, and must do as it did
            run.scaler.scale(loss).backward()
        total += float(loss.detach())
    if world > 1:
        import torch

        for weight in run.weights.values():
            if weight.grad is not None:
                weight.grad = run.accelerator.reduce(weight.grad, reduction="mean")
        total = float(run.accelerator.reduce(torch.tensor(total, device=run.pipeline.device), reduction="mean"))
    return total


def train_step(run: Run) -> None:
    """One step of the optimiser; the loss joins the log."""
    import torch

    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run.step, group["peak"], run.params)
    value = backward(run)
    if not math.isfinite(value):
        raise StudyError(f"train: the loss is {value} at step {run.step}; lower train.learning_rate")
    run.scaler.unscale_(run.optimizer)
    torch.nn.utils.clip_grad_norm_(list(run.weights.values()), run.params.max_grad_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.optimizer.zero_grad(set_to_none=True)
    if run.average is not None:
        run.average.step(run.weights.values())
    run.log.losses.append(value)


@contextmanager
def averaged(run: Run) -> Iterator[None]:
    """The pipeline with the weights' moving average, where one is kept."""
    if run.average is None:
        yield
        return
    weights = list(run.weights.values())
    run.average.store(weights)
    run.average.copy_to(weights)
    try:
        yield
    finally:
        run.average.restore(weights)


def train(run: Run, look: Callable[[Run], None], keep: Callable[[Run], None], tick: Callable[[Run], None]) -> None:
    """Train to ``params.steps``: look at it every so often, keep a checkpoint every so often, tick after each step."""
    every = run.params.validation.every
    while run.step < run.params.steps:
        if run.step % every == 0:
            look(run)
        train_step(run)
        tick(run)
        if run.step % run.params.checkpoint_every == 0 or run.step == run.params.steps:
            keep(run)
    look(run)
