"""The server of the pages: how it starts, what keeps it from that, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import PATIENCE, REPO, serving, write_pages_study


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pages_study(train=1)
    return tmp_path


def started(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a server that cannot start."""
    command = [sys.executable, "-m", "survey_app.researcher", *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def test_ctrl_c_ends_it_without_a_traceback(study: Path) -> None:
    with serving(study, "-m", "survey_app.researcher", "--port={port}") as server:
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=PATIENCE) == 0
    said = (study / "server.log").read_text()
    assert said.startswith("label: open http://localhost:")
    assert "Traceback" not in said


def test_a_port_in_use_is_told_in_one_line(study: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = started(study, f"--port={port}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: --port {port}: cannot be had; end the other server, or give another port\n"


@pytest.mark.parametrize(("page", "command"), [("label", "label"), ("agreement", "label"), ("captions", "captions")])
def test_a_page_without_its_table_says_what_makes_it(tmp_path: Path, page: str, command: str) -> None:
    done = started(tmp_path, page)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"run `make {command}`, which makes it first" in done.stderr
