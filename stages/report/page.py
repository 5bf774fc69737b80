"""The page: what the template needs, gathered section by section."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from dreamshot import paths
from dreamshot.params import SHOT_TYPES
from dreamshot.provenance import environment
from dreamshot.records import Pool
from dreamshot.work import code_hash
from stages.report import charts, hand_words, hands, making_words, training, words
from stages.report.aggregates import METRICS, PAIR_SETS, pictures, shared_films
from stages.report.aggregates import ingest as ingest_counts
from stages.report.paper import TABLES
from stages.report.pictures import embed
from stages.report.records import Study

SHOWN = 8  # pairs a shot type, the first by pair id: an arbitrary choice, since ids are hashes
ROWS_OF_GRID = 6
TEMPLATES = Path(__file__).parent / "templates"

RULES = {
    "unlisted": "no row of the films table names the file",
    "missing_film": "the table does not say which film it is from",
    "missing_year": "the table does not say the film’s year",
    "too_old": "the film is older than the study takes",
    "too_many_pixels": "larger than is safe to decode",
    "undecodable": "the file cannot be read to its end",
    "channels": "fewer colour channels than the paper’s rule asks for",
    "chroma": "grey content",
    "min_side": "too small once upright and without its bars",
    "duplicate": "the same pixels as another file",
    "near_duplicate": "nearly the same picture as another",
}

Sources = dict[str, Callable[[], Image.Image]]


def paper_tables(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The paper's tables 3 and 4, row by row beside ours."""
    return [
        {
            "number": table.number, "title": table.title, "pairs": table.pairs,
            "rows": [
                {"metric": row.metric, "paper": row, "here": results.get(table.set_name, {}).get(row.metric)}
                for row in table.rows
            ],
            "extra": results.get(table.set_name, {}).get("shot_accuracy"),
        }
        for table in TABLES
    ]  # fmt: skip


