"""Teach the base one shot type: DreamBooth with a LoRA on the UNet's attention.

    python -m stages.train close

Reads the captions of the training frames and their crops, writes ``data/lora/<shot type>/``: the LoRA in diffusers'
format, ``log.csv`` with the loss of each step, and ``run.json``. Killed and started again, it goes on from its last
checkpoint and ends with the same bits.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from dreamshot.errors import StudyError, main
from dreamshot.models import device, load_base, model_hash
from dreamshot.params import Profile, ShotType, load_params, shot_type_argument
from dreamshot.paths import CROPS, LORA, TRAIN_LOG
from dreamshot.provenance import threads, write_run
from dreamshot.records import Pool
from dreamshot.seeds import seed
from dreamshot.work import clean, code_hash, file_hash, work_folder
from stages.diffusion import Pipeline, cast, reproducible
from stages.train.data import Example, cached, data_hash, examples_of
from stages.train.loop import Run, optimizer_of, train
from stages.train.lora import add_lora, save_lora

CODE = ("stages/train", "stages/diffusion.py")


def prepare(
    params: Profile, shot_type: ShotType, examples: Sequence[Example], pool: Pool, work: Path
) -> tuple[Run, Pipeline]:
    """Load the base, fill the cache, put a fresh LoRA into the UNet."""
    from diffusers import DDPMScheduler

    load: Callable[[], Pipeline] = cache(partial(load_base, params.models.base))
    data = cached(load, examples, pool, work / "cache.safetensors")
    pipeline = load()
    seed_of = partial(seed, params.seed, "train", shot_type)
    cast(pipeline.unet, params.train.dtype)
    weights = add_lora(pipeline.unet, params.train, seed_of("init"))
    run = Run(
        unet=pipeline.unet,
        vae=pipeline.vae,
        scheduler=DDPMScheduler.from_config(pipeline.scheduler.config),
        weights=weights,
        optimizer=optimizer_of(weights, params.train),
        examples=examples,
        cache=data,
        params=params.train,
        seed_of=seed_of,
    )
    return run, pipeline


def train_with_progress(run: Run, checkpoint: Path, shot_type: ShotType) -> None:
    """Train behind a progress bar that starts where the checkpoint ended."""
    from tqdm import tqdm

    with tqdm(total=run.params.steps, desc=f"train {shot_type}", unit="step") as bar:

        def show(run: Run) -> None:
            if bar.n == 0:
                bar.n = bar.initial = run.step - 1
            bar.set_postfix(loss=f"{run.losses[-1]:.4f}", refresh=False)
            bar.update()

        train(run, checkpoint, show)


def log_csv(losses: Sequence[float]) -> str:
    """The losses as CSV, steps counted from 1."""
    return "step,loss\n" + "".join(f"{step},{loss:.6f}\n" for step, loss in enumerate(losses, 1))


def teach(params: Profile, shot_type: ShotType) -> None:
    """Train one LoRA and write it."""
    if params.train.dtype == "float16":
        raise StudyError("train.dtype = 'float16': training needs bfloat16 or float32; take bfloat16 on a GPU")
    examples, pool = examples_of(shot_type, params.generate.prompt), Pool(CROPS / "shards")
    data, base = data_hash(examples, pool), model_hash("base")
    settings = params.train.model_dump_json()
    work = work_folder("train", code_hash(*CODE), settings, str(params.seed), shot_type, base, data, device())
    reproducible(threads())
    run, pipeline = prepare(params, shot_type, examples, pool, work)
    train_with_progress(run, work / "state.safetensors", shot_type)
    folder = clean(LORA / shot_type)
    path = save_lora(pipeline.unet, folder)
    (folder / TRAIN_LOG).write_text(log_csv(run.losses))
    facts = {
        "shot_type": shot_type,
        "seed": params.seed,
        "frames": len(examples),
        "data": data,
    }
    write_run(folder, params.train, {"base": base}, lora=file_hash(path), **facts)
    last = run.losses[-20:]
    print(f"train {shot_type}: {run.step} steps on {len(examples)} frames, loss {sum(last) / len(last):.4f} at the end")


def run(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.train", description=__doc__.split("\n\n")[0])
    parser.add_argument("shot_type", nargs="?", default="", help="close, medium or long")
    teach(load_params(), shot_type_argument(parser.parse_args(arguments).shot_type))


if __name__ == "__main__":
    main(lambda: run(sys.argv[1:]))
