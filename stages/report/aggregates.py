"""The numbers of ``reports/metrics/``: each derived from the rows of pictures and scores, the ledger and the probe.

Keys of ``scores.json``: ``<set>.<metric>.<value>`` and ``<set>.<shot type>.<metric>.<value>`` for the sets of pairs,
metrics clip_t, dino, shot_accuracy. Of the values, ``p`` is that of the t test over films, the dual of ``ci_lo`` and
``ci_hi`` and free to go as low as the data say; ``p_flip`` is the sign-flip test's over films, which needs 11 films to
go below 0.001. What cannot be computed is left out: ``ci_lo``, ``ci_hi``, ``p``, ``p_flip`` with fewer than two films;
``p`` and ``d_z`` where all differences are equal; a whole metric without pairs or, for shot_accuracy, without a probe.
A pair of which any picture failed to be drawn is in no comparison; ``pictures.json`` counts them.
In the set control, "ours" is the baseline from another seed.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from dreamshot import paths
from dreamshot.errors import StudyError
from dreamshot.params import SET_NAMES, SHOT_TYPES
from dreamshot.seeds import seed
from metrics.paired import compare
from stages.report.records import Study

PAIR_SETS = ("main", "ablation", "control")
METRICS = {
    "clip_t": "clip_t",
    "dino": "dino",
    "shot_accuracy": "shot_right",
}  # metric -> column of scores.parquet
FAILURES = ("nan", "black", "flat")
DECIMALS = 6


def failed_pairs(rows: pd.DataFrame) -> set[str]:
    """The pairs of which a picture failed, at whatever strength."""
    return set(rows.loc[rows["failed"], "pair"])


def pairs(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """The pairs of a set: pair, shot_type, film, baseline, ours; those with a failed or unscored picture are dropped.

    "ours" is the other arm at the set's highest strength.
    """
    first, second = rows[rows["arm"] == "baseline"], rows[rows["arm"] != "baseline"]
    second = second[second["strength"] == second["strength"].max()]
    for arm in (first, second):
        twice = arm["pair"][arm["pair"].duplicated()]
        if len(twice):
            raise StudyError(f"{paths.SCORE_ROWS}: pair {twice.iloc[0]!r} has two pictures of one arm; generate again")
    both = first[["pair", "shot_type", "film", column]].merge(
        second[["pair", column]], on="pair", how="outer", suffixes=("_a", "_b")
    )
    if both["film"].isna().any() or len(both) != len(second):
        raise StudyError(f"{paths.SCORE_ROWS}: set {rows['set'].iloc[0]}: a pair lacks one of its arms; generate again")
    both = both.rename(columns={f"{column}_a": "baseline", f"{column}_b": "ours"})
    both = both[~both["pair"].isin(failed_pairs(rows))]
    return both.dropna(subset=["baseline", "ours"]).sort_values("pair", ignore_index=True)


def rounded(value: Any) -> Any:
    """Floats to the decimals that are stored (p keeps its digits, however small), integers as they are."""
    return round(value, DECIMALS) if isinstance(value, float) else value


def compared(table: pd.DataFrame, study: Study, *name: str) -> dict[str, Any]:
    """One comparison as scalars, without what could not be computed."""
    rng = np.random.default_rng(seed(study.profile.seed, "sign-flip", *name))
    result = compare(table["baseline"], table["ours"], table["film"], rng, study.profile.score.confidence)
    values = {key: value for key, value in asdict(result).items() if value is not None}
    if name[-1] == "shot_accuracy":  # the t interval does not know that shares differ by at most 1
        values |= {key: min(max(values[key], -1.0), 1.0) for key in ("ci_lo", "ci_hi") if key in values}
    return {key: float(f"{value:.4g}") if key.startswith("p") else rounded(value) for key, value in values.items()}


def set_scores(rows: pd.DataFrame, study: Study, set_name: str) -> dict[str, Any]:
    """All metrics of one set of pairs, over all and by shot type."""
    block: dict[str, Any] = {}
    for metric, column in METRICS.items():
        table = pairs(rows, column)
        if len(table):
            block[metric] = compared(table, study, set_name, metric)
        for shot_type in SHOT_TYPES:
            part = table[table["shot_type"] == shot_type]
            if len(part):
                block.setdefault(shot_type, {})[metric] = compared(part, study, set_name, shot_type, metric)
    return block


def strength_scores(rows: pd.DataFrame) -> dict[str, Any]:
    """Mean of each metric at each strength, over the same pairs: {"0.25": {"clip_t": ...}}."""
    block: dict[str, Any] = {}
    rows = rows[~rows["pair"].isin(failed_pairs(rows))]
    for strength, part in rows[rows["arm"] != "baseline"].groupby("strength"):
        means = {metric: part[column].mean() for metric, column in METRICS.items()}
        values = {metric: rounded(float(value)) for metric, value in means.items() if not np.isnan(value)}
        block[f"{strength:g}"] = {**values, "n": len(part)}
    return block


def probe_scores(probe: dict[str, Any]) -> dict[str, Any]:
    """How good the instrument for shot_accuracy is: on real crops, films held out."""
    held_out = probe.get("held_out")
    if not held_out:
        return {}
    return {"accuracy": rounded(held_out["accuracy"]), "n": held_out["n"], "films": held_out["groups"]}


def scores(study: Study) -> dict[str, Any]:
    """The content of ``scores.json``."""
    by_set = {name: study.scores[study.scores["set"] == name] for name in (*PAIR_SETS, "strengths")}
    results = {name: set_scores(by_set[name], study, name) for name in PAIR_SETS if len(by_set[name])}
    results["strengths"] = strength_scores(by_set["strengths"])
    results["probe"] = probe_scores(study.probe)
    results["pictures"] = {"scored": len(study.scores), "failed": int(study.scores["failed"].sum())}
    return {key: value for key, value in results.items() if value}


def drawn(rows: pd.DataFrame) -> dict[str, Any]:
    """What became of the pictures of one set; ``retried`` were decoded again in float32, whatever came of it."""
    failures = rows["failure"].value_counts()
    return {
        "pairs": int(rows["pair"].nunique()),
        "pairs_left_out": len(failed_pairs(rows)),
        "pictures": len(rows),
        "failed": {
            "total": int(rows["failed"].sum()),
            **{reason: int(failures.get(reason, 0)) for reason in FAILURES},
        },
        "retried": int(rows["retried"].sum()),
        "cut": int(rows["cut"].sum()),
    }


def pictures(rows: pd.DataFrame) -> dict[str, Any]:
    """The content of ``pictures.json``, by set."""
    return {name: drawn(rows[rows["set"] == name]) for name in SET_NAMES}


def ingest(frames: pd.DataFrame, ledger: pd.DataFrame) -> dict[str, Any]:
    """The content of ``ingest.json``: files read, kept, rejected by the rule that rejected them."""
    rejected = {str(rule): int(count) for rule, count in ledger["rule"].value_counts().sort_index().items()}
    total = sum(rejected.values())
    return {
        "read": len(frames) + total,
        "kept": len(frames),
        "films": int(frames["film"].nunique()),
        "rejected": {"total": total, **rejected},
    }


def shared_films(select: pd.DataFrame) -> dict[str, int]:
    """How many films are in more than one split, how many are in train and test, and how many in test at all."""
    films = select.groupby("split")["film"].agg(set)
    train, test = (films.get(split, set()) for split in ("train", "test"))
    twice = int((select.groupby("film")["split"].nunique() > 1).sum())
    return {"twice": twice, "train_and_test": len(train & test), "test": len(test)}
