"""Ingest and crop at the size of a whole collection: time, memory, and what is lost when they are killed.

    python -m benchmarks.scale [--frames 127000] [--kill 2] [--method detector] [--height 96]

Draws small stills of the embedded world, 59 a film, and runs ``python -m stages.ingest`` and ``python -m stages.crop``
on 1,000, on 10,000 and on all of them, in a folder of its own below ``.work/``, which it deletes. For each it prints
seconds, milliseconds a still, and the peak memory of the stage's processes together (their proportional set sizes,
looked at every 0.2 s). Small stills show what grows with their number; what one still costs grows with its pixels.

At the two largest sizes everything is run again and killed on the way, the whole process group with SIGKILL, in turn in
ingest and in crop. Each kill comes when an equal share more of the stage's work is done. The broken runs' output must
have the unbroken one's bytes, and no chunk that lay there at a kill may be written again.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml
from PIL import Image

from demo.draw import draw
from demo.pool import encode, write_csv
from demo.world import Film, make_films, sample_shot
from dreamshot import models
from dreamshot.models import write_model_record
from dreamshot.params import Weights
from dreamshot.provenance import cpu_facts, cpu_name
from dreamshot.work import folder_hash
from stages.chunks import CHUNK, cores, executor

ROOT = Path(__file__).parents[1]
SEED = 127_000
EACH = 59  # stills a film
SIZES = (1_000, 10_000)
STAGES = ("ingest", "crop")
LOOK = 0.2  # seconds


# --- the stills ---


def render(film: Film, count: int, height: int, folder: Path) -> None:
    """The film's first ``count`` stills, in a subfolder of its name."""
    (folder / film.id).mkdir()
    for index in range(count):
        pixels = draw(sample_shot(film, index, SEED), height).pixels
        (folder / film.id / f"{index:03d}.jpg").write_bytes(encode(Image.fromarray(pixels)))


def render_all(films: Sequence[Film], frames: int, height: int, folder: Path) -> None:
    """So many stills of the films, EACH of one."""
    from tqdm import tqdm

    folder.mkdir()
    counts = [min(EACH, frames - EACH * number) for number in range(len(films))]
    with executor(cores()) as workers:
        jobs = workers.map(partial(render, height=height, folder=folder), films, counts, chunksize=4)
        for _ in tqdm(jobs, total=len(films), desc="scale: stills", unit="film"):
            pass


