"""Labels: who said what of which crop, read from tables that people write and from the labelling page's logs.

The parameter ``labels`` names a CSV file or a folder of them. Columns: ``frame`` (an id) or ``file`` (as the listing of
the stills names it), and ``shot_type``: close, medium, long or reject; unknown and an empty one are no label. The rest
is optional: ``who`` (the file's name without its suffix, where it is not given), ``time`` (ISO 8601, UTC),
``medium_close_up`` (yes: close or medium, but on the disputed border), ``reason`` (of a reject), ``seconds`` (from the
crop's appearance to the decision) and ``crop``: the square that was looked at, "x y side" in the frame's pixels.

A file ``log-<who>.csv`` is a log: rows are only ever added. A row whose ``shot_type`` is undo takes back what that
person said of the frame before. A last line without its end was never acknowledged and does not count.
"""

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from dreamshot.errors import StudyError
from dreamshot.params import SHOT_TYPES
from dreamshot.paths import CROP_ROWS, FRAMES, LEDGER
from dreamshot.records import read_table
from dreamshot.tables import read_csv, shown
from dreamshot.work import locked

REJECT = "reject"
UNKNOWN = "unknown"
UNDO = "undo"
DECISIONS = (*SHOT_TYPES, REJECT)
WORDS = (*DECISIONS, UNKNOWN)
COLUMNS = ("time", "who", "frame", "file", "shot_type", "medium_close_up", "reason", "seconds", "crop")
REASONS = ("nobody", "subject cut", "between two types", "text or graphics", "blurred or dark", "other")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
FLAGS = {"": False, "no": False, "yes": True}


@dataclass(frozen=True)
class Label:
    """What one person says of one crop; ``seconds`` is None and ``crop``, ``time`` are "" where they are not known."""

    frame: str
    shot_type: str
    who: str
    time: str = ""
    medium_close_up: bool = False
    reason: str = ""
    seconds: float | None = None
    crop: str = ""
    file: str = ""


@dataclass(frozen=True)
class Seen:
    """What ingest has seen: the film of every frame id, and the frame id of every file, "" where it gave none."""

    films: dict[str, str]
    files: dict[str, str]


def read_seen() -> Seen:
    """The frames that ingest has kept or rejected.

    Raises:
        StudyError: ingest has not run.
    """
    columns = ["file", "frame", "film"]
    rows = pd.concat([read_table(LEDGER)[columns], read_table(FRAMES)[columns]])
    files = {str(file): str(frame) for file, frame in zip(rows["file"], rows["frame"], strict=True)}
    films = {str(frame): str(film) for frame, film in zip(rows["frame"], rows["film"], strict=True) if frame}
    return Seen(films, files)


def square_text(x: int, y: int, side: int) -> str:
    """A crop's square as a label names it."""
    return f"{x} {y} {side}"


def read_squares() -> dict[str, str]:
    """The square of every crop as it is now, by frame."""
    rows = read_table(CROP_ROWS)
    squares = zip(rows["x"], rows["y"], rows["side"], strict=True)
    return {str(frame): square_text(*square) for frame, square in zip(rows["frame"], squares, strict=True)}


# --- reading ---


def is_log(path: Path) -> bool:
    return path.name.startswith("log-")


def label_tables(path: Path) -> list[Path]:
    """The tables that the parameter names, sorted; none where nobody has labelled yet."""
    return sorted(path.glob("*.csv")) if path.is_dir() else [path] if path.is_file() else []


def resolve(row: dict[str, str], seen: Seen, where: str) -> str:
    """The id of the frame that a label is about: by ``frame`` if the row has one, else by ``file``.

    "" for a file that ingest rejected before it gave it an id.
    """
    frame, file = row.get("frame", ""), row.get("file", "")
    if frame and frame not in seen.films:
        raise StudyError(f"{where}: frame {shown(frame)} is none that ingest has seen; correct or remove the row")
    if not frame and file not in seen.files:
        raise StudyError(f"{where}: file {shown(file)} is none that ingest has seen; correct or remove the row")
    return frame or seen.files[file]


