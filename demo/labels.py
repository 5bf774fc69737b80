"""Write the simulated labels of the demo's crops, as a person who looks at them one by one would leave them.

    python -m demo.labels

Reads ``data/raw/demo/truth.csv`` (see ``demo.pool``) and the crops of ``dvc repro crop``; writes
``data/labels/demo/labels.csv`` (file, shot_type, reason, who, time), which is committed: the study takes it as it takes
any person's. Between two classes the nearer one is given, and one border case in six is rejected as neither. Rejected
too is a crop that cuts the first person's head: no shot type can be read from it.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from demo.pool import FOLDER, SEED, write_csv
from demo.world import generator
from dreamshot.paths import CROP_ROWS, FRAMES
from dreamshot.records import read_table

LABELS = Path("data/labels/demo/labels.csv")
WHO = "demo"
TIME = "2026-11-22T00:00:00Z"
REJECTED = 1 / 6  # of the border cases
KEPT = 0.75  # of the head's width; a crop that keeps less cuts it


def head_kept(head: Sequence[float], left: float, side: float) -> float:
    """The share of the head's width that a crop from ``left`` to ``left + side`` keeps; a box is (x0, y0, x1, y1)."""
    inside = min(head[2], left + side) - max(head[0], left)
    return max(0.0, inside) / (head[2] - head[0])


def label(truth: dict[str, str], left: float, side: float) -> tuple[str, str]:
    """(a crop's shot type or reject, the reason of a reject); the same for a copy as for the still itself."""
    if head_kept([float(value) for value in truth["head"].split()], left, side) < KEPT:
        return "reject", "subject cut"
    undecided = generator("label", SEED, truth["caption"], truth["distance"]).random() < REJECTED
    return ("reject", "between two types") if truth["border"] == "True" and undecided else (truth["shot_type"], "")


def read_squares() -> pd.DataFrame:
    """Rows file, x, side of every crop, sorted by file."""
    return read_table(CROP_ROWS).merge(read_table(FRAMES)[["frame", "file"]], on="frame").sort_values("file")


def main() -> None:
    with (FOLDER / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = {row["file"]: row for row in csv.DictReader(file)}
    squares = read_squares()
    rows = []
    for file, x, side in zip(squares["file"], squares["x"], squares["side"], strict=True):
        shot_type, reason = label(truth[file], x, side)
        rows.append({"file": file, "shot_type": shot_type, "reason": reason, "who": WHO, "time": TIME})
    LABELS.parent.mkdir(parents=True, exist_ok=True)
    write_csv(LABELS, rows)
    print(f"labels: {len(rows)} in {LABELS}")


if __name__ == "__main__":
    main()
