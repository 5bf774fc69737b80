"""The benchmark of ingest and crop at scale: its looks see what they should, and it runs to its end."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import scale

HUNGRY = """
import os, time
os.fork()
data = b"x" * 50_000_000
print(flush=True)
time.sleep(60)
"""


def test_memory_is_that_of_all_processes_of_a_session() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HUNGRY], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    for _ in range(2):
        process.stdout.readline()
    try:
        assert len(list(scale.members(process.pid))) == 2
        assert 100e6 < scale.memory(process.pid) < 150e6
    finally:
        os.killpg(process.pid, 9)
        process.communicate()
    assert scale.memory(process.pid) == 0


def test_a_chunk_that_is_written_again_is_seen(tmp_path: Path) -> None:
    path = tmp_path / ".work" / "crop" / "key" / "000000.tar"
    path.parent.mkdir(parents=True)
    path.write_text("a")
    before = scale.chunks(tmp_path, "crop")
    assert before == scale.chunks(tmp_path, "crop")
    path.with_suffix(".part").write_text("a")
    path.with_suffix(".part").replace(path)
    assert scale.chunks(tmp_path, "crop").keys() == before.keys()
    assert scale.chunks(tmp_path, "crop") != before


def test_a_small_one_ends_with_the_same_bytes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(scale, "SIZES", ())
    scale.main(["--frames", "48", "--kill", "1", "--method", "centre"])
    told = capsys.readouterr().out
    assert re.findall(r"^ +(\d+) (\w+) +[\d.]+ +[\d.]+ +\d+$", told, re.M) == [
        ("48", "ingest"),
        ("48", "crop"),
    ]
    assert told.count("the same bytes") == 1
    assert told.count(" 0 written again") == 2
