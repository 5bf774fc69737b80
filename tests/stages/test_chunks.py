"""Workers end with the process that started them; what ends a worker does not end the run; nothing is done twice."""

import os
import re
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamshot.errors import StudyError
from dreamshot.records import Pool
from stages import chunks
from stages.chunks import CHUNK, Done, Job, executor, marker, read_rows, run_chunk, run_chunks, share_out

ROOT = Path(__file__).parents[2]
PARENT = """
import os, time
from stages.chunks import executor, fresh
if __name__ == "__main__":
    with {kind}(2) as pool:
        jobs = [pool.submit(os.getpid) for _ in range(8)]
        print(*sorted({{job.result() for job in jobs}} | set(pool._processes)), flush=True)
        time.sleep(60)
"""


def alive(process: int) -> bool:
    """Whether it runs; one that ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kind", ["executor", "fresh"])
def test_workers_end_when_their_parent_is_killed(kind: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(kind=kind)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    workers = [int(word) for word in parent.stdout.readline().split()]
    assert len(workers) == 2
    assert all(alive(worker) for worker in workers)
    parent.kill()
    parent.wait(timeout=10)
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(worker) for worker in workers)


PRELOADED = """
from stages.chunks import fresh
if __name__ == "__main__":
    with fresh(1, ["colorsys"]) as pool:
        print(pool.submit(eval, "{'colorsys', 'wave'} & set(__import__('sys').modules)").result())
"""


def test_the_server_imports_what_it_is_told_to() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PRELOADED], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'colorsys'}\n"


def test_an_interrupt_is_for_the_parent() -> None:
    with chunks.fresh(1) as pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


class Bar:
    """A progress bar that remembers where it was."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def update(self, count: int) -> None:
        self.seen.append(count)


def test_with_one_worker_the_bar_moves_after_each_job() -> None:
    bar, before = Bar(), []

    def job() -> int:
        before.append(len(bar.seen))
        return 5

    with executor(1) as pool:
        share_out(pool, [job, job, job], bar)
    assert before == [0, 1, 2]
    assert bar.seen == [5, 5, 5]


def test_the_first_error_is_raised_and_nothing_is_counted_for_it() -> None:
    bar = Bar()
    with pytest.raises(ValueError, match="invalid literal"), executor(2) as pool:
        share_out(pool, [partial(int, "7"), partial(int, "x")], bar)
    assert bar.seen in ([7], [])


# --- chunks ---


def picture(item: int) -> np.ndarray:
    return np.full((2, 3, 3), item, np.uint8)


def draw(
    item: int, log: Path, deadly: Sequence[int] = (), endless: Sequence[int] = (), huge: Sequence[int] = ()
) -> Done:
    """An item's picture; some end their process. The log has a line for each item that was begun."""
    with log.open("a") as file:
        file.write(f"{item} {os.getpid()}\n")
    if item in deadly:
        os._exit(3)
    if item in endless:
        re.match("(a+)+$", "a" * 100 + "b")  # in C, and with the interpreter locked
    if item in huge:
        raise MemoryError
    return Done({"item": item}, f"{item:03d}", picture(item))


def gone(item: int) -> dict[str, Any]:
    return {"item": item, "gone": True}


def begun(log: Path) -> list[tuple[int, int]]:
    """(item, process) of every item that was begun."""
    return [(int(item), int(process)) for item, process in map(str.split, log.read_text().splitlines())]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.mark.parametrize("cores", [1, 2])
