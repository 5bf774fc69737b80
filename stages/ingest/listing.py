"""What the folder of stills says about itself: which files, of which film, of which year, whose they are.

Three layouts: ``frames.csv`` (file, film, year) with the files anywhere below the folder; the same without years and
``films.csv`` (film, title, year) beside it; ``films.csv`` alone and one subfolder a film, named as its ``film`` column
says. Both tables may have the columns ``title``, ``licence`` and ``source``, which go with the frames as they are; what
a frame's row says counts before what its film's says. A year is never guessed. More columns are ignored, and so are
files whose name begins with a dot.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dreamshot.errors import StudyError
from dreamshot.tables import read_csv, shown

FRAMES_CSV = "frames.csv"
FILMS_CSV = "films.csv"
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".jp2", ".avif", ".ppm", ".pgm",
}  # fmt: skip
YEARS = range(1880, 2101)


@dataclass(frozen=True, slots=True)
class Film:
    """What ``films.csv`` says of a film; year None, or "", where it does not."""

    year: int | None = None
    title: str = ""
    licence: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file below the folder, by its path from there; film "" or year None where the listing does not say."""

    file: str
    film: str = ""
    year: int | None = None
    title: str = ""
    licence: str = ""
    source: str = ""
    listed: bool = True


def read_year(text: str, where: str) -> int | None:
    """A year as it stands in a table, None for an empty one; a spreadsheet's ``2013.0`` is 2013."""
    if not text:
        return None
    year = text.removesuffix(".0")
    if not (len(year) == 4 and year.isascii() and year.isdigit() and int(year) in YEARS):
        raise StudyError(
            f"{where}: year {shown(text)} is not a year from {YEARS[0]} to {YEARS[-1]}; correct or empty it"
        )
    return int(year)


def read_films(path: Path) -> dict[str, Film]:
    """The films in ``films.csv``; {} where there is no such file."""
    films: dict[str, Film] = {}
    for number, row in read_csv(path, {"film", "year"}) if path.is_file() else ():
        where, name = f"{path} row {number}", row["film"]
        if not name:
            raise StudyError(f"{where}: film is empty; name it or remove the row")
        film = Film(read_year(row["year"], where), *(row.get(key, "") for key in ("title", "licence", "source")))
        known = films.setdefault(name, film)
        if known.year != film.year:
            said = f"the year {known.year}" if known.year else "no year"
            raise StudyError(f"{where}: film {shown(name)} has {said} in another row; keep one")
        if known != film:
            raise StudyError(f"{where}: film {shown(name)} has another title, licence or source above; keep one row")
    return films


def year_of(row: dict[str, str], film: Film, where: str) -> int | None:
    """A row's year, from ``frames.csv`` or from the film; two that differ are an error."""
    own, known = read_year(row.get("year", ""), where), film.year
    if own and known and own != known:
        name = shown(row["film"])
        raise StudyError(f"{where}: year {own}, but {FILMS_CSV} says {known} for film {name}; correct one of them")
    return own or known


def read_entry(file: str, row: dict[str, str], films: dict[str, Film], where: str) -> Entry:
    """A row of ``frames.csv``, completed by its film's."""
    film = films.get(row["film"], Film())
    return Entry(
        file,
        row["film"],
        year_of(row, film, where),
        row.get("title") or film.title,
        row.get("licence") or film.licence,
        row.get("source") or film.source,
    )


def is_file(path: Path) -> bool:
    """Whether it is one; no name that a disk does not allow is."""
    try:
        return path.is_file()
    except OSError:
        return False


def check_file(folder: Path, file: str, where: str) -> None:
    """A listed file is there, and below the folder."""
    path = PurePosixPath(file)
    if not file or path.is_absolute() or ".." in path.parts:
        raise StudyError(f"{where}: file {shown(file)} is not a path below {folder}; correct the row")
    if not is_file(folder / path):
        raise StudyError(f"{where}: file {shown(file)} is not in {folder}; put it there or remove the row")


def read_frames(folder: Path, films: dict[str, Film]) -> list[Entry]:
    """The files that ``frames.csv`` lists."""
    path = folder / FRAMES_CSV
    entries: dict[str, Entry] = {}
    for number, row in read_csv(path, {"file", "film"} if films else {"file", "film", "year"}):
        where = f"{path} row {number}"
        file = str(PurePosixPath(row["file"])) if row["file"] else ""
        check_file(folder, file, where)
        if file in entries:
            raise StudyError(f"{where}: file {shown(file)} stands in an earlier row too; keep one")
        entries[file] = read_entry(file, row, films, where)
    if not entries:
        raise StudyError(f"{path}: no rows; list your stills there (file, film, year), see README, Your own stills")
    return list(entries.values())


# --- files ---


def walk(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """The files below a folder, but for hidden ones; links to folders are followed, though not in a circle."""
    try:
        stat = folder.stat()
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise StudyError(f"{folder}: cannot be read ({error.strerror}); mend that or remove it") from None
    here = (stat.st_dev, stat.st_ino)
    for path in paths if here not in above else ():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from walk(path, above | {here})
        else:
            yield path


def pictures(folder: Path) -> list[str]:
    """The paths from ``folder`` of the files that look like pictures, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in walk(folder) if path.suffix.lower() in SUFFIXES)


def printable(text: str) -> str:
    """A path as a table can hold it: bytes that are not UTF-8 are written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def entry_by_folder(file: str, films: dict[str, Film]) -> Entry:
    """A file whose film is the subfolder that it lies in."""
    name = PurePosixPath(file).parts[0]
    if name == file:
        return Entry(file, listed=False)
    film = films.get(name, Film())
    return Entry(file, printable(name), film.year, film.title, film.licence, film.source)


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
    """What changes when an entry or its file does.

    Raises:
        StudyError: a file of the study that is none: a link to nothing, a pipe.
    """
    path = folder / entry.file
    if entry.listed and not is_file(path):
        raise StudyError(f"{printable(str(path))}: a link to nothing, or no regular file; fetch it or remove it")
    stat = path.stat() if entry.listed else path.lstat()
    return repr((entry, stat.st_size, stat.st_mtime_ns))
