"""Train the demo's autoencoder, an ``AutoencoderKL`` with an eightfold reduction.

    python -m demo.train_autoencoder

Faces and clothes fill few pixels of a long shot, so errors on the figure count more than those on the place;
where the figure stands is known in the embedded world. The network has no attention, so most steps see a quarter of a
picture, at a quarter of the price; the last ones see whole pictures. Three courses follow each other: one over
everything; one that looks at heads more often than not, for they are what the first leaves blurred; and one of the
decoder alone, which leaves the latents as they are, so that a base trained on them needs no other.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from demo.data import Frames, load_split
from dreamshot.work import write_atomic

OUT = Path("demo/models/base/vae")
BATCH = 8
CROP = 64
WARMUP = 100
EMA_DECAY = 0.995
START_LOG_VARIANCE = -6.0
KL_WEIGHT = 1e-6
FIGURE_WEIGHT, HEAD_WEIGHT = 2.0, 4.0
LATENT_CHANNELS = 8
VALID_EVERY = 1000


@dataclass(frozen=True)
class Course:
    """One descent of the learning rate from ``rate`` to zero."""

    seed: int
    steps: int
    whole_steps: int  # the last ones, on whole pictures
    rate: float
    on_heads: float = 0.0  # the share of windows that hold the head's middle; the others lie anywhere
    decoder_only: bool = False


COURSES = (
    Course(seed=11, steps=6000, whole_steps=400, rate=1.2e-3),
    Course(seed=13, steps=6000, whole_steps=200, rate=1e-3, on_heads=0.6),
    Course(seed=17, steps=4500, whole_steps=0, rate=8e-4, on_heads=0.6, decoder_only=True),
)


def make_autoencoder() -> AutoencoderKL:
    """The model with random weights: 128 x 128 x 3 <-> 16 x 16 x 8.

    The posterior starts narrow: at the usual unit variance its noise drowns the picture for hundreds of steps.
    """
    channels = (32, 64, 128, 128)
    model = AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
    )
    torch.nn.init.constant_(model.quant_conv.bias[LATENT_CHANNELS:], START_LOG_VARIANCE)
    return model


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def weight_maps(frames: Frames, rows: np.ndarray) -> torch.Tensor:
    """(B, 1, 128, 128): 1 on the place, more on the figure, most on the head."""
    side = frames.pixels.shape[1]
    maps = torch.ones(len(rows), 1, side, side)
    for name, weight in (("subject", FIGURE_WEIGHT), ("head", HEAD_WEIGHT)):
        boxes = frames.truth.iloc[rows][[f"{name}_{axis}" for axis in ("x0", "y0", "x1", "y1")]].to_numpy()
        for weights, (x0, y0, x1, y1) in zip(maps, boxes.clip(0, side).round().astype(int), strict=True):
            weights[:, y0:y1, x0:x1] = weight
    return maps / maps.mean(dim=(2, 3), keepdim=True)


def gradients(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def reconstruction_loss(y: torch.Tensor, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """L1 of the pixels weighted by place, of their differences (edges), and of means over 8 x 8 pixels (colours)."""
    edges = [F.l1_loss(a, b) for a, b in zip(gradients(y), gradients(x), strict=True)]
    colours = F.l1_loss(F.avg_pool2d(y, 8), F.avg_pool2d(x, 8))
    return ((y - x).abs() * weights).mean() + sum(edges, torch.zeros(())) + colours


def corner(box: np.ndarray, rng: np.random.Generator, on_head: bool, side: int) -> tuple[int, int]:
    """Top and left of a window of CROP pixels: anywhere, or where it holds the middle of the head's box."""
    last = side - CROP
    if not on_head:
        top, left = rng.integers(last + 1, size=2)
        return int(top), int(left)
    x, y = (box[:2] + box[2:]) / 2
    top, left = (int(np.clip(middle - rng.uniform(0.15, 0.85) * CROP, 0, last)) for middle in (y, x))
    return top, left