def test_rows_come_in_order_and_pictures_by_id(work: Path, log: Path, cores: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(chunks, "cores", lambda: cores)
    rows = run_chunks("draw", "item", partial(draw, log=log), range(CHUNK + 3), work)
    assert rows == [{"item": item} for item in range(CHUNK + 3)]
    pool = Pool(work)
    assert np.array_equal(pool.pixels("017"), picture(17))
    assert sorted(path.name for path in work.iterdir()) == ["000000.tar", "000001.tar"]


def test_an_item_that_ends_its_process_gets_its_row_and_the_rest_are_done(work: Path, log: Path) -> None:
    bad = {"deadly": [3, 4, 2 * CHUNK], "endless": [CHUNK + 2], "huge": [2 * CHUNK + 1]}
    every = {item for items in bad.values() for item in items}
    count = 3 * CHUNK + 1
    rows = run_chunks("draw", "item", partial(draw, log=log, **bad), range(count), work, gone, limit=2.0)
    assert rows == [gone(item) if item in every else {"item": item} for item in range(count)]
    pool = Pool(work)
    assert {f"{item:03d}" for item in range(count)} - set(pool) == {f"{item:03d}" for item in every}
    assert all(np.array_equal(pool.pixels(f"{item:03d}"), picture(item)) for item in set(range(count)) - every)
    assert {path.suffix for path in work.iterdir()} <= {".tar", ".part"}


@pytest.mark.parametrize("cores", [1, 2])
def test_who_cannot_tell_of_such_an_item_hears_its_name(work: Path, log: Path, cores: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(chunks, "cores", lambda: cores)
    with pytest.raises(StudyError, match=r"^7 ends the process that works on it, or takes too long; leave it out and"):
        run_chunks("draw", "item", partial(draw, log=log, deadly=[7]), range(9), work)


def test_what_an_earlier_run_died_on_is_done_one_by_one_in_one_process(work: Path, log: Path) -> None:
    marker(work / "000001.tar").touch()
    rows = run_chunks("draw", "item", partial(draw, log=log, deadly=[CHUNK + 1]), range(3 * CHUNK), work, gone)
    first = [(item, process) for item, process in begun(log)[:CHUNK]]
    assert [item for item, _ in first] == list(range(CHUNK, 2 * CHUNK))
    assert first[0][1] == first[1][1] != first[2][1]  # a new process after the one that died
    assert len({process for _, process in first[2:]}) == 1
    assert rows[CHUNK + 1] == gone(CHUNK + 1)


def test_after_a_kill_amid_such_a_chunk_its_finished_items_are_not_done_again(work: Path, log: Path) -> None:
    marker(work / "000000.tar").touch()
    chunks.run_single(Job(partial(draw, log=log)), 0, work / "000000.00")
    log.unlink()
    assert run_chunks("draw", "item", partial(draw, log=log), range(3), work) == [{"item": item} for item in range(3)]
    assert [item for item, _ in begun(log)] == [1, 2]


def test_an_item_within_its_time_is_left_alone(work: Path, log: Path) -> None:
    began = time.monotonic()
    rows = run_chunks("draw", "item", partial(slow, seconds=0.3), range(4), work, gone, limit=1.0)
    assert rows == [{"item": item} for item in range(4)]
    assert time.monotonic() - began > 1.0  # the limit holds for each item, not for all


def slow(item: int, seconds: float) -> Done:
    time.sleep(seconds)
    return Done({"item": item})


def test_a_process_that_dies_beside_its_work_ends_the_run(work: Path, log: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(chunks, "suspects", lambda paths: set())
    with pytest.raises(StudyError, match="a worker process was killed"):
        run_chunks("draw", "item", partial(draw, log=log, deadly=[0]), range(2), work)


def test_an_error_leaves_no_chunk_under_suspicion(work: Path) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        run_chunks("draw", "item", wrong, ["7", "x"], work)
    assert not list(work.glob("*.started"))


def wrong(item: str) -> Done:
    return Done({"item": int(item)})


def outlive(limit: float) -> bool:
    with chunks.watched(limit):
        pass
    time.sleep(3 * limit)
    return True


def test_the_watch_ends_with_the_item() -> None:
    with chunks.fresh(1) as pool:
        assert pool.submit(outlive, 0.2).result()


def test_a_chunk_holds_one_picture_at_a_time(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[np.ndarray]] = []
    written = []

    def make(item: int) -> Done:
        pixels = picture(item)
        assert all(reference() is None for reference in made)
        made.append(weakref.ref(pixels))
        return Done({"item": item}, f"{item}", pixels)

    def add(tar: Any, name: str, data: bytes) -> None:
        written.append((name, len(made)))
        add_to(tar, name, data)

    add_to = chunks.add
    monkeypatch.setattr(chunks, "add", add)
    path = work / "000000.tar"
    assert run_chunk(Job(make), range(3), path) == 3
    assert written == [("0.png", 1), ("1.png", 2), ("2.png", 3), (chunks.ROWS, 3)]
    assert read_rows(path) == [{"item": item} for item in range(3)]
