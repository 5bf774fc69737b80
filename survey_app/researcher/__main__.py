"""``python -m survey_app.researcher [label | agreement | captions]``: serve the pages, until Ctrl-C."""

import argparse

from dreamshot.errors import StudyError, main
from dreamshot.params import load_params
from dreamshot.paths import CAPTION_ROWS, CROP_ROWS

PAGES = {"label": "", "agreement": "agreement", "captions": "captions"}  # page -> path


def check(page: str) -> None:
    """What the page shows is there."""
    needed = CAPTION_ROWS if page == "captions" else CROP_ROWS
    if not needed.is_file():
        raise StudyError(f"{needed}: no such table; run `make {page}`, which makes it first")
    load_params()


def run() -> None:
    parser = argparse.ArgumentParser(prog="python -m survey_app.researcher", description=__doc__)
    parser.add_argument("page", nargs="?", choices=tuple(PAGES), default="label")
    parser.add_argument("--port", type=int, default=8501)
    arguments = parser.parse_args()
    check(arguments.page)
    from survey_app.researcher.app import app

    print(
        f"{arguments.page}: open http://localhost:{arguments.port}/{PAGES[arguments.page]} (Ctrl-C ends it)", flush=True
    )
    app.run(
        config={
            "server.address": "127.0.0.1",
            "server.port": arguments.port,
            "server.headless": True,
            "server.fileWatcherType": "none",
            "browser.gatherUsageStats": False,
            "client.toolbarMode": "minimal",
            "theme.primaryColor": "#2f5d8a",
        }
    )


if __name__ == "__main__":
    main(run)
