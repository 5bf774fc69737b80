"""Write the hand labels of the demo's pool, as a person who looks at the stills one by one would leave them.

    python -m demo.labels

Reads ``data/raw/demo/truth.csv`` (see ``demo.pool``), writes ``data/labels/demo/labels.csv`` (file, shot_type,
labeller, date), which is committed: the study takes it as it takes any person's. Between two classes the nearer one is
given, and one border case in six is rejected as neither; stills too small or too broken to look at have no label.
"""

import csv
from pathlib import Path

from demo.pool import FOLDER, SEED, write_csv
from demo.world import generator

LABELS = Path("data/labels/demo/labels.csv")
LABELLER = "demo"
DATE = "2026-11-20"
UNSEEN = ("tiny", "truncated")
REJECTED = 1 / 6  # of the border cases


def label(row: dict[str, str]) -> str:
    """A still's shot type, or reject; the same for a copy as for the still itself."""
    undecided = generator("label", SEED, row["caption"], row["distance"]).random() < REJECTED
    return "reject" if row["border"] == "True" and undecided else row["shot_type"]


def main() -> None:
    with (FOLDER / "truth.csv").open(encoding="utf-8", newline="") as file:
        seen = [row for row in csv.DictReader(file) if row["defect"] not in UNSEEN]
    rows = [{"file": row["file"], "shot_type": label(row), "labeller": LABELLER, "date": DATE} for row in seen]
    LABELS.parent.mkdir(parents=True, exist_ok=True)
    write_csv(LABELS, rows)
    print(f"labels: {len(rows)} in {LABELS}")


if __name__ == "__main__":
    main()
