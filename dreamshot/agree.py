"""Do the results of this run agree with the committed ones?

    python -m dreamshot.agree

On the same kind of processor with the same package versions every picture must be equal to the bit. Elsewhere sums are
taken in another order and pictures differ a little; there each set's means must lie within NOISE of the committed ones.
Exit code 0 when they agree, 1 when they do not.
"""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dreamshot.errors import StudyError, main
from dreamshot.paths import METRICS, PICTURE_HASHES, REPORTS, RUN

SCORES = METRICS / "scores.json"
COMPARED = ("main", "ablation", "control")
SAME_MACHINE = ("python", "system", "cpu", "cpu_kind", "threads", "versions")
# How far a set's mean may move between machines. A picture that tips over moves a shot accuracy by 1/n of its set.
NOISE = {"clip_t": 0.02, "dino": 0.03, "shot_accuracy": 0.10}


def committed(path: Path) -> str:
    """A file's content at the commit that is checked out."""
    done = subprocess.run(["git", "show", f"HEAD:{path.as_posix()}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StudyError(f"{path}: not committed here; compare in a clone of the project")
    return done.stdout


def pictures(text: str) -> dict[str, str]:
    """Pixel hashes by picture id."""
    return {row["picture"]: row["pixels"] for row in csv.DictReader(io.StringIO(text))}


def same_machine(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return all(ours.get(key) == theirs.get(key) for key in SAME_MACHINE)


def pixel_differences(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """The ids of pictures that are not bit-equal, or that only one side has."""
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


def score_differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """A line for each set and metric whose means are further apart than NOISE, or that only one side has."""
    lines = []
    for name in COMPARED:
        for metric, bound in NOISE.items():
            mine, other = (side.get(name, {}).get(metric, {}) for side in (ours, theirs))
            for arm in sorted((mine.keys() | other.keys()) & {"baseline", "ours"}):
                here, there = mine.get(arm), other.get(arm)
                if here is None or there is None or abs(here - there) > bound:
                    lines.append(f"{name}.{metric}.{arm}: {here} here, {there} committed, noise {bound}")
    return lines


def run() -> None:
    environments = json.loads((REPORTS / RUN).read_text()), json.loads(committed(REPORTS / RUN))
    hashes = pictures(PICTURE_HASHES.read_text()), pictures(committed(PICTURE_HASHES))
    scores = json.loads(SCORES.read_text()), json.loads(committed(SCORES))
    changed = pixel_differences(*hashes)
    print(f"agree: {len(hashes[0]) - len(changed)} of {len(hashes[1])} pictures are bit-equal to the committed ones")
    if same_machine(*environments):
        wrong = [f"{key}: other pixels on the same processor and versions" for key in changed]
    else:
        print("agree: another processor or other versions, so means are compared within the stated noise")
        wrong = score_differences(*scores)
    if wrong:
        print("\n".join(wrong[:10]), file=sys.stderr)
        sys.exit(1)
    print("agree: yes")


if __name__ == "__main__":
    main(run)
