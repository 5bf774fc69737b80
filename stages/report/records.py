"""Everything that the other stages have recorded, read once."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dreamshot import paths
from dreamshot.errors import StudyError
from dreamshot.models import model_record, needed
from dreamshot.params import SET_NAMES, SHOT_TYPES, Profile
from dreamshot.records import read_table


@dataclass(frozen=True)
class Study:
    """The parameters and the records: ``scores`` and ``pictures`` have a row a picture, ``logs`` a row a step."""

    profile: Profile
    frames: pd.DataFrame
    ledger: pd.DataFrame
    select: pd.DataFrame
    labels: pd.DataFrame
    captions: pd.DataFrame
    pictures: pd.DataFrame
    scores: pd.DataFrame
    probe: dict[str, Any]
    logs: pd.DataFrame
    models: dict[str, dict[str, str]]


def read_json(path: Path) -> dict[str, Any]:
    """A stage's JSON; a missing one names the remedy."""
    if not path.is_file():
        raise StudyError(f"{path}: no such file; run `dvc repro`, or the stage that writes {path.parent}")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def read_logs() -> pd.DataFrame:
    """The training losses of all shot types, as dvclive has written them: shot_type, step, loss."""
    parts = [pd.DataFrame(columns=["shot_type", "step", "loss"])]
    for name in SHOT_TYPES:
        path = paths.TUNED / name / paths.LOSSES
        if path.is_file():
            parts.append(pd.read_csv(path, sep="\t").assign(shot_type=name))
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True)[["shot_type", "step", "loss"]] if filled else parts[0]


def read_study(profile: Profile) -> Study:
    """Read every record that the report needs.

    Raises:
        StudyError: one is missing, or the pictures of the sets are not those that were scored.
    """
    pictures = pd.concat([read_table(paths.PAIRS / name / paths.PICTURE_ROWS) for name in SET_NAMES], ignore_index=True)
    scores = read_table(paths.SCORE_ROWS)
    if set(scores["picture"]) != set(pictures["picture"]):
        odd = min(set(scores["picture"]) ^ set(pictures["picture"]))
        raise StudyError(f"{paths.SCORE_ROWS}: picture {odd!r} is not in it and in {paths.PAIRS} alike; score again")
    return Study(
        profile=profile,
        frames=read_table(paths.FRAMES),
        ledger=read_table(paths.LEDGER),
        select=read_table(paths.SELECT_ROWS),
        labels=read_table(paths.LABEL_ROWS),
        captions=read_table(paths.CAPTION_ROWS),
        pictures=pictures,
        scores=scores,
        probe=read_json(paths.PROBE),
        logs=read_logs(),
        models={key: model_record(key) for key in needed(profile)},
    )
