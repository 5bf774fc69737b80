"""What the folder of stills says about itself: which files, of which film, of which year.

Three layouts: ``frames.csv`` (file, film, year) with the files anywhere below the folder; the same without years and
``films.csv`` (film, title, year) beside it; ``films.csv`` alone and one subfolder a film, named as its ``film`` column
says. More columns are ignored, and so are files whose name begins with a dot.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dreamshot.errors import StudyError

FRAMES_CSV = "frames.csv"
FILMS_CSV = "films.csv"
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".jp2", ".avif", ".ppm", ".pgm",
}  # fmt: skip
YEARS = range(1880, 2101)


@dataclass(frozen=True)
class Entry:
    """A file below the folder, by its path from there; film "" or year None where the listing does not say."""

    file: str
    film: str = ""
    year: int | None = None
    listed: bool = True


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


def read_year(text: str, where: str) -> int | None:
    """A year as it stands in a table, None for an empty one; a spreadsheet's ``2013.0`` is 2013."""
    if not text:
        return None
    year = text.removesuffix(".0")
    if not (year.isascii() and year.isdigit() and int(year) in YEARS):
        raise StudyError(f"{where}: year {text!r} is not a year from {YEARS[0]} to {YEARS[-1]}; correct or empty it")
    return int(year)


def read_films(path: Path) -> dict[str, int | None]:
    """The year of each film in ``films.csv``; {} where there is no such file."""
    years: dict[str, int | None] = {}
    for line, row in read_csv(path, {"film", "year"}) if path.is_file() else ():
        where = f"{path} row {line}"
        year = read_year(row["year"], where)
        if years.setdefault(row["film"], year) != year:
            raise StudyError(
                f"{where}: film {row['film']!r} has the year {years[row['film']]} in another row; keep one"
            )
    return years


def year_of(row: dict[str, str], films: dict[str, int | None], where: str) -> int | None:
    """A row's year, from ``frames.csv`` or from the film; two that differ are an error."""
    film = row["film"]
    own, known = read_year(row.get("year", ""), where), films.get(film)
    if own and known and own != known:
        raise StudyError(f"{where}: year {own}, but {FILMS_CSV} says {known} for film {film!r}; correct one of them")
    return own or known


def check_file(folder: Path, file: str, where: str) -> None:
    """A listed file is there, and below the folder."""
    path = PurePosixPath(file)
    if not file or path.is_absolute() or ".." in path.parts:
        raise StudyError(f"{where}: file {file!r} is not a path below {folder}; correct the row")
    if not (folder / path).is_file():
        raise StudyError(f"{where}: file {file!r} is not in {folder}; put it there or remove the row")


def read_frames(folder: Path, films: dict[str, int | None]) -> list[Entry]:
    """The files that ``frames.csv`` lists."""
    path = folder / FRAMES_CSV
    entries: dict[str, Entry] = {}
    for line, row in read_csv(path, {"file", "film"} if films else {"file", "film", "year"}):
        where = f"{path} row {line}"
        file = str(PurePosixPath(row["file"])) if row["file"] else ""
        check_file(folder, file, where)
        if file in entries:
            raise StudyError(f"{where}: file {file!r} stands in an earlier row too; keep one")
        entries[file] = Entry(file, row["film"], year_of(row, films, where))
    if not entries:
        raise StudyError(f"{path}: no rows; list your stills there (file, film, year), see README, Your own stills")
    return list(entries.values())


def pictures(folder: Path) -> list[str]:
    """The paths from ``folder`` of the files that look like pictures, sorted."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))


def entry_by_folder(file: str, films: dict[str, int | None]) -> Entry:
    """A file whose film is the subfolder that it lies in."""
    film = PurePosixPath(file).parts[0]
    return Entry(file, film, films.get(film)) if film != file else Entry(file, listed=False)


def read_listing(folder: Path) -> list[Entry]:
    """Every picture below the folder, sorted by its path.

    Raises:
        StudyError: no folder, no table, no rows, a row that names no file, a year that is none.
    """
    remedy = f"put your stills and {FRAMES_CSV} (file, film, year) there, see README, Your own stills"
    if not folder.is_dir():
        raise StudyError(f"{folder}: no such folder; {remedy}")
    films = read_films(folder / FILMS_CSV)
    found = pictures(folder)
    if (folder / FRAMES_CSV).is_file():
        listed = {entry.file: entry for entry in read_frames(folder, films)}
        rest = {file: Entry(file, listed=False) for file in found if file not in listed}
        return sorted((listed | rest).values(), key=lambda entry: entry.file)
    if not films:
        raise StudyError(f"{folder}: no {FRAMES_CSV}, nor {FILMS_CSV} with one subfolder a film; {remedy}")
    if not found:
        raise StudyError(f"{folder}: no pictures in the subfolders of the films; {remedy}")
    return [entry_by_folder(file, films) for file in found]


def sign(folder: Path, entry: Entry) -> str:
    """What changes when an entry or its file does."""
    stat = (folder / entry.file).stat()
    return repr((entry, stat.st_size, stat.st_mtime_ns))
