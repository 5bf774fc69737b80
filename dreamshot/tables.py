"""Tables that people write: CSV in UTF-8, with a line number for every complaint."""

import csv
from collections.abc import Iterator
from pathlib import Path

from dreamshot.errors import StudyError


def read_csv(path: Path, needed: set[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV file with at least the ``needed`` columns; values are stripped."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = needed - set(reader.fieldnames or ())
            if missing:
                found = ", ".join(reader.fieldnames or ()) or "none"
                raise StudyError(f"{path}: no column {min(missing)!r} (found: {found}); name it in the first line")
            for row in reader:
                yield (
                    reader.line_num,
                    {key: (value or "").strip() for key, value in row.items() if key is not None},
                )
    except FileNotFoundError:
        raise StudyError(f"{path}: no such file; see README, Your own stills") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"{path}: not CSV in UTF-8 ({error}); save it as such") from None
