"""A stage's pictures, a chunk at a time, over the processor's cores; what a killed run has done is taken up again.

A chunk leaves one file in the stage's work folder, put there by one atomic rename: a tar of its rows and pictures.
"""

import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from tqdm import tqdm

from dreamshot.errors import StudyError
from dreamshot.records import png_bytes
from dreamshot.work import write_atomic

Item = TypeVar("Item")
Result = TypeVar("Result")
P = ParamSpec("P")
CHUNK = 16
WATCH = 0.5  # seconds between two looks at the parent
ROWS = "rows.json"


@dataclass(frozen=True)
class Done:
    """What became of one item: a row of plain values and, if ``key`` is not "", the picture of that id."""

    row: dict[str, Any]
    key: str = ""
    pixels: np.ndarray | None = None


def cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def members(done: Sequence[Done]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of a chunk's files."""
    yield ROWS, json.dumps([item.row for item in done]).encode()
    for item in done:
        if item.pixels is not None:
            yield f"{item.key}.png", png_bytes(item.pixels)


def run_chunk(work: Callable[[Item], Done], items: Sequence[Item], path: Path) -> int:
    """Do the items' work and leave the chunk's file; returns the number of items."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members([work(item) for item in items]):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    write_atomic(path, buffer.getvalue())
    return len(items)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a chunk's file."""
    with tarfile.open(path) as tar:
        file = tar.extractfile(ROWS)
        assert file is not None
        rows: list[dict[str, Any]] = json.load(file)
    return rows


class Serial(Executor):
    """The executor for what is too little to share out."""

    def submit(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
        future: Future[Result] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def follow(parent: int) -> None:
    """End this process when its parent is gone: one that was killed cannot say so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def executor(workers: int) -> Iterator[Executor]:
    """So many processes, or none for a single worker; queued chunks are dropped on an error."""
    several = workers > 1
    pool: Executor = ProcessPoolExecutor(workers, initializer=follow, initargs=(os.getpid(),)) if several else Serial()
    try:
        yield pool
    except BrokenProcessPool:
        raise StudyError("a worker process was killed (out of memory?); run again, it goes on where it was") from None
    finally:
        pool.shutdown(cancel_futures=True)


def share_out(pool: Executor, jobs: Sequence[Callable[[], int]], bar: Any) -> None:
    """Run the jobs; the bar moves by what each returns as it ends, and the first error is raised."""

    def show(future: Future[int]) -> None:
        if not future.cancelled() and future.exception() is None:
            bar.update(future.result())

    futures = []
    for job in jobs:
        futures.append(pool.submit(job))
        futures[-1].add_done_callback(show)
    for future in as_completed(futures):
        future.result()


def run_chunks(
    stage: str, unit: str, work: Callable[[Item], Done], items: Sequence[Item], folder: Path
) -> list[dict[str, Any]]:
    """Do ``work`` on every item and return the rows in the items' order; ``folder`` then holds the pictures.

    Args:
        work: a function of one item that another process can be sent (of a module, or a partial of one).
        folder: the work folder; the same items must come with the same folder (see ``work_folder``).
    """
    starts = range(0, len(items), CHUNK)
    paths = {start: folder / f"{start // CHUNK:06d}.tar" for start in starts}
    todo = [start for start in starts if not paths[start].is_file()]
    done = len(items) - sum(len(items[start : start + CHUNK]) for start in todo)
    with tqdm(total=len(items), initial=done, desc=stage, unit=unit) as bar, executor(min(cores(), len(todo))) as pool:
        share_out(pool, [partial(run_chunk, work, items[at : at + CHUNK], paths[at]) for at in todo], bar)
    return [row for start in starts for row in read_rows(paths[start])]
