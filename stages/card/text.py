"""The card for people: Markdown with the front matter of the Hugging Face hub."""

from pathlib import Path
from typing import Any

from dreamshot import paths
from dreamshot.params import SHOT_TYPES
from metrics.agreement import Agreement
from stages.card import facts
from stages.card.facts import Records
from stages.report import hand_words, hands
from stages.report.aggregates import ingest, shared_films
from stages.report.words import count, series

TEMPLATES = Path(__file__).parent / "templates"
SHOWN = 20  # sources in the table
HUB_LICENCES = ("mit", "apache-2.0", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "pddl")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


def cell(text: Any) -> str:
    """A text as a cell of a Markdown table: on one line, and no mark-up of its own."""
    line = " ".join(str(text).split())
    for sign in "\\`*_[]<>|#":
        line = line.replace(sign, f"\\{sign}")
    return line


def hub_licence(licences: list[str]) -> str:
    """The hub's word for the licences: one that it knows if it is everybody's, else other, or unknown."""
    words = {licence.lower().replace(" ", "-") for licence in licences}
    if words == {""}:
        return "unknown"
    return words.pop() if len(words) == 1 and words <= set(HUB_LICENCES) else "other"


def hub_size(frames: int) -> str:
    """The hub's class of sizes."""
    return next((name for limit, name in SIZES if frames < limit), "n>100K")


def title(records: Records) -> str:
    """The dataset's name."""
    return f"DreamShot: film frames by shot type{' (demo world)' if records.profile.world == 'demo' else ''}"


def description(records: Records) -> str:
    """What it is, in two sentences."""
    demo = records.profile.world == "demo"
    kind = "rendered for the study, from a seed" if demo else "of films"
    by = "by the labels in data/labels, most of them simulated" if demo else "by hand"
    used, films = len(records.select), int(records.select["film"].nunique())
    return (
        f"Stills {kind}, cropped to squares, labelled close, medium or long {by} and described in words: "
        f"{count(used, 'frame')} of {count(films, 'film')} in use, chosen from {len(records.frames):,}. They train and "
        f"test text-to-image models that are fine-tuned to draw shots of a given scale."
    )


def simulation_sentences(records: Records) -> list[str]:
    """What a reader of the demo's labels must know."""
    told = "The labels of the labeller demo are simulated from what the renderer knows; no person gave them."
    return [told] if records.profile.world == "demo" else []


def licence_sentence(records: Records) -> str:
    """What was given as licences, and for how many frames none was."""
    given = [licence for licence in facts.licences(records) if licence]
    without = int((records.frames["licence"] == "").sum())
    none = f" For {count(without, 'frame')} no licence was given, so none may be assumed." if without else ""
    if not given:
        return "No licence was given for any frame, so none may be assumed."
    return f"Licences as they were given: {series([cell(licence) for licence in given])}.{none}"


def people_sentence(records: Records) -> str:
    """Whether people are in the pictures."""
    if records.profile.world == "demo":
        return "No film and no person is in these pictures: they are drawn by this project’s renderer."
    return (
        "The pictures show actors and others who can be recognised. Labellers and editors are under names of their own."
    )


def crop_sentence(records: Records) -> str:
    """How the squares were placed."""
    params = records.profile.crop
    how = {
        "attention": "where libvips’ smartcrop finds most attention",
        "entropy": "where libvips’ smartcrop finds most entropy",
        "centre": "in the middle",
        "detector": f"around what a detector finds of {series(params.keep)} (threshold {params.threshold:g})",
    }[params.method]
    blind = (
        f" Where it found nothing, in {count(records.blind, 'frame')}, attention placed the square."
        if records.blind
        else ""
    )
    return (
        f"Of each frame, upright and without letterbox bars, the largest square is cut, placed {how}, and brought down "
        f"to {params.size} × {params.size} pixels: {count(len(records.crops), 'crop')}. A crop chooses where to look "
        f"and never how near, so the shot scale stays what it was.{blind}"
    )


def years(records: Records) -> str:
    """The films' years: "2013 to 2024"."""
    low, high = int(records.frames["year"].min()), int(records.frames["year"].max())
    return str(low) if low == high else f"{low} to {high}"


def largest_film(records: Records) -> float:
    """The share of the frames in use that the film with the most of them gives."""
    return float(records.select["film"].value_counts(normalize=True).iloc[0])


def files(records: Records) -> list[dict[str, Any]]:
    """The tables by file, from this folder."""
    tables = {
        paths.FRAMES: (records.frames, "kept frames: film, title, year, licence, source"),
        paths.LEDGER: (records.ledger, "rejected files, each with its rule"),
        paths.CROP_ROWS: (records.crops, "the square of each frame"),
        paths.LABEL_ROWS: (records.labels, "every label that stands: who, when, what, why not"),
        paths.SELECT_ROWS: (records.select, "the frames in use, by set"),
        paths.CAPTION_ROWS: (records.captions, "captions: raw, reviewed, in use"),
    }
    return [{"path": path.as_posix(), "rows": len(rows), "holds": holds} for path, (rows, holds) in tables.items()]


def confusion(found: Agreement | None) -> list[dict[str, Any]]:
    """The table of two looks, row by row."""
    return (
        [{"kind": kind, "cells": row} for kind, row in zip(found.categories, found.table, strict=True)] if found else []
    )


def hand_work(records: Records) -> dict[str, Any]:
    """What people did by hand, as numbers for the template."""
    level = records.profile.score.confidence
    return {
        "labels": hands.labels(records.labels, level),
        "looks": confusion(hands.second_looks(records.labels, level)),
        "level": f"{100 * level:g}%",
        "captions": hands.captions(records.captions),
        "captioner": ", ".join(sorted(records.captions["captioner"].unique())),
    }


def context(records: Records) -> dict[str, Any]:
    """Everything that the template shows."""
    return {
        "profile": records.profile,
        "demo": records.profile.world == "demo",
        "title": title(records),
        "description": description(records),
        "hub_licence": hub_licence(facts.licences(records)),
        "hub_size": hub_size(len(records.select)),
        "files": files(records),
        "licences": licence_sentence(records),
        "people": people_sentence(records),
        "sources": facts.sources(records),
        "shown": SHOWN,
        "ingest": ingest(records.frames, records.ledger),
        "years": years(records),
        "filters": facts.filters(records),
        "crops": crop_sentence(records),
        "sets": facts.sets(records),
        "shared": shared_films(records.select),
        "largest": largest_film(records),
        "kinds": SHOT_TYPES,
        "hand": hand_words,
        "count": count,
        "cell": cell,
        **hand_work(records),
    }


def render(records: Records) -> str:
    """The card."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    jinja = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return jinja.get_template("card.md").render(**context(records)).strip() + "\n"
