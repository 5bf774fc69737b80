"""Stable Diffusion 1.5's architectures with random weights, for where the published ones cannot be had.

    python -m benchmarks.random_base [--folder .work/models/sd15-random] [--seed 0] [--force]

Writes a folder that `profiles.paper.models.base.source` may name: UNet, autoencoder and text tower of the published
sizes in float32 (4.3 GB, safetensors), the published noise schedule, and CLIP's own tokenizer, whose merges open_clip's
wheel holds. Time and memory of training and generation are those of the published weights; the pictures are noise.

The same seed, package versions and processor give the same bytes. The folder appears when it is complete: a build that
was killed leaves none, and the next one clears up after it. A complete folder is left alone, unless `--force` is given;
the old one stays until the new one is there.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dreamshot import errors
from dreamshot.errors import StudyError
from dreamshot.paths import WORK
from dreamshot.provenance import write_json
from dreamshot.seeds import seed as derived
from dreamshot.work import locked

FOLDER = WORK / "models" / "sd15-random"
RECORD = "random.json"  # beside the weights: {"seed": ..., "files": {name: bytes}}
BYTES = 4  # of a float32

# A part's arguments, as its published config.json has them; what is not here is its class's default.
Sizes = Mapping[str, Mapping[str, Any]]
SD15: Sizes = {
    "text_encoder": {
        "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "projection_dim": 768,
        "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1,
    },
    "vae": {
        "block_out_channels": (128, 256, 512, 512), "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2, "latent_channels": 4,
        "norm_num_groups": 32, "sample_size": 512, "scaling_factor": 0.18215,
    },
    "unet": {
        "block_out_channels": (320, 640, 1280, 1280), "down_block_types": ("CrossAttnDownBlock2D",) * 3
        + ("DownBlock2D",), "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, "layers_per_block": 2,
        "cross_attention_dim": 768, "attention_head_dim": 8, "in_channels": 4, "out_channels": 4, "sample_size": 64,
    },
}  # fmt: skip
SPECIAL = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}  # open_clip's names, then CLIP's


# --- the parts ---


def make(part: str, settings: Mapping[str, Any]) -> Any:
    """One network with its library's initial weights, drawn from torch's global generator."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    if part == "text_encoder":
        return CLIPTextModel(CLIPTextConfig(**settings))
    return {"vae": AutoencoderKL, "unet": UNet2DConditionModel}[part](**settings)


def skeletons(sizes: Sizes) -> dict[str, Any]:
    """The networks without weights."""
    import torch

    with torch.device("meta"):
        return {part: make(part, settings) for part, settings in sizes.items()}


def parameters(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def make_tokenizer() -> Any:
    """CLIP's tokenizer: 49,408 tokens, 77 to a text, padded with <|endoftext|>."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    published = SimpleTokenizer()
    vocab = {SPECIAL.get(token, token): index for token, index in published.encoder.items()}
    return CLIPTokenizer(vocab=vocab, merges=list(published.bpe_ranks), model_max_length=77)


def make_scheduler() -> Any:
    """The noise schedule that Stable Diffusion 1.5 ships."""
    from diffusers import PNDMScheduler

    return PNDMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="epsilon", steps_offset=1, skip_prk_steps=True, set_alpha_to_one=False,
    )  # fmt: skip


# --- the folder ---


def write_weights(folder: Path, part: str, seed: int, settings: Mapping[str, Any]) -> None:
    """One network's weights, which depend on no other part, and its configuration."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived(seed, "random_base", part))
        make(part, settings).save_pretrained(folder / part)


def write(folder: Path, seed: int, sizes: Sizes) -> dict[str, int]:
    """All that ``StableDiffusionPipeline.save_pretrained`` writes, with one network in memory at a time.

    Returns the number of parameters of each.
    """
    from diffusers import StableDiffusionPipeline
    from tqdm import tqdm

    bare, tokenizer, scheduler = skeletons(sizes), make_tokenizer(), make_scheduler()
    counts = {part: parameters(network) for part, network in bare.items()}
    check_room(folder, BYTES * sum(counts.values()))
    tokenizer.save_pretrained(folder / "tokenizer")
    scheduler.save_pretrained(folder / "scheduler")
    StableDiffusionPipeline(
        **bare, tokenizer=tokenizer, scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_config(folder)  # fmt: skip
    with tqdm(total=sum(counts.values()), desc="random base", unit=" parameters", unit_scale=True) as bar:
        for part, settings in sizes.items():
            write_weights(folder, part, seed, settings)
            bar.update(counts[part])
    write_json(folder / RECORD, {"seed": seed, "files": files(folder)})
    return counts


def check_room(folder: Path, needed: int) -> None:
    """Raise a StudyError where the disk cannot hold so many bytes more."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StudyError(
            f"{folder.parent}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free; free some, or name a "
            f"place on another disk with --folder"
        )


def files(folder: Path) -> dict[str, int]:
    """The bytes of every file below a folder, by name."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}


def there(folder: Path, seed: int, force: bool) -> bool:
    """Whether the folder is to be left alone.

    Raises:
        StudyError: it holds what this command has not written; or, without ``force``, weights of another seed, or not
            all of them.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / RECORD).is_file():
        raise StudyError(f"{folder}: holds something else, which stays as it is; name another place with --folder")
    if force:
        return False
    record = json.loads((folder / RECORD).read_text())
    if record["seed"] != seed:
        raise StudyError(f"{folder}: has weights of seed {record['seed']}, not {seed}; --force builds it again")
    lacking = record["files"].items() - files(folder).items()
    if lacking:
        raise StudyError(f"{folder / min(lacking)[0]}: missing or of another size; --force builds the folder again")
    return True


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of ``folder`` at the end, and goes away where that is not reached."""
    part, old = (folder.with_name(f".{folder.name}.{name}") for name in ("part", "old"))
    for path in (part, old):  # of a build that was killed
        shutil.rmtree(path, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    finally:
        for path in (part, old):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other build in the folder's parent, which is made if new."""
    try:
        with locked(folder.parent):
            yield
    except OSError as error:
        raise StudyError(f"{folder}: {error}; name another place with --folder") from None


def build(folder: Path, seed: int, force: bool = False, sizes: Sizes = SD15) -> dict[str, int] | None:
    """Have the folder complete: the number of parameters of each part, or None where it was there already.

    Raises:
        StudyError: as ``there``; or it cannot be written.
    """
    place = folder.resolve()
    with alone(place):
        if there(place, seed, force):
            return None
        with beside(place) as part:
            return write(part, seed, sizes)


def run(arguments: Sequence[str], sizes: Sizes = SD15) -> None:
    """Build, and say what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--force", action="store_true")
    given = parser.parse_args(arguments)
    start = time.monotonic()
    counts = build(given.folder, given.seed, given.force, sizes)
    size = sum(files(given.folder).values()) / 1e9
    if counts is None:
        print(f"random base: {given.folder} is there, {size:.2f} GB of seed {given.seed}; --force builds it again")
        return
    parts = ", ".join(f"{part} {count:,}" for part, count in counts.items())
    print(f"random base: {parts} parameters; {size:.2f} GB in {time.monotonic() - start:.0f} s; {given.folder}")


if __name__ == "__main__":
    errors.main(lambda: run(sys.argv[1:]))
