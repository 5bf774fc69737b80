"""``python -m stages.ingest``: see the package."""

import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dreamshot.errors import StudyError, main
from dreamshot.params import Ingest, load_params
from dreamshot.paths import FRAMES, INGEST, LEDGER
from dreamshot.provenance import write_run
from dreamshot.records import Pool, copy_shards, write_table
from dreamshot.seeds import digest
from dreamshot.work import clean, code_hash, work_folder
from stages.chunks import run_chunks
from stages.ingest.listing import Entry, read_listing, sign
from stages.ingest.rules import RULES, Row, examine, without_duplicates

FRAME_COLUMNS = ["frame", "film", "year", "file", "width", "height", "mode", "dhash"]
LEDGER_COLUMNS = ["file", "frame", "film", "rule", "value", "limit"]


def work_of(folder: Path, entries: list[Entry], params: Ingest) -> Path:
    """The work folder for these files as they are, these parameters and this code."""
    listing = digest(*(sign(folder, entry) for entry in entries))
    return work_folder("ingest", code_hash("stages/ingest", "stages/chunks.py"), params.model_dump_json(), listing)


def counts(ledger: list[Row]) -> dict[str, int]:
    """How many files went by each rule that any went by, in the rules' order."""
    found = Counter(row["rule"] for row in ledger)
    return {rule: found[rule] for rule in RULES if rule in found}


def write(kept: list[Row], ledger: list[Row], work: Path, params: Ingest) -> None:
    """Write the stage's output; the ledger is there even where nothing was kept."""
    clean(INGEST)
    write_table(pd.DataFrame(ledger, columns=LEDGER_COLUMNS, dtype="str"), LEDGER, by="file")
    if not kept:
        reasons = ", ".join(f"{number} {rule}" for rule, number in counts(ledger).items())
        raise StudyError(
            f"none of {len(ledger)} files is kept ({reasons}); see {LEDGER}, or lower ingest.* in params.yaml"
        )
    write_table(pd.DataFrame(kept, columns=FRAME_COLUMNS), FRAMES, by="frame")
    copy_shards(Pool(work), sorted(row["frame"] for row in kept), INGEST / "shards")
    facts: dict[str, Any] = {"kept": len(kept), "rejected": counts(ledger)}
    write_run(INGEST, params, **facts)


def run() -> None:
    profile = load_params()
    folder, params = Path(profile.frames), profile.ingest
    entries = read_listing(folder)
    work = work_of(folder, entries, params)
    rows = run_chunks("ingest", "file", partial(examine, folder=folder, params=params), entries, work)
    kept, twins = without_duplicates([row for row in rows if "rule" not in row], params)
    ledger = [row for row in rows if "rule" in row] + twins
    write(kept, ledger, work, params)
    shutil.rmtree(work)
    reasons = ", ".join(f"{number} {rule}" for rule, number in counts(ledger).items())
    print(f"ingest: {len(kept)} of {len(entries)} files kept; rejected: {reasons or 'none'}")


if __name__ == "__main__":
    main(run)
