"""A stage's pictures, a chunk at a time, over the processor's cores; what a killed run has done is taken up again.

A chunk leaves one file in the stage's work folder, put there by one atomic rename: a tar of its pictures and rows.
While it is being done a marker lies beside it. A marker without its chunk tells of a process that died on it: by a
decoder that crashed, for want of memory, at its time limit, or because the whole run was killed. Such a chunk is done
with care, one item at a time in one process: the item that ends that process too is told of, and the rest go on.
"""

import faulthandler
import io
import json
import multiprocessing
import os
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import forkserver
from pathlib import Path
from typing import IO, Any, Generic, NamedTuple, ParamSpec, TypeVar

import numpy as np
from tqdm import tqdm

from dreamshot.errors import StudyError
from dreamshot.records import png_bytes

Item = TypeVar("Item")
Result = TypeVar("Result")
P = ParamSpec("P")
Row = dict[str, Any]
ROOT = Path(__file__).parents[1]
CHUNK = 16
WATCH = 0.5  # seconds between two looks at the parent
TIME_LIMIT = 120.0  # seconds for one item
KILLED = "a worker process was killed (out of memory?); run again, it goes on where it was"
ROWS = "rows.json"


@dataclass(frozen=True)
class Done:
    """What became of one item: a row of plain values and, if ``key`` is not "", the picture of that id."""

    row: Row
    key: str = ""
    pixels: np.ndarray | None = None


class Encoded(NamedTuple):
    """The same with the picture as a PNG file, b"" for none."""

    row: Row
    key: str
    png: bytes


@dataclass(frozen=True)
class Job(Generic[Item]):
    """What to do with an item; how long it may take (seconds), the row of one that fails so, what to import before."""

    work: Callable[[Item], Done]
    limit: float = TIME_LIMIT
    crashed: Callable[[Item], Row] | None = None
    preload: Sequence[str] = ()


def cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- one item, in a worker ---


@cache
def nowhere() -> IO[str]:
    """Where a watchdog's last words go."""
    return Path(os.devnull).open("w")


@contextmanager
def watched(limit: float) -> Iterator[None]:
    """End this process if what is inside takes longer than ``limit`` seconds, in C code too, or finds no memory."""
    faulthandler.dump_traceback_later(limit, exit=True, file=nowhere())
    try:
        yield
    except MemoryError:
        os._exit(1)
    finally:
        faulthandler.cancel_dump_traceback_later()


def finish(job: Job[Item], item: Item) -> Encoded:
    """Do one item's work."""
    with watched(job.limit):
        done = job.work(item)
        return Encoded(done.row, done.key, b"" if done.pixels is None else png_bytes(done.pixels))


# --- a chunk and its file ---


def marker(path: Path) -> Path:
    """What lies beside a chunk's file while it is being done."""
    return path.with_suffix(".started")


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_chunk(done: Iterable[Encoded], path: Path) -> None:
    """Write each picture as it comes, then the rows; the file takes its name by one atomic rename."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    rows = []
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for item in done:
            rows.append(item.row)
            if item.png:
                add(tar, f"{item.key}.png", item.png)
        add(tar, ROWS, json.dumps(rows).encode())
    part.replace(path)


def run_chunk(job: Job[Item], items: Sequence[Item], path: Path) -> int:
    """Do the items' work and leave the chunk's file; returns the number of items."""
    marker(path).touch()
    try:
        write_chunk((finish(job, item) for item in items), path)
    finally:  # not reached by a process that dies
        marker(path).unlink()
    return len(items)


def extract(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


def read_rows(path: Path) -> list[Row]:
    """The rows of a chunk's file."""
    with tarfile.open(path) as tar:
        rows: list[Row] = json.loads(extract(tar, ROWS))
    return rows


def read_single(path: Path) -> Encoded:
    """What the file of a chunk of one item holds."""
    with tarfile.open(path) as tar:
        pictures = [(name.removesuffix(".png"), extract(tar, name)) for name in tar.getnames() if name != ROWS]
        (row,) = json.loads(extract(tar, ROWS))
    return Encoded(row, *(pictures[0] if pictures else ("", b"")))


# --- processes ---


