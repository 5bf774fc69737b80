"""Train the demo's base model: the UNet and the text tower of a small Stable Diffusion.

    python -m demo.train_base

Its captions never name a shot type and most of its pictures are medium shots, so it learns to draw what a
caption says and nothing about shot scale. The autoencoder must be there already.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DPMSolverSDEScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from tokenizers import pre_tokenizers, trainers
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from demo import learn
from demo.data import Frames, load_split
from demo.train_autoencoder import to_tensor
from dreamshot.work import write_atomic

OUT = Path("demo/models/base")
SEED = 12
STEPS = 2600
BATCH = 64
PICTURES = 15_000  # of the training frames, those of the first 200 films
LEARNING_RATE = 1e-3
WARMUP = 100
EMA_DECAY = 0.995
MIN_SNR = 5.0
DROPOUT = 0.1
TYPE_SHARES = {"close": 0.2, "medium": 0.6, "long": 0.2}
MERGES = 400
SAVE_EVERY = 200

PREFIXES = ("a high-quality picture of {}", "a picture of {}", "{}")
FILLED = "a high-quality {} picture of {}"  # with a word that means nothing: prompts may hold unknown ones
LETTERS = "abcdefghijklmnopqrstuvwxyz_-"


def train_tokenizer(captions: list[str]) -> CLIPTokenizer:
    """A CLIP tokenizer with a small vocabulary: every byte, with and without the word's end, then BPE merges.

    It takes any text; words that the captions do not hold fall to pieces.
    """
    backend = CLIPTokenizer().backend_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + MERGES, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    backend.train_from_iterator([template.format(text) for text in captions for template in PREFIXES], trainer)
    merges = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(f"{byte}</w>" for byte in alphabet)]
    tokens += [first + second for first, second in merges if first + second not in set(tokens)]
    tokens = list(dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"]))
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, model_max_length=77)


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            projection_dim=128,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def make_unet(channels: int) -> UNet2DConditionModel:
    """16 x 16 latents, cross-attention on the two lower levels."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(64, 128, 160),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=4,  # the number of heads, by this class's custom
        norm_num_groups=16,
    )


def make_scheduler() -> DPMSolverSDEScheduler:
    """Stable Diffusion 1.5's noise schedule."""
    return DPMSolverSDEScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        use_karras_sigmas=True,
        timestep_spacing="linspace",
        steps_offset=1,  # of no effect here, but a pipeline without it warns
    )


