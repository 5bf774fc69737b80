"""Workers: they end with the process that started them, however it ended."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from stages.chunks import executor, share_out

ROOT = Path(__file__).parents[2]
PARENT = """
import os, time
from stages.chunks import executor
with executor(2) as pool:
    jobs = [pool.submit(os.getpid) for _ in range(8)]
    print(*sorted({job.result() for job in jobs} | set(pool._processes)), flush=True)
    time.sleep(60)
"""


def alive(process: int) -> bool:
    """Whether it runs; one that ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_end_when_their_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
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
