"""A study with crops to label and captions to review, the server of its pages, and a browser to look at them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from dreamshot.models import write_model_record
from dreamshot.paths import CAPTION_ROWS, CROP_ROWS, CROPS
from dreamshot.records import write_shards, write_table
from dreamshot.work import folder_hash
from tests.stills import scene
from tests.tiny_models import write_base
from tests.tiny_study import caption_of, frame_rows, write_ingest, write_params

REPO = Path(__file__).parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PATIENCE = 60  # seconds


def write_pages_study(train: int = 11, side: int = 64, **changes: dict[str, Any]) -> pd.DataFrame:
    """In the current directory: crops of ``3 * (train + 4)`` frames, captions of ``3 * train``; returns the frames.

    ``changes``: to groups of the parameters.
    """
    write_params(**changes)
    folder = write_base(Path("tiny") / "base")
    write_model_record("base", {"source": str(folder), "revision": "", "sha256": folder_hash(folder)})
    rows = frame_rows(train=train)
    write_ingest(rows)
    write_table(rows[["frame", "film"]].assign(x=4, y=0, side=side), CROP_ROWS, by="frame")
    pictures = ((frame, scene(place, side, side)) for place, frame in enumerate(rows["frame"]))
    write_shards(pictures, CROPS / "shards")
    captions = [caption_of(frame) for frame in rows["frame"]]
    rows = rows.assign(raw=captions, reviewed="", editor="", captioner="tiny", caption=captions, flags="")
    write_table(rows[rows["split"] != "probe"], CAPTION_ROWS, by="frame")
    return rows


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


class Server:
    """A server of Streamlit's in a folder, on loopback: Python with the given arguments, {port} filled in."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        port = free_port()
        self.folder, self.address = folder, f"http://127.0.0.1:{port}"
        self.command = [sys.executable, *(argument.format(port=port) for argument in arguments)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(REPO)}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        """As a power cut would: without a chance to tidy up."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=PATIENCE)


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Server]:
    server = Server(folder, *arguments)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def browsing(width: int = 1280, height: int = 800) -> Iterator[Any]:
    """A page of the system's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE * 1000)
        yield page
        browser.close()