class Serial(Executor):
    """The executor for what is too little to share out."""

    def submit(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
        future: Future[Result] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def end_after(gone: Callable[[], bool]) -> None:
    """End this process once its parent is gone: one that was killed cannot say so."""

    def watch() -> None:
        while not gone():
            time.sleep(WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def follow(parent: int) -> None:
    """What a forked process does first."""
    end_after(lambda: os.getppid() != parent)


def settle() -> None:
    """What a process does first that was not forked from its parent; Ctrl-C is the parent's to hear."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    end_after(lambda: not parent.is_alive())
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def closing(pool: Executor) -> Iterator[Executor]:
    """Queued jobs are dropped on an error."""
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def executor(workers: int) -> Iterator[Executor]:
    """So many processes that have what this one has open, or none for a single worker."""
    several = workers > 1
    pool: Executor = ProcessPoolExecutor(workers, initializer=follow, initargs=(os.getpid(),)) if several else Serial()
    try:
        with closing(pool):
            yield pool
    except BrokenProcessPool:
        raise StudyError(KILLED) from None


@contextmanager
def fresh(workers: int, preload: Sequence[str] = ()) -> Iterator[Executor]:
    """So many processes, one too, that share nothing with this one: a fork hangs where a library had threads.

    They share the memory of the modules in ``preload``, which one server imports for all of them; it is started once.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *preload])
    with chdir(ROOT):  # from where the server finds this module
        forkserver.ensure_running()
    with closing(ProcessPoolExecutor(workers, context, settle)) as pool:
        yield pool


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


def survives(pool: Executor, job: Callable[[], object]) -> bool:
    """Whether the job leaves the pool's processes alive."""
    try:
        pool.submit(job).result()
    except BrokenProcessPool:
        return False
    return True


def survivors(jobs: Iterable[Callable[[], object]], preload: Sequence[str]) -> Iterator[bool]:
    """Whether each job, one after another, left the process alive that did it; one that did not gets a new one."""
    rest = iter(jobs)
    alive = False
    while not alive:
        with fresh(1, preload) as pool:
            if not survives(pool, os.getpid):  # what cannot even start tells nothing about a job
                raise StudyError(KILLED)
            alive = True
            for job in rest:
                alive = survives(pool, job)
                yield alive
                if not alive:
                    break


# --- all chunks ---


def name_crash(item: object) -> Row:
    """Where nobody knows the row of an item that ends its process."""
    raise StudyError(f"{item!r:.200} ends the process that works on it, or takes too long; leave it out and run again")


def run_carefully(job: Job[Item], items: Sequence[Item], path: Path) -> int:
    """The same chunk's file, an item at a time in one process; returns the number of items."""
    singles = [path.with_suffix(f".{number:02d}") for number in range(len(items))]
    todo = [(item, single) for item, single in zip(items, singles, strict=True) if not single.is_file()]
    alive = survivors((partial(run_single, job, item, single) for item, single in todo), job.preload)
    for (item, single), lives in zip(todo, alive, strict=True):
        if not lives:
            write_chunk([Encoded((job.crashed or name_crash)(item), "", b"")], single)
    write_chunk((read_single(single) for single in singles), path)
    for used in (*singles, marker(path)):
        used.unlink()
    return len(items)


def run_single(job: Job[Item], item: Item, path: Path) -> None:
    """One item's work to a file of its own."""
    write_chunk([finish(job, item)], path)


def suspects(paths: Iterable[Path]) -> set[Path]:
    """The chunks that a process has died on."""
    return {path for path in paths if marker(path).is_file() and not path.is_file()}


def run_missing(job: Job[Item], chunks: dict[Path, Sequence[Item]], bar: Any) -> None:
    """Do the chunks whose file is not there yet."""
    while todo := [path for path in chunks if not path.is_file()]:
        for path in sorted(suspects(todo)):
            bar.update(run_carefully(job, chunks[path], path))
        rest = [partial(run_chunk, job, chunks[path], path) for path in todo if not path.is_file()]
        if not rest:
            return
        try:
            with fresh(min(cores(), len(rest)), job.preload) as pool:
                share_out(pool, rest, bar)
        except BrokenProcessPool:
            if not suspects(todo):
                raise StudyError(KILLED) from None


def run_chunks(
    stage: str,
    unit: str,
    work: Callable[[Item], Done],
    items: Sequence[Item],
    folder: Path,
    crashed: Callable[[Item], Row] | None = None,
    limit: float = TIME_LIMIT,
    preload: Sequence[str] = (),
) -> list[Row]:
    """Do ``work`` on every item and return the rows in the items' order; ``folder`` then holds the pictures.

    Args:
        work: a function of one item that another process can be sent (of a module, or a partial of one).
        folder: the work folder; the same items must come with the same folder (see ``work_folder``).
        crashed: the row of an item that ends its process twice, or takes longer than ``limit`` seconds twice.
        preload: modules that the work imports; the processes that do it then share their memory.

    Raises:
        StudyError: there is such an item and no ``crashed``.
    """
    starts = range(0, len(items), CHUNK)
    chunks = {folder / f"{start // CHUNK:06d}.tar": items[start : start + CHUNK] for start in starts}
    done = sum(len(chunk) for path, chunk in chunks.items() if path.is_file())
    with tqdm(total=len(items), initial=done, desc=stage, unit=unit) as bar:
        run_missing(Job(work, limit, crashed, preload), chunks, bar)
    return [row for path in chunks for row in read_rows(path)]
