"""The records that the card is written from, and what they say of sources, filters, sets and dates."""

import json
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dreamshot import paths
from dreamshot.params import SHOT_TYPES, Profile
from dreamshot.records import read_table
from stages.report.aggregates import ingest
from stages.report.page import RULES

SPLITS = ("train", "test", "probe")
LIMITS = {
    "too_old": "min_year",
    "too_many_pixels": "max_pixels",
    "channels": "min_channels",
    "chroma": "min_chroma",
    "min_side": "min_side",
    "near_duplicate": "near_duplicate",
}  # rule -> its parameter below ``ingest``
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Records:
    """The parameters and the tables, as the stages have left them; ``blind`` crops show where nothing was found."""

    profile: Profile
    frames: pd.DataFrame
    ledger: pd.DataFrame
    crops: pd.DataFrame
    select: pd.DataFrame
    labels: pd.DataFrame
    captions: pd.DataFrame
    blind: int


def read_records(profile: Profile) -> Records:
    """Read every record that the card needs.

    Raises:
        StudyError: one is missing.
    """
    run = paths.CROPS / paths.RUN
    return Records(
        profile=profile,
        frames=read_table(paths.FRAMES),
        ledger=read_table(paths.LEDGER),
        crops=read_table(paths.CROP_ROWS),
        select=read_table(paths.SELECT_ROWS),
        labels=read_table(paths.LABEL_ROWS),
        captions=read_table(paths.CAPTION_ROWS),
        blind=json.loads(run.read_text()).get("blind", 0) if run.is_file() else 0,
    )


def sources(records: Records) -> list[dict[str, Any]]:
    """Films, kept frames and frames in use by licence and source as they were given, the largest first."""
    rows = records.frames.assign(used=records.frames["frame"].isin(records.select["frame"]))
    groups = rows.groupby(["licence", "source"], sort=True)
    table = groups.agg(films=("film", "nunique"), frames=("frame", "size"), used=("used", "sum")).reset_index()
    table = table.sort_values("frames", ascending=False, kind="stable")
    columns = (table[column].tolist() for column in ("licence", "source", "films", "frames", "used"))
    return [
        {"licence": licence, "source": source, "films": films, "frames": frames, "used": used}
        for licence, source, films, frames, used in zip(*columns, strict=True)
    ]


def licences(records: Records) -> list[str]:
    """Every licence that was given for a frame, in order; "" stands for none given."""
    return sorted(records.frames["licence"].unique())


def filters(records: Records) -> list[dict[str, Any]]:
    """Each rule of ingest: what it means, its parameter and value, and how many files went by it."""
    rejected = ingest(records.frames, records.ledger)["rejected"]
    params = records.profile.ingest.model_dump()
    rows = []
    for rule in [*RULES, *sorted(set(rejected) - set(RULES) - {"total"})]:
        key = LIMITS.get(rule, "")
        rows.append({
            "rule": rule, "meaning": RULES.get(rule, rule.replace("_", " ")), "n": rejected.get(rule, 0),
            "key": f"ingest.{key}" if key else "", "value": value_text(params[key]) if key else "",
        })  # fmt: skip
    return rows


def value_text(value: Any) -> str:
    """A parameter's value, a group of them as "key value, key value"."""
    return ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else str(value)


def sets(records: Records) -> list[dict[str, Any]]:
    """Films and frames by set and shot type."""
    rows = []
    for split in SPLITS:
        part = records.select[records.select["split"] == split]
        counts = part["shot_type"].value_counts()
        kinds: dict[str, Any] = {kind: int(counts.get(kind, 0)) for kind in SHOT_TYPES}
        rows.append({"split": split, "films": int(part["film"].nunique()), "frames": len(part)} | kinds)
    return rows


def last_day(records: Records) -> str:
    """The day (UTC) of the last label or review, "" where no time is known."""
    times = [*records.labels["time"], *records.captions["time"]]
    return max((found.group() for time in times if (found := DAY.match(time))), default="")
