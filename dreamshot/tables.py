"""Tables that people write: CSV in UTF-8, and a row number for every complaint.

Rows are counted as a spreadsheet does: the header is row 1.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from dreamshot.errors import StudyError

SHOWN = 80  # characters of a bad value in a message


def shown(value: str) -> str:
    """A value from a table as it can stand in a message of one line."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 4]}...{text[-1]}"


def read_header(cells: list[str], needed: set[str], path: Path) -> list[str]:
    """The names of the columns; ``needed`` are among them, and no name stands twice."""
    names = [cell.strip() for cell in cells]
    missing = needed - set(names)
    if missing:
        found = shown(", ".join(names))[1:-1] or "none"
        raise StudyError(f"{path}: no column {min(missing)!r} (found: {found}); name it in the first line")
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise StudyError(f"{path} row 1: column {shown(min(twice))} stands twice; rename one")
    return names


def read_row(cells: list[str], names: list[str], where: str) -> dict[str, str]:
    """A row by column; values are stripped."""
    if len(cells) != len(names):
        raise StudyError(
            f"{where}: {len(cells)} cells for {len(names)} columns; quote a value that holds a comma, leave no cell out"
        )
    for name, cell in zip(names, cells, strict=True):
        if "\0" in cell:
            raise StudyError(f"{where}: column {shown(name)} holds a NUL byte; remove it")
    return {name: cell.strip() for name, cell in zip(names, cells, strict=True)}


def not_utf8(path: Path) -> StudyError:
    """Which line of the file is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                bad = line[error.start]
                return StudyError(f"{path} line {number}: not UTF-8 (byte 0x{bad:02x}); save it as CSV in UTF-8")
    return StudyError(f"{path}: not UTF-8; save it as CSV in UTF-8")


def read_csv(path: Path, needed: set[str], log: bool = False) -> Iterator[tuple[int, dict[str, str]]]:
    """(row number, row) of a CSV file with at least the ``needed`` columns; empty rows are left out.

    Args:
        log: rows are added to the file one by one; a last line without its end was cut off and does not count.

    Raises:
        StudyError: no such file, not UTF-8, not CSV, a column missing, a row of more or fewer cells than columns.
    """
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader((line for line in file if line.endswith("\n")) if log else file, strict=True)
            names = read_header(next(rows, []), needed, path)
            number = 1
            for number, cells in enumerate(rows, 2):
                if any(cell.strip() for cell in cells):
                    yield number, read_row(cells, names, f"{path} row {number}")
    except FileNotFoundError:
        raise StudyError(f"{path}: no such file; see README, Your own stills") from None
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); mend that and run again") from None
    except UnicodeDecodeError:
        raise not_utf8(path) from None
    except csv.Error as error:
        raise StudyError(
            f"{path} row {number + 1}: not CSV ({error}); correct it, a quote is closed or doubled"
        ) from None
