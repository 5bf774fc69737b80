"""``python -m stages.ingest``: see the package."""

import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from dreamshot.errors import StudyError, main
from dreamshot.params import Ingest, load_params
from dreamshot.paths import FRAMES, INGEST, LEDGER
from dreamshot.provenance import write_run
from dreamshot.records import Pool, copy_shards, write_table
from dreamshot.seeds import digest
from dreamshot.work import clean, code_hash, work_folder
from stages.alike import shrink
from stages.chunks import run_chunks
from stages.ingest.listing import Entry, read_listing, sign
from stages.ingest.rules import RULES, Row, crashed, examine, without_duplicates

FRAME_COLUMNS = [
    "frame", "film", "title", "year", "file", "width", "height", "mode", "dhash", "licence", "source",
]  # fmt: skip
LEDGER_COLUMNS = ["file", "frame", "film", "rule", "value", "limit"]


def work_of(folder: Path, entries: list[Entry], params: Ingest) -> Path:
    """The work folder for these files as they are, these parameters and this code."""
    listing = digest(*(sign(folder, entry) for entry in entries))
    code = code_hash("stages/ingest", "stages/alike.py", "stages/chunks.py")
    return work_folder("ingest", code, params.model_dump_json(), listing)


def counts(ledger: list[Row]) -> dict[str, int]:
    """How many files went by each rule that any went by, in the rules' order."""
    found = Counter(row["rule"] for row in ledger)
    return {rule: found[rule] for rule in RULES if rule in found}


def told(ledger: list[Row]) -> str:
    """The reasons in a line."""
    return ", ".join(f"{number} {rule}" for rule, number in counts(ledger).items()) or "none"


def write(kept: list[Row], ledger: list[Row], pool: Pool, params: Ingest) -> None:
    """Write the stage's output, the frames' table last; the ledger is there even where nothing was kept."""
    clean(INGEST)
    write_table(pd.DataFrame(ledger, columns=LEDGER_COLUMNS, dtype="str"), LEDGER, by="file")
    if not kept:
        raise StudyError(
            f"none of {len(ledger)} files is kept ({told(ledger)}); see {LEDGER}, or lower ingest.* in params.yaml"
        )
    frames = sorted(row["frame"] for row in kept)
    copy_shards(pool, tqdm(frames, desc="ingest: write", unit="frame"), INGEST / "shards")
    facts: dict[str, Any] = {"kept": len(kept), "rejected": counts(ledger)}
    write_run(INGEST, params, **facts)
    write_table(pd.DataFrame(kept, columns=FRAME_COLUMNS), FRAMES, by="frame")


def run() -> None:
    profile = load_params()
    folder, params = Path(profile.frames), profile.ingest
    entries = read_listing(folder)
    work = work_of(folder, entries, params)
    one = partial(examine, folder=folder, params=params)
    rows = run_chunks("ingest", "file", one, entries, work, crashed)
    pool = Pool(work)
    passed = [row for row in rows if "rule" not in row]
    kept, twins = without_duplicates(passed, params.near_duplicate, lambda frame: shrink(pool.image(frame)))
    ledger = [row for row in rows if "rule" in row] + twins
    write(kept, ledger, pool, params)
    shutil.rmtree(work)
    print(f"ingest: {len(kept)} of {len(entries)} files kept; rejected: {told(ledger)}")


if __name__ == "__main__":
    main(run)