def forest_rows(metric: str, results: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one metric's forest plot: each set over all pairs, then by shot type."""
    rows = []
    for name in PAIR_SETS:
        block = results.get(name, {})
        found = [("all", block.get(metric))] + [(kind, block.get(kind, {}).get(metric)) for kind in SHOT_TYPES]
        rows += [{"set": name, "part": part, "result": result} for part, result in found if result]
    return rows


def forest(metric: str, results: dict[str, Any]) -> dict[str, Any] | None:
    """One metric's forest plot, None without any result."""
    rows = forest_rows(metric, results)
    if not rows:
        return None
    ends = [row["result"][key] for row in rows for key in ("diff", "ci_lo", "ci_hi") if key in row["result"]]
    axis = charts.scale([0.0, *ends])
    for row in rows:
        result, kind = row["result"], f"{row['set']} {'total' if row['part'] == 'all' else 'part'}"
        moved, sure = words.change(metric, result["diff"]), words.interval(metric, result) or "no interval"
        label = f"{row['set']}, {row['part']}: {moved} ({sure})"
        row["svg"] = charts.interval(axis, result["diff"], result.get("ci_lo"), result.get("ci_hi"), kind, label)
    labels = [
        words.minus(f"{100 * tick if metric == 'shot_accuracy' else tick:+g}") if tick else "0" for tick in axis.ticks
    ]
    return {"metric": metric, "rows": rows, "axis": charts.axis_row(axis, labels)}


def shown_pairs(study: Study) -> list[dict[str, Any]]:
    """The first pairs of the set main by shot type, each with its two pictures and their scores."""
    rows = study.scores.merge(study.pictures[["picture", "prompt", "seed"]], on="picture")
    rows = rows[rows["set"] == "main"]
    groups = []
    for shot_type in SHOT_TYPES:
        part = rows[rows["shot_type"] == shot_type]
        chosen = sorted(part["pair"].unique())[:SHOWN]
        pairs = [_pair(part[part["pair"] == pair]) for pair in chosen]
        if pairs:
            groups.append({"shot_type": shot_type, "pairs": pairs, "total": int(part["pair"].nunique())})
    return groups


def _pair(rows: pd.DataFrame) -> dict[str, Any]:
    """Baseline and ours (at the highest strength) of one pair."""
    rows = rows.sort_values("strength", kind="stable")
    baseline, ours = rows[rows["arm"] == "baseline"].iloc[0], rows[rows["arm"] != "baseline"].iloc[-1]
    return {
        "prompt": str(ours["prompt"]),
        "frame": str(ours["frame"]),
        "baseline": _picture(baseline),
        "ours": _picture(ours),
    }


def _picture(row: pd.Series) -> dict[str, Any]:
    """What the page says about one picture; scores that are missing are None."""
    values = {name: None if pd.isna(row[name]) else float(row[name]) for name in ("clip_t", "dino", "shot_right")}
    return {"picture": str(row["picture"]), "shot_pred": str(row["shot_pred"]), **values}


def strengths_grid(study: Study) -> dict[str, Any] | None:
    """The paper's figure 3: a row a caption, a column a strength; of each picture whether it failed."""
    rows = study.scores[(study.scores["set"] == "strengths") & (study.scores["arm"] != "baseline")]
    if rows.empty:
        return None
    prompts = dict(zip(study.pictures["picture"], study.pictures["prompt"], strict=True))
    order = {name: index for index, name in enumerate(SHOT_TYPES)}
    pairs = sorted({(order[kind], pair) for kind, pair in zip(rows["shot_type"], rows["pair"], strict=True)})
    lines = []
    for _, pair in pairs[:ROWS_OF_GRID]:
        part = rows[rows["pair"] == pair].sort_values("strength")
        drawn = list(zip(part["strength"], part["picture"], part["failed"], strict=True))
        lines.append({"prompt": prompts[drawn[0][1]], "shot_type": part["shot_type"].iloc[0], "pictures": drawn})
    return {"strengths": sorted(rows["strength"].unique()), "lines": lines}


def strength_charts(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Mean score against strength, a chart a metric."""
    block = results.get("strengths", {})
    found = []
    for metric in METRICS:
        points = [(float(name), values[metric]) for name, values in block.items() if metric in values]
        if len(points) < 2:
            continue
        x_axis = charts.scale([x for x, _ in points], pad=0.04)
        y_axis = charts.scale([y for _, y in points], ticks=3, pad=0.25)
        if len(points) <= charts.DOTS:
            x_axis = replace(x_axis, ticks=tuple(x for x, _ in points))
        labels = [f"{100 * tick:g}%" if metric == "shot_accuracy" else f"{tick:g}" for tick in y_axis.ticks]
        label = f"{words.METRIC_NAMES[metric]} by strength: " + ", ".join(
            f"{x:g}: {words.score(metric, y)}" for x, y in points
        )
        svg = charts.lines({"ours": points}, x_axis, y_axis, labels, label)
        found.append(
            {
                "metric": metric,
                "pairs": min(values["n"] for values in block.values()),
                "svg": svg,
                "axis": charts.axis_row(x_axis, [f"{tick:g}" for tick in x_axis.ticks]),
            }
        )
    return found


def second_looks(labels: dict[str, Any]) -> list[dict[str, Any]]:
    """The confusion table of two looks, rows the first: only the labels that either look gave."""
    table = labels.get("second_look", {}).get("confusion", {})
    given = [kind for kind, row in table.items() if sum(row.values()) or sum(other[kind] for other in table.values())]
    rows = [{"label": kind, "cells": [table[kind][other] for other in given]} for kind in given]
    return [row | {"total": max(1, sum(row["cells"]))} for row in rows]


def confusion(study: Study) -> dict[str, Any] | None:
    """The probe's confusion on held-out films, rows in the order of the shot types."""
    held_out = study.probe.get("held_out")
    if not held_out:
        return None
    order = [name for name in SHOT_TYPES if name in held_out["labels"]]
    index = [held_out["labels"].index(name) for name in order]
    cells = [[held_out["confusion"][row][column] for column in index] for row in index]
    rows = [{"label": name, "cells": row, "total": max(1, sum(row))} for name, row in zip(order, cells, strict=True)]
    return {**held_out, "labels": order, "rows": rows}


def rejects(study: Study) -> dict[str, Any]:
    """Counts by rule, longest first, each with its first file as an example."""
    counts = ingest_counts(study.frames, study.ledger)
    rules = {rule: n for rule, n in counts["rejected"].items() if rule != "total"}
    longest = max(rules.values(), default=1)
    rows = []
    for rule, n in sorted(rules.items(), key=lambda item: (-item[1], item[0])):
        example = study.ledger[study.ledger["rule"] == rule].sort_values("file").iloc[0]
        rows.append({
            "rule": rule, "meaning": RULES.get(rule, rule.replace("_", " ")), "n": n, "bar": charts.bar(n / longest),
            "file": example["file"], "value": example["value"], "limit": example["limit"],
        })  # fmt: skip
    return {**counts, "rows": rows}


def splits(study: Study) -> list[dict[str, Any]]:
    """Frames and films by split and shot type."""
    rows = []
    for split in ("train", "test", "probe"):
        part = study.select[study.select["split"] == split]
        frames = {kind: int((part["shot_type"] == kind).sum()) for kind in SHOT_TYPES}
        rows.append({"split": split, "films": int(part["film"].nunique()), "frames": frames, "total": len(part)})
    return rows


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested parameters as (dotted key, value)."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        rows += flat(value, f"{name}.") if isinstance(value, dict) else [(name, str(value))]
    return rows


def sources(study: Study, groups: list[dict[str, Any]], grid: dict[str, Any] | None) -> Sources:
    """Where each picture of the page comes from, by picture id or frame id."""
    main, crops = Pool(paths.PAIRS / "main" / "shards"), Pool(paths.CROPS / "shards")
    found: Sources = {}
    for pair in (pair for group in groups for pair in group["pairs"]):
        for arm in ("baseline", "ours"):
            found[pair[arm]["picture"]] = _opener(main, pair[arm]["picture"])
        found[pair["frame"]] = _opener(crops, pair["frame"])
    if grid:
        pool = Pool(paths.PAIRS / "strengths" / "shards")
        for _, picture, _ in (entry for line in grid["lines"] for entry in line["pictures"]):
            found[picture] = _opener(pool, picture)
    for shot_type, made in study.training.items():
        for step in training.spread(sorted(made.pictures)):
            found[training.picture_key(shot_type, step)] = partial(Image.open, made.pictures[step])
    return found


def _opener(pool: Pool, key: str) -> Callable[[], Image.Image]:
    return lambda: pool.image(key)


def context(study: Study, results: dict[str, Any]) -> dict[str, Any]:
    """Everything that the template shows."""
    groups, grid = shown_pairs(study), strengths_grid(study)
    labels = hands.labels(study.labels, study.profile.score.confidence)
    return {
        "profile": study.profile,
        "demo": study.profile.world == "demo",
        "level": f"{100 * study.profile.score.confidence:g}%",
        "headline": words.headline(results),
        "finding": words.finding(results, study.probe, study.profile),
        "results": results,
        "tables": paper_tables(results),
        "forests": [chart for metric in METRICS if (chart := forest(metric, results))],
        "groups": groups,
        "grid": grid,
        "strength_charts": strength_charts(results),
        "training": training.panels(study.training),
        "pictures": making_words.pictures(pictures(study.pictures)),
        "confusion": confusion(study),
        "probe": study.probe,
        "rejects": rejects(study),
        "splits": splits(study),
        "shared": shared_films(study.select),
        "labels": labels,
        "second_looks": second_looks(labels),
        "captions": hands.captions(study.captions),
        "captioner": ", ".join(sorted(study.captions["captioner"].unique())),
        "images": embed(sources(study, groups, grid)),
        "models": study.models,
        "environment": environment(),
        "devices": sorted(study.pictures["device"].unique()),
        "code": code_hash("stages", "metrics"),
        "parameters": flat(study.profile.model_dump(mode="json")),
        "shown": SHOWN,
        "shot_types": SHOT_TYPES,
        "sets": PAIR_SETS,
        "metrics": list(METRICS),
        "w": words,
        "hand": hand_words,
        "making": making_words,
        "method": making_words.METHODS[study.profile.train.method],
    }


def render(study: Study, results: dict[str, Any]) -> str:
    """The page, one self-contained HTML document."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    jinja = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8").strip())
    return jinja.get_template("report.html").render(**context(study, results), style=style) + "\n"
