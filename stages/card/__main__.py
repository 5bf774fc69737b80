"""Say what the study's data are: where they come from, what was left out, who labelled them, which sets they make.

    python -m stages.card

Writes ``reports/dataset/README.md``, a card in the manner of the Hugging Face hub, and ``croissant.json``, the same for
machines (Croissant 1.1), from the records of ingest, crop, select and caption. The same records give the same bytes:
nothing here reads a clock, and the date of publication is that of the last label or review.
"""

from dreamshot import paths
from dreamshot.errors import main
from dreamshot.params import load_params
from dreamshot.provenance import write_json
from dreamshot.work import clean, write_atomic
from stages.card.croissant import check, metadata
from stages.card.facts import read_records
from stages.card.text import render


def run() -> None:
    records = read_records(load_params())
    card, described = render(records), metadata(records)
    clean(paths.CARD)
    write_atomic(paths.CARD / "README.md", card.encode())
    write_json(paths.CARD / "croissant.json", described)
    check(paths.CARD / "croissant.json")
    print(f"card: {paths.CARD} ({len(records.frames):,} frames of {records.frames['film'].nunique()} films)")


if __name__ == "__main__":
    main(run)
