"""The paper profile at its true size: time and memory of each way to fine-tune and of drawing with it.

    python -m benchmarks.true_size [--steps 1] [--pairs 1] [--only lora ...] [--dtype bfloat16]

Runs what ``stages.train`` and ``stages.generate`` run on 512 x 512 stills of the embedded world with random weights of
Stable Diffusion 1.5's size (benchmarks.random_base), in processes of their own, with the parameters of the paper's
profile but for ``--batch``, the number of steps, and ``--dtype`` (a CPU is slow in float16). Printed of training:
seconds of the last step and peak memory; of drawing: seconds of all with loading, and the peak of a process. A first
step takes longer than the later ones, so ``--steps 1`` is the worst case; ``--pairs 0`` draws nothing.
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, get_args

from benchmarks.random_base import build
from benchmarks.study import RANDOM_BASE, machine, study
from dreamshot.params import SET_NAMES, Dtype, Profile, ShotType

SHOT_TYPE: ShotType = "close"
SIDE = 512


@dataclass(frozen=True)
class Case:
    """A way to fine-tune: its name and what it changes in ``train``."""

    name: str
    train: dict[str, Any]


WITH_TEXT = {"text_encoder": {"train": True, "learning_rate": 1e-5}}
CASES = (
    Case("lora", {"method": "lora"}),
    Case("lora and text encoder", {"method": "lora", **WITH_TEXT}),
    Case("dreambooth", {"method": "dreambooth", "gradient_checkpointing": True}),
    Case("dreambooth, adafactor", {"method": "dreambooth", "gradient_checkpointing": True, "optimizer": "adafactor"}),
    Case("textual inversion", {"method": "textual_inversion"}),
)


def peak() -> float:
    """The peak of this process's and its children's memory in GB: the GPU's where there is one."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e6


def train(params: Profile, out: Connection) -> None:
    """Train as the stage does; sends the seconds of the last step and the peak."""
    from stages.train import __main__ as stage
    from stages.train import loop

    took = [0.0]
    step = loop.train_step

    def timed(run: loop.Run) -> None:
        start = time.perf_counter()
        step(run)
        took.append(time.perf_counter() - start)

    loop.train_step = timed
    stage.teach(params, SHOT_TYPE)
    out.send((took[-1], peak()))


def draw(params: Profile, out: Connection) -> None:
    """Draw the pairs of the trained shot type as the stage does; sends the seconds of all and the peak of a process."""
    from dreamshot.models import model_hash
    from stages.diffusion import caption_rows
    from stages.generate import __main__ as stage
    from stages.generate.plan import arms_of, plan

    start = time.perf_counter()
    chunks = [chunk for chunk in plan("main", caption_rows("test"), params) if chunk.shot_type == SHOT_TYPE]
    studio = stage.Studio(params.model_dump_json(), model_hash("base"), ())
    paths = [Path(f"{number}.safetensors") for number in range(len(chunks))]
    stage.draw_missing(studio, chunks, arms_of("main", params.generate.sets.main), paths, "main")
    out.send((time.perf_counter() - start, peak()))


def apart(work: Any, params: Profile) -> tuple[float, float]:
    """What ``work`` sends, done in a fresh process.

    Raises:
        SystemExit: the process ended before it had sent anything, for want of memory perhaps.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(params, theirs))
    process.start()
    theirs.close()
    try:
        found: tuple[float, float] = ours.recv()
    except EOFError:
        process.join()
        raise SystemExit(f"benchmarks.true_size: the process ended with {process.exitcode}") from None
    process.join()
    return found


def settings(given: argparse.Namespace, case: Case) -> dict[str, dict[str, Any]]:
    """The changes to the paper's profile."""
    sets = {name: {"per_type": max(1, given.pairs), "repetitions": 1, "strengths": [1.0]} for name in SET_NAMES}
    none = {"every": given.steps, "frames": 0, "draws": 1, "pictures": 0}
    train = {"steps": given.steps, "batch": given.batch, "dtype": given.dtype, "validation": none, "warmup": 0}
    generate = {"dtype": given.dtype, "decoder_dtype": given.dtype, "batch": 2 * max(1, given.pairs), "sets": sets}
    return {"train": train | case.train, "generate": generate}


def measure(given: argparse.Namespace, case: Case) -> None:
    """Train and draw one case, and print a line of each."""
    with study("paper", RANDOM_BASE, SIDE, max(given.batch, given.pairs), settings(given, case)) as params:
        seconds, memory = apart(train, params)
        print(f"{case.name:<24}train     {seconds:8.1f} s a step{memory:8.1f} GB", flush=True)
        if not given.pairs:
            return
        seconds, memory = apart(draw, params)
        pairs = "pair" if given.pairs == 1 else "pairs"
        print(f"{case.name:<24}generate  {seconds:8.1f} s for {given.pairs} {pairs}{memory:8.1f} GB", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [case.name for case in CASES]
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--dtype", choices=get_args(Dtype), default="bfloat16")
    given = parser.parse_args(arguments)
    build(RANDOM_BASE, 0)
    print(machine())
    print(json.dumps({"batch": given.batch, "steps": given.steps, "dtype": given.dtype, "side": SIDE}), flush=True)
    for case in CASES:
        if case.name in given.only:
            measure(given, case)


if __name__ == "__main__":
    main()