def batch(
    frames: Frames, rng: np.random.Generator, whole: bool, on_heads: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (B, 3, s, s) and their weights (B, 1, s, s), whole or windows of CROP pixels, half of them mirrored."""
    rows = rng.integers(len(frames.pixels), size=BATCH)
    both = torch.cat([to_tensor(frames.pixels[rows]), weight_maps(frames, rows)], dim=1)
    if not whole:
        boxes = frames.truth.iloc[rows][["head_x0", "head_y0", "head_x1", "head_y1"]].to_numpy()
        corners = [corner(box, rng, rng.random() < on_heads, both.shape[-1]) for box in boxes]
        both = torch.stack([one[:, top : top + CROP, left : left + CROP]
                            for one, (top, left) in zip(both, corners, strict=True)])  # fmt: skip
    mirrored = torch.from_numpy(rng.random(BATCH) < 0.5).view(-1, 1, 1, 1)
    both = torch.where(mirrored, both.flip(3), both)
    return both[:, :3].contiguous(memory_format=torch.channels_last), both[:, 3:]


def psnr(model: AutoencoderKL, frames: Frames, count: int = 64) -> float:
    """Peak signal-to-noise ratio in dB of reconstructions from the posterior's mean, mean over pictures."""
    rows = np.linspace(0, len(frames.pixels) - 1, count).astype(int)
    x = to_tensor(frames.pixels[rows])
    with torch.inference_mode():
        y = model.decode(model.encode(x).latent_dist.mean).sample.clamp(-1, 1)
    mse = ((y - x) / 2).square().mean(dim=(1, 2, 3))
    return float((-10 * mse.log10()).mean())


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to zero; a factor of the course's rate."""
    ramp = min(1.0, (step + 1) / WARMUP)
    return ramp * 0.5 * (1 + float(np.cos(np.pi * step / steps)))


def calibrate(model: AutoencoderKL, frames: Frames) -> None:
    """Set the scaling factor that gives the latents unit variance, as Stable Diffusion's own was."""
    rows = np.linspace(0, len(frames.pixels) - 1, 512).astype(int)
    with torch.inference_mode():
        latents = torch.cat([model.encode(to_tensor(frames.pixels[part])).latent_dist.mean
                             for part in np.array_split(rows, 16)])  # fmt: skip
    model.register_to_config(scaling_factor=round(1 / float(latents.std()), 5))


def save(model: AutoencoderKL, frames: Frames, out: Path) -> None:
    """Calibrate a copy and write it in half precision."""
    copy = make_autoencoder()
    copy.load_state_dict(model.state_dict())
    calibrate(copy.eval(), frames)
    copy.half().save_pretrained(out)


def train_step(model: AutoencoderKL, optimizer: torch.optim.Optimizer, x: torch.Tensor, weights: torch.Tensor) -> float:
    """One step; returns the loss."""
    with torch.autocast("cpu", torch.bfloat16):
        posterior = model.encode(x).latent_dist
        y = model.decode(posterior.sample()).sample
    loss = reconstruction_loss(y.float(), x, weights) + KL_WEIGHT * posterior.kl().float().mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def train(frames: Frames, valid: Frames, out: Path, course: Course, start: Path | None = None) -> None:
    """Run a course from its seed, or from the model in ``start``; write the model and ``log.csv`` into ``out``.

    A line of the log holds the course's seed, step, loss and PSNR on ``valid`` in dB.
    """
    torch.manual_seed(course.seed)
    rng = np.random.default_rng(course.seed)
    model = make_autoencoder()
    if start is not None:
        model.load_state_dict(AutoencoderKL.from_pretrained(start).state_dict())
    if course.decoder_only:
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    model.to(memory_format=torch.channels_last)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))
    optimizer = torch.optim.AdamW(model.parameters(), course.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(learning_rate, steps=course.steps))
    out.mkdir(parents=True, exist_ok=True)
    log = out / "log.csv"
    lines = log.read_text().splitlines() if start == out else ["seed,step,loss,psnr_valid"]
    bar = tqdm(range(1, course.steps + 1), desc="autoencoder", unit="step")
    for step in bar:
        whole = step > course.steps - course.whole_steps
        loss = train_step(model, optimizer, *batch(frames, rng, whole, course.on_heads))
        schedule.step()
        average.update_parameters(model)
        if step % VALID_EVERY == 0 or step == course.steps:
            decibel = psnr(average.module, valid)
            bar.set_postfix(loss=f"{loss:.4f}", psnr=f"{decibel:.2f}")
            lines.append(f"{course.seed},{step},{loss:.5f},{decibel:.3f}")
            write_atomic(log, ("\n".join(lines) + "\n").encode())
            save(average.module, frames, out)


def main() -> None:
    """Run the courses one after the other."""
    frames, valid = load_split("train"), load_split("valid")
    for index, course in enumerate(COURSES):
        train(frames, valid, OUT, course, start=OUT if index else None)


if __name__ == "__main__":
    main()
