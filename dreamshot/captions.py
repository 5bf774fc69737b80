"""Captions that a person has reviewed: the table that keeps them, what may be wrong with one, how far it was changed.

The parameter ``captions`` names a CSV table with a row a frame, sorted by frame, so that git shows what has changed:
``frame`` (an id), ``caption`` (what is to be used; empty: the captioner's own), and, optional, ``raw`` (what the
captioner had said when it was reviewed), ``editor`` and ``time`` (ISO 8601, UTC).
"""

import csv
import io
import re
from collections.abc import Callable, Container, Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from dreamshot.errors import StudyError
from dreamshot.models import named, source_folder
from dreamshot.params import ShotType, Weights
from dreamshot.tables import read_csv, shown
from dreamshot.work import write_atomic

CLIP_TOKENS = 75  # what the text encoder reads of a prompt; its 77 places hold a beginning and an end too
FLAGS = ("empty", "too_long", "repeats", "shot_scale")


@dataclass(frozen=True)
class Reviewed:
    """A frame's reviewed caption; ``raw``, ``editor`` and ``time`` are "" where they are not known."""

    frame: str
    caption: str
    raw: str = ""
    editor: str = ""
    time: str = ""


COLUMNS = tuple(field.name for field in fields(Reviewed))


# --- the table ---


def one_line(text: str) -> str:
    """The text with single spaces and no line breaks."""
    return " ".join(text.split())


def read_reviewed(path: Path, known: Container[str]) -> dict[str, Reviewed]:
    """The reviewed captions by frame, those with an empty caption among them; none where there is no file.

    Args:
        known: the ids of all frames that a caption may be about, in use or not.

    Raises:
        StudyError: not such a table, a column that a review would lose, or a row with an unknown or repeated frame.
    """
    found: dict[str, Reviewed] = {}
    for number, row in read_csv(path, {"frame", "caption"}) if path.is_file() else ():
        odd = next((name for name in row if name not in COLUMNS), None)
        if odd is not None:
            raise StudyError(f"{path}: column {shown(odd)} is not one of {', '.join(COLUMNS)}; remove it")
        where = f"{path} row {number}: frame {shown(row['frame'])}"
        if row["frame"] not in known:
            raise StudyError(f"{where} is none that ingest has seen; correct or remove the row")
        if row["frame"] in found:
            raise StudyError(f"{where} has a caption already; keep one")
        found[row["frame"]] = Reviewed(**{name: one_line(value) for name, value in row.items()})
    return found


def write_reviewed(path: Path, rows: Iterable[Reviewed]) -> None:
    """Write the table by one atomic rename, sorted by frame: the same captions, the same bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([one_line(value) for value in astuple(row)] for row in sorted(rows, key=lambda row: row.frame))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.getvalue().encode())


# --- what may be wrong ---

# Names of shot scales and the shot types that they fit, a name before those that are in it.
SCALES: dict[str, tuple[ShotType, ...]] = {
    "medium close-up": ("close", "medium"),
    "medium long shot": ("medium",),
    "medium wide shot": ("medium",),
    "medium full shot": ("medium",),
    "medium shot": ("medium",),
    "mid shot": ("medium",),
    "long shot": ("long",),
    "wide shot": ("long",),
    "wide angle shot": ("long",),
    "full shot": ("long",),
    "establishing shot": ("long",),
    "close shot": ("close",),
    "tight shot": ("close",),
    "head shot": ("close",),
    "close-up": ("close",),
    "close up": ("close",),
}
NOUN = (
    r"(?:^|(?<=\ba )|(?<=\ban )|(?<=\bin )|(?<=\bthe )|(?<=\bextreme ))close ups?\b|\bclose ups?(?= (?:of|shot|view)\b)"
)


def scale_pattern(name: str) -> re.Pattern[str]:
    """What a shot scale may be written as: hyphens, spaces, underscores or nothing between its words, one or several.

    "close up" in two words is a verb too ("they close up the shop") and must look like a noun.
    """
    if name == "close up":
        return re.compile(NOUN)
    gap = "[-_]?" if name == "close-up" else "[-_ ]?"
    return re.compile(rf"\b{gap.join(re.split('[- ]', name))}s?\b(?! glass)")


PATTERNS = {name: scale_pattern(name) for name in SCALES}


def scales_named(text: str) -> list[str]:
    """The shot scales that a text names, each read once: a medium long shot is not a long shot too."""
    rest, found = one_line(text.lower()), []
    for name, pattern in PATTERNS.items():
        rest, count = pattern.subn("|", rest)
        found += [name] * count
    return found


def repeats(text: str) -> bool:
    """Whether a word stands three times in a row, or a phrase of two words or more twice in a row."""
    words = re.findall(r"[\w'’-]+", text.lower())
    thrice = any(len(set(words[start : start + 3])) == 1 for start in range(len(words) - 2))
    return thrice or any(
        words[start : start + size] == words[start + size : start + 2 * size]
        for size in range(2, len(words) // 2 + 1)
        for start in range(len(words) - 2 * size + 1)
    )


def prompt(template: str, shot_type: ShotType, caption: str) -> str:
    """The template with its fields filled: [shot_type] by "close_shot", "medium_shot" or "long_shot"."""
    return template.replace("[shot_type]", f"{shot_type}_shot").replace("[caption]", caption)


def flags(caption: str, shot_type: ShotType, count_tokens: Callable[[str], int], template: str) -> tuple[str, ...]:
    """What may be wrong with a caption, in the order of FLAGS.

    ``empty``; ``too_long``: its prompt has more than CLIP_TOKENS tokens, of which the end is not read; ``repeats``
    itself; ``shot_scale``: it names one that is not the frame's, so the prompt would contradict itself.

    Args:
        count_tokens: from ``token_counter``.
        template: the prompt with its fields [shot_type] and [caption], the parameter ``generate.prompt``.
    """
    if not caption.strip():
        return ("empty",)
    found = {
        "too_long": count_tokens(prompt(template, shot_type, caption)) > CLIP_TOKENS,
        "repeats": repeats(caption),
        "shot_scale": any(shot_type not in SCALES[name] for name in scales_named(caption)),
    }
    return tuple(name for name in FLAGS if found.get(name))


def token_counter(weights: Weights) -> Callable[[str], int]:
    """Counts a text's tokens as the base model's own tokenizer makes them, without beginning and end.

    Raises:
        StudyError: the base model has no CLIP tokenizer on this disk.
    """
    from transformers import CLIPTokenizer

    with named("base", weights):
        folder = source_folder(weights) / "tokenizer"
        tokenizer: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)


# --- how far it was changed ---


def edit_distance(raw: str, caption: str) -> int:
    """The fewest letters to insert, delete or replace that turn one text into the other (Levenshtein)."""
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(raw, caption))
