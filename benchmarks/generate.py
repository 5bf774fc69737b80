"""Pairs: this project's way beside the plain one, one call of diffusers' pipeline for each picture and arm.

    python -m benchmarks.generate [--pairs 8] [--true-size] [--dtype float32 bfloat16]

Both draw the same pairs of the demo's study (with --true-size, of random weights of Stable Diffusion 1.5's size, see
benchmarks.random_base) with one LoRA of random weights, the same sampler, seeds, steps and guidance, the same precision
of the UNet, in one run. Times are of the whole work: loading, drawing, decoding. The plain way has the whole pipeline
in the precision named, its sampler's state too. Printed beside the ratio: how far the pictures are apart.
"""

import argparse
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.study import RANDOM_BASE, ROOT, arguments_of, machine, study
from dreamshot.models import device, load_base, torch_dtype
from dreamshot.params import SET_NAMES, SHOT_TYPES, Dtype, Profile
from dreamshot.paths import LORA_FILE, PAIRS, PICTURE_ROWS, TUNED
from dreamshot.provenance import write_run
from dreamshot.records import Pool, read_table
from stages.generate import __main__ as stage
from stages.sampler import scheduler_for
from stages.tuning import lora

SPREAD = 0.02  # of the random LoRA's weights


def write_lora(params: Profile) -> None:
    """A LoRA of random weights for each shot type."""
    import torch

    for number, shot_type in enumerate(SHOT_TYPES):
        pipeline = load_base(params.models.base)
        for weight in lora.begin(pipeline, shot_type, params.train, number).values():
            weight.data.normal_(std=SPREAD, generator=torch.Generator().manual_seed(number))
        (TUNED / shot_type).mkdir(parents=True)
        lora.save(pipeline, shot_type, params.train, TUNED / shot_type)
        write_run(TUNED / shot_type, params.train)


def ours(params: Profile) -> tuple[float, dict[str, np.ndarray]]:
    """(seconds, pictures by id)"""
    start = time.perf_counter()
    stage.generate(params, "main")
    seconds = time.perf_counter() - start
    pool = Pool(PAIRS / "main" / "shards")
    return seconds, {key: pool.pixels(key) for key in pool}


def open_pipeline(params: Profile, dtype: Dtype) -> Any:
    """The base with all three LoRAs, in one precision."""
    pipeline: Any = load_base(params.models.base).to(torch_dtype(dtype))
    pipeline.scheduler = scheduler_for(pipeline.scheduler.config, params.generate.sampler)
    for shot_type in SHOT_TYPES:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # three adapters are meant
            pipeline.load_lora_weights(TUNED / shot_type, weight_name=LORA_FILE, adapter_name=shot_type)
    return pipeline


def plain(params: Profile, rows: Any, dtype: Dtype) -> tuple[float, dict[str, np.ndarray]]:
    """The same pictures by one pipeline call each."""
    import torch

    settings, found = params.generate, {}
    start = time.perf_counter()
    pipeline = open_pipeline(params, dtype)
    for row in rows.itertuples():
        if row.arm == "ours":
            pipeline.enable_lora()
            pipeline.set_adapters([row.shot_type], [row.strength])
        else:
            pipeline.disable_lora()
        pipeline.scheduler.noise_sampler_seed = [row.seed]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Should have t[ab]")
            picture = pipeline(
                row.prompt, height=settings.size, width=settings.size, num_inference_steps=settings.steps,
                guidance_scale=settings.guidance, generator=torch.Generator().manual_seed(row.seed),
            ).images[0]  # fmt: skip
        found[row.picture] = np.asarray(picture)
    return time.perf_counter() - start, found


def psnr(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> tuple[float, int]:
    """(PSNR in dB over all pictures, the largest difference of two levels)"""
    apart = np.stack([ours[key].astype(float) - theirs[key] for key in sorted(ours)])
    error = float(np.square(apart).mean())
    return (10 * np.log10(255**2 / error) if error else np.inf), int(np.abs(apart).max())


def measure(given: argparse.Namespace, dtype: Dtype) -> None:
    """Both ways in one precision."""
    base = RANDOM_BASE if given.true_size else ROOT / "demo/models/base"
    sets = {name: {"per_type": given.pairs, "repetitions": 1, "strengths": [1.0]} for name in SET_NAMES}
    generate = {"dtype": dtype, "decoder_dtype": "float32", "steps": given.steps, "sets": sets}
    profile, side = ("paper", 512) if given.true_size else ("demo", 128)
    with study(profile, base, side, given.pairs, {"generate": generate, "train": {"dtype": dtype}}) as params:
        write_lora(params)
        seconds, pictures = ours(params)
        rows = read_table(PAIRS / "main" / PICTURE_ROWS)
        theirs_seconds, theirs = plain(params, rows, dtype)
    ratio, (near, apart) = theirs_seconds / seconds, psnr(pictures, theirs)
    print(
        f"{dtype:<9} {len(pictures):>5} pictures  ours {seconds:7.1f} s  plain {theirs_seconds:7.1f} s  "
        f"ratio {ratio:5.2f}  PSNR {near:5.1f} dB, at most {apart} levels apart",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    given = arguments_of(__doc__, arguments, pairs=8, steps=16)
    print(machine())
    print(f"{given.pairs} pairs a shot type, {given.steps} steps, on {device()}", flush=True)
    for dtype in given.dtype:
        measure(given, dtype)


if __name__ == "__main__":
    main()