def read_seconds(text: str, where: str) -> float | None:
    """A number of seconds, None for an empty one."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise StudyError(f"{where}: seconds {text!r} is not a number of seconds; correct or empty it")
    return seconds


def check_words(row: dict[str, str], where: str, log: bool) -> None:
    """The shot type and the flag are words that exist, and go together."""
    shot_type, flag = row["shot_type"], row.get("medium_close_up", "")
    if shot_type not in (*WORDS, *([UNDO] if log else [])):
        raise StudyError(f"{where}: shot_type {shot_type!r} is not one of {', '.join(WORDS)}, or empty; correct it")
    if flag not in FLAGS:
        raise StudyError(f"{where}: medium_close_up {flag!r} is neither yes nor no; correct or empty it")
    if FLAGS[flag] and shot_type not in ("close", "medium"):
        raise StudyError(f"{where}: medium_close_up yes, but shot_type {shot_type!r}; it is close or medium")


def read_rows(path: Path, seen: Seen) -> Iterator[tuple[str, Label]]:
    """(where, label or undo) of one table, without rows that say nothing and those of frames that are gone.

    In a log a frame may be gone; in a table it is taken for a slip.
    """
    log = is_log(path)
    for line, row in read_csv(path, {"shot_type"}, log):
        where = f"{path} row {line}"
        if log and row.get("frame") not in seen.films:
            continue
        if row["shot_type"]:
            check_words(row, where, log)
        frame = resolve(row, seen, where)
        if row["shot_type"] in ("", UNKNOWN) or not frame:
            continue
        yield (
            where,
            Label(
                frame=frame,
                shot_type=row["shot_type"],
                who=row.get("who") or path.stem,
                time=row.get("time", ""),
                medium_close_up=FLAGS[row.get("medium_close_up", "")],
                reason=row.get("reason", ""),
                seconds=read_seconds(row.get("seconds", ""), where),
                crop=row.get("crop", ""),
                file=row.get("file", ""),
            ),
        )


def standing(rows: Iterable[tuple[str, Label]]) -> list[Label]:
    """What is said in the end: without what was undone, and of a person and frame the last crop's label.

    Raises:
        StudyError: a person says two things of one crop.
    """
    found: dict[tuple[str, str], tuple[Label, str]] = {}
    for where, label in rows:
        key = (label.who, label.frame)
        if label.shot_type == UNDO:
            found.pop(key, None)
            continue
        before, earlier = found.get(key, (label, where))
        if before.crop == label.crop and before.shot_type != label.shot_type:
            raise StudyError(
                f"{where}: shot_type {label.shot_type!r}, but {before.shot_type!r} in {earlier} for the same frame and "
                f"person; keep one"
            )
        found[key] = (label, where)
    return [label for label, _ in found.values()]


def read_labels(path: Path, seen: Seen) -> list[Label]:
    """Every label that stands, of all persons, sorted by frame, time and person; none where nobody has labelled yet.

    What a person's log says comes after what tables say that the person has said.

    Raises:
        StudyError: a word that is none, an unknown frame in a table, two labels of one crop by one person.
    """
    tables = sorted(label_tables(path), key=is_log)
    labels = standing(row for table in tables for row in read_rows(table, seen))
    return sorted(labels, key=lambda label: (label.frame, label.time, label.who))


def is_current(label: Label, squares: dict[str, str]) -> bool:
    """Whether the crop that was looked at is the frame's crop as it is now; a label without a square fits any."""
    return label.frame in squares and label.crop in ("", squares[label.frame])


TABLE_COLUMNS = [
    "frame", "film", "who", "time", "turn", "shot_type", "medium_close_up", "reason", "seconds", "crop", "current",
]  # fmt: skip


def label_table(labels: Iterable[Label], films: dict[str, str], squares: dict[str, str]) -> pd.DataFrame:
    """A row a label, with TABLE_COLUMNS.

    ``current``: of the crop as it is now. ``turn``: a frame's labels in the order in which they count, those of today's
    crop first, then by time and person; 0 is the one that counts.
    """
    rows = [asdict(label) | {"film": films[label.frame], "current": is_current(label, squares)} for label in labels]
    kinds = {"seconds": float, "medium_close_up": bool, "current": bool}
    table = pd.DataFrame(rows, columns=[name for name in TABLE_COLUMNS if name != "turn"]).astype(kinds)
    table = table.sort_values(["frame", "current", "time", "who"], ascending=[True, False, True, True])
    return table.assign(turn=table.groupby("frame").cumcount())[TABLE_COLUMNS]


def looked_twice(table: pd.DataFrame) -> pd.DataFrame:
    """The frames of which two people have decided on today's crop: a row a frame.

    Columns: frame, film, and who, shot_type and medium_close_up of the first two of them, with the endings _first and
    _second.
    """
    seen = table[table["current"]].sort_values(["frame", "turn"])
    turn = seen.groupby("frame").cumcount()
    columns = ["frame", "who", "shot_type", "medium_close_up"]
    first, second = seen.loc[turn == 0, ["film", *columns]], seen.loc[turn == 1, columns]
    return first.merge(second, on="frame", suffixes=("_first", "_second")).sort_values("frame", ignore_index=True)


# --- writing ---


def check_name(who: str) -> str:
    """A person's name as a log's name may hold it."""
    if not NAME.fullmatch(who):
        raise StudyError(f"name {who!r}: use 1 to 40 small letters, digits, dots or dashes, such as anna or rater-2")
    return who


def log_path(folder: Path, who: str) -> Path:
    return folder / f"log-{check_name(who)}.csv"


def as_line(values: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


def as_row(label: Label) -> tuple[object, ...]:
    """A label's values in the order of COLUMNS."""
    flag = "yes" if label.medium_close_up else ""
    seconds = "" if label.seconds is None else f"{label.seconds:.2f}"
    return (
        label.time, label.who, label.frame, label.file, label.shot_type, flag, label.reason, seconds, label.crop,
    )  # fmt: skip


def append(folder: Path, label: Label) -> None:
    """Add a row to its person's log; it is on the disk when this returns, and not at all if this raises.

    Raises:
        OSError: the disk is full, or not writable; what was in the log is untouched.
    """
    with locked(folder), log_path(folder, label.who).open("ab") as log:
        end = whole_lines(Path(log.name))
        log.truncate(end)
        try:
            log.write(b"" if end else as_line(COLUMNS))
            log.write(as_line(as_row(label)))
            log.flush()
            os.fsync(log.fileno())
        except OSError:
            log.truncate(end)
            raise


def whole_lines(path: Path) -> int:
    """The bytes up to the end of the last whole line; what follows was cut off while it was written."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 65536))
        tail = file.read()
    return size - (len(tail) - tail.rfind(b"\n") - 1)
