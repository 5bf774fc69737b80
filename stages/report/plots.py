"""The tables behind ``dvc plots``: tidy, a row a point."""

import pandas as pd

from dreamshot.params import SET_NAMES
from stages.report.aggregates import METRICS, PAIR_SETS, pairs
from stages.report.records import Study


def differences(study: Study) -> pd.DataFrame:
    """A row a pair and metric: its scores in both arms, their difference, its rank from the lowest difference."""
    parts = [pd.DataFrame(columns=["set", "metric", "shot_type", "film", "pair", "baseline", "ours", "diff", "rank"])]
    for name in PAIR_SETS:
        rows = study.scores[study.scores["set"] == name]
        for metric, column in METRICS.items():
            table = pairs(rows, column) if len(rows) else pd.DataFrame()
            if len(table):
                table = table.assign(set=name, metric=metric, diff=(table["ours"] - table["baseline"]).round(6))
                table = table.sort_values(["diff", "pair"]).assign(rank=range(len(table)))
                parts.append(table[parts[0].columns])
    return pd.concat(parts[1:], ignore_index=True) if len(parts) > 1 else parts[0]


def strengths(study: Study) -> pd.DataFrame:
    """Each picture of the grid: shot_type, pair, strength and its scores."""
    rows = study.scores[(study.scores["set"] == SET_NAMES[3]) & (study.scores["arm"] != "baseline")]
    return rows.sort_values(["shot_type", "pair", "strength"])[["shot_type", "pair", "strength", *METRICS.values()]]


def confusion(study: Study) -> pd.DataFrame:
    """A row a real crop that was held out: actual, predicted."""
    held_out = study.probe.get("held_out", {"labels": [], "confusion": []})
    labels = held_out["labels"]
    cells = [
        (actual, predicted)
        for actual, row in zip(labels, held_out["confusion"], strict=True)
        for predicted, count in zip(labels, row, strict=True)
        for _ in range(count)
    ]
    return pd.DataFrame(cells, columns=["actual", "predicted"])


def tables(study: Study) -> dict[str, pd.DataFrame]:
    """Every table by its file's name."""
    return {
        "differences": differences(study),
        "strengths": strengths(study),
        "confusion": confusion(study),
    }