def set_up(study: Path, pool: Path, films: Sequence[Film], frames: int, given: argparse.Namespace) -> None:
    """A study of the first ``frames`` stills, that keeps films of any year."""
    rows = []
    for number in range(frames):
        film, file = films[number // EACH], f"{films[number // EACH].id}/{number % EACH:03d}.jpg"
        (study / "stills" / film.id).mkdir(parents=True, exist_ok=True)
        os.link(pool / file, study / "stills" / file)
        rows.append({"file": file, "film": film.id, "year": film.year})
    write_csv(study / "stills" / "frames.csv", rows)
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    block = raw["profiles"]["demo"]
    block["frames"] = "stills"
    block["ingest"] |= {"min_year": 1900, "min_side": given.height}
    block["crop"] |= {"method": given.method, "size": min(512, given.height // 8 * 8)}
    for weights in block["models"].values():
        weights["source"] = str(ROOT / weights["source"])
    (study / "params.yaml").write_text(yaml.safe_dump(raw | {"profile": "demo"}))


# --- one stage ---


def members(session: int) -> Iterator[int]:
    """The processes of a session."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            yield int(path.parent.name)


def memory(session: int) -> int:
    """The proportional set sizes of a session's processes together, in bytes."""
    total = 0
    for process in members(session):
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
        total += 1024 * int(found.group(1)) if found else 0
    return total


def chunks(study: Path, stage: str) -> dict[str, tuple[int, int]]:
    """The chunks in the stage's work folder: (inode, time of writing) by name."""
    found = {}
    for path in (study / ".work" / stage).glob("*/*.tar"):
        try:
            stat = path.stat()
        except OSError:  # the stage has ended and clears up
            continue
        found[path.name] = (stat.st_ino, stat.st_mtime_ns)
    return found


@dataclass(frozen=True)
class Run:
    """One run of a stage: whether it was killed, how long it took, the peak of its memory in bytes, the chunks that it
    left and those of an earlier run that it wrote again."""

    killed: bool
    seconds: float
    peak: int
    left: dict[str, tuple[int, int]]
    again: frozenset[str]


def run(stage: str, study: Path, there: dict[str, tuple[int, int]], kill_at: float = float("inf")) -> Run:
    """Run a stage to its end, or kill it once ``kill_at`` chunks are done; ``there`` are an earlier run's chunks."""
    start, peak = time.monotonic(), 0
    again: set[str] = set()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DREAMSHOT_PARAMS": str(study / "params.yaml")}
    with (study / f"{stage}.err").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", f"stages.{stage}"],
            cwd=study, env=environment, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
        )  # fmt: skip
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            now = chunks(study, stage)
            again |= {name for name in there.keys() & now.keys() if now[name] != there[name]}
            if len(now) >= kill_at:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            time.sleep(LOOK)
    if process.returncode not in (0, -signal.SIGKILL):
        sys.exit(f"stages.{stage} ended with {process.returncode}: {(study / f'{stage}.err').read_text()[-2000:]}")
    killed = process.returncode != 0
    return Run(killed, time.monotonic() - start, peak, chunks(study, stage), frozenset(again))


def run_killed(stage: str, study: Path, kills: int, frames: int) -> tuple[int, int, int]:
    """(kills, chunks that lay there at them, how many of these were written again) of a stage to be killed so often."""
    there: dict[str, tuple[int, int]] = {}
    killed = kept = again = 0
    for number in range(kills + 1):
        share = (number + 1) / (kills + 1)
        found = run(stage, study, there, share * frames / CHUNK if number < kills else float("inf"))
        again += len(found.again)
        there = found.left
        kept += len(there)
        killed += found.killed
    return killed, kept, again


# --- all ---


def output(study: Path) -> str:
    """A hash of both stages' output."""
    return " ".join(folder_hash(study / "data" / folder) for folder in ("ingest", "crops"))


def clear(study: Path) -> None:
    """As before the first run."""
    for name in ("data/ingest", "data/crops", ".work"):
        shutil.rmtree(study / name, ignore_errors=True)


def fetch(study: Path, method: str) -> None:
    """The record of the detector, where one is used; it is on this disk."""
    if method == "detector":
        weights = Weights(source=str(ROOT / "demo/models/detector"), revision="")
        with chdir(study):
            write_model_record("detector", models.fetch("detector", weights))


def measure(study: Path, frames: int) -> None:
    """Run both stages and print a line of each."""
    for stage in STAGES:
        found = run(stage, study, {})
        each, peak = 1000 * found.seconds / frames, found.peak / 1e6
        print(f"{frames:>8,} {stage:<7}{found.seconds:>9.1f}{each:>12.2f}{peak:>10.0f}", flush=True)


def break_off(study: Path, frames: int, kills: int) -> None:
    """Run both stages again with kills on the way, and print what that came to."""
    whole = output(study)
    clear(study)
    for number, stage in enumerate(STAGES):
        killed, kept, again = run_killed(stage, study, (kills + 1 - number) // 2, frames)
        print(
            f"{frames:>8,} {stage:<7} killed {killed} times: {kept} chunks lay there, {again} written again", flush=True
        )
    same = "the same bytes" if output(study) == whole else "OTHER BYTES"
    print(f"{frames:>8,} both    killed and unbroken: {same}", flush=True)


def benchmark(given: argparse.Namespace, folder: Path) -> None:
    """Draw the stills, then measure each size."""
    films = make_films(SEED, -(-given.frames // EACH))
    render_all(films, given.frames, given.height, folder / "pool")
    sizes = [*(size for size in SIZES if size < given.frames), given.frames]
    print(f"{'stills':>8} {'stage':<7}{'seconds':>9}{'ms a still':>12}{'peak MB':>10}")
    for size in sizes:
        study = folder / f"{size}"
        set_up(study, folder / "pool", films, size, given)
        fetch(study, given.method)
        measure(study, size)
        if size in sizes[-2:] and given.kill:
            break_off(study, size, given.kill)
        shutil.rmtree(study)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=127_000)
    parser.add_argument("--kill", type=int, default=2)
    parser.add_argument("--method", choices=["centre", "attention", "entropy", "detector"], default="detector")
    parser.add_argument("--height", type=int, default=96)
    given = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    print(f"{cores()} cores of {cpu_name(cpu_facts())}; load by others {load:.1f}; crop by {given.method}")
    print(f"stills of the embedded world, {given.height} pixels high, {EACH} a film", flush=True)
    (ROOT / ".work").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scale-", dir=ROOT / ".work") as folder:
        benchmark(given, Path(folder))


if __name__ == "__main__":
    main()
