"""``python -m survey_app.researcher [label | agreement | captions]``: serve the pages, until Ctrl-C."""

import argparse
import socket
from contextlib import suppress

from dreamshot.errors import StudyError, main
from dreamshot.params import load_params
from dreamshot.paths import CAPTION_ROWS, CROP_ROWS

PAGES = {"label": "", "agreement": "agreement", "captions": "captions"}  # page -> path
ADDRESS = "127.0.0.1"
SETTINGS = {
    "server.address": ADDRESS,
    "server.headless": True,
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "theme.primaryColor": "#2f5d8a",
}


def check_page(page: str) -> None:
    """What the page shows is there."""
    needed, command = (CAPTION_ROWS, "make captions") if page == "captions" else (CROP_ROWS, "make label")
    if not needed.is_file():
        raise StudyError(f"{needed}: no such table; run `{command}`, which makes it first")
    load_params()


def check_port(port: int) -> None:
    """Nobody else listens there."""
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((ADDRESS, port))
        except (OSError, OverflowError):
            raise StudyError(f"--port {port}: cannot be had; end the other server, or give another port") from None


def run() -> None:
    parser = argparse.ArgumentParser(prog="python -m survey_app.researcher", description=__doc__)
    parser.add_argument("page", nargs="?", choices=tuple(PAGES), default="label")
    parser.add_argument("--port", type=int, default=8501)
    given = parser.parse_args()
    check_page(given.page)
    check_port(given.port)
    from survey_app.researcher.app import app

    print(f"{given.page}: open http://localhost:{given.port}/{PAGES[given.page]} (Ctrl-C ends it)", flush=True)
    with suppress(KeyboardInterrupt):
        app.run(config=SETTINGS | {"server.port": given.port})


if __name__ == "__main__":
    main(run)