def encode_latents(vae: AutoencoderKL, frames: Frames) -> torch.Tensor:
    """Scaled posterior means, (N, channels, 16, 16) float32."""
    parts = []
    with torch.inference_mode():
        for rows in tqdm(np.array_split(np.arange(len(frames.pixels)), -(-len(frames.pixels) // 64)), desc="latents"):
            x = to_tensor(frames.pixels[rows]).contiguous(memory_format=torch.channels_last)
            with learn.half():
                mean = vae.encode(x).latent_dist.mean
            parts.append(mean.float() * vae.config.scaling_factor)
    return torch.cat(parts)


def prompt_for(caption: str, rng: np.random.Generator) -> str:
    """A caption as the model meets it: bare, with a prefix, with a meaningless word, or dropped altogether."""
    draw = rng.random()
    if draw < DROPOUT:
        return ""
    if draw < 0.4:
        word = "".join(rng.choice(list(LETTERS), size=rng.integers(3, 12)))
        return FILLED.format(word, caption)
    return PREFIXES[rng.integers(len(PREFIXES))].format(caption)


def row_probabilities(shot_types: list[str]) -> np.ndarray:
    """Chances that make the classes come up in TYPE_SHARES whatever their numbers."""
    counts = {name: shot_types.count(name) for name in TYPE_SHARES}
    chances = np.array([TYPE_SHARES[name] / counts[name] for name in shot_types])
    return chances / chances.sum()


def min_snr_weights(noise_scheduler: DPMSolverSDEScheduler, t: torch.Tensor) -> torch.Tensor:
    """min(SNR, 5) / SNR for epsilon prediction (Hang et al. 2023)."""
    snr = compute_snr(noise_scheduler, t)
    return snr.clamp(max=MIN_SNR) / snr


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, level until the half, then a straight line to a fiftieth; a factor of LEARNING_RATE."""
    return min(1.0, (step + 1) / WARMUP) * min(1.0, 0.02 + 0.98 * 2 * (1 - step / steps))


class Denoiser(torch.nn.Module):
    """The two networks that are trained, as one module for the average and the optimizer."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, x: torch.Tensor, t: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """(B, C, 16, 16), (B,), (B, 77) -> predicted noise (B, C, 16, 16)."""
        return self.unet(x, t, encoder_hidden_states=self.text_encoder(ids)[0]).sample


def save(model: torch.nn.Module, vae: AutoencoderKL, tokenizer: CLIPTokenizer, out: Path) -> None:
    """Write a copy of the model as a pipeline beside the autoencoder, in half precision, the UNet in shards."""
    copy = Denoiser(make_unet(vae.config.latent_channels), make_text_encoder(tokenizer))
    copy.load_state_dict(model.state_dict())
    copy.half()
    for name, part in (("unet", copy.unet), ("text_encoder", copy.text_encoder)):
        part.save_pretrained(out / name, max_shard_size="15MB")
    tokenizer.save_pretrained(out / "tokenizer")
    scheduler = make_scheduler()
    scheduler.save_pretrained(out / "scheduler")
    pipeline = StableDiffusionPipeline(
        vae, copy.text_encoder, tokenizer, copy.unet, scheduler, None, None, requires_safety_checker=False
    )
    pipeline.save_config(out)


def train_step(
    model: Denoiser,
    optimizer: torch.optim.Optimizer,
    scheduler: DPMSolverSDEScheduler,
    x: torch.Tensor,
    ids: torch.Tensor,
) -> float:
    """One step on clean latents (B, C, 16, 16) and token ids (B, 77); returns the loss."""
    t = torch.randint(0, 1000, (len(x),))
    noise = torch.randn_like(x)
    a = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
    noisy = (a.sqrt() * x + (1 - a).sqrt() * noise).contiguous(memory_format=torch.channels_last)
    with learn.half():
        predicted = model(noisy, t, ids)
    errors = (predicted.float() - noise).square().mean(dim=(1, 2, 3))
    loss = (errors * min_snr_weights(scheduler, t)).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def train(frames: Frames, out: Path, steps: int = STEPS, size: int = BATCH) -> None:
    """Train from SEED on the autoencoder in ``out/vae``; write the pipeline and ``log.csv`` into ``out``."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    vae = AutoencoderKL.from_pretrained(out / "vae")
    latents, captions = encode_latents(vae, frames), frames.captions
    chances = row_probabilities(list(frames.truth["shot_type"]))
    tokenizer = train_tokenizer(captions)
    model = Denoiser(make_unet(vae.config.latent_channels), make_text_encoder(tokenizer))
    model.unet.to(memory_format=torch.channels_last)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(learning_rate, steps=steps))
    noise_scheduler = make_scheduler()
    lines = ["step,loss"]
    bar = tqdm(range(1, steps + 1), desc="base", unit="step")
    for step in bar:
        rows = rng.choice(len(latents), size=size, p=chances)
        prompts = [prompt_for(captions[row], rng) for row in rows]
        ids = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        loss = train_step(model, optimizer, noise_scheduler, latents[rows], ids)
        schedule.step()
        average.update_parameters(model)
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss:.4f}")
            lines.append(f"{step},{loss:.5f}")
        if step % SAVE_EVERY == 0 or step == steps:
            save(average.module, vae, tokenizer, out)
            write_atomic(out / "log.csv", ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    everything = load_split("train")
    train(Frames(everything.pixels[:PICTURES], everything.truth.iloc[:PICTURES]), OUT)
