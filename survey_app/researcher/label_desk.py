"""Which crop comes next for whom, and where its label goes. No HTTP and no Streamlit here.

Crops come in an order that hangs on the study's seed and on nothing else: the first of every film, then the second of
every film, ...; in a film by hash. Several people may sit at one desk: what is on one's screen is not offered to
another. A second look takes the first crops, by another hash, of those that somebody else has labelled.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any, Literal

from dreamshot.errors import StudyError
from dreamshot.labels import (
    DECISIONS,
    REASONS,
    REJECT,
    UNDO,
    Label,
    append,
    check_name,
    is_current,
    label_tables,
    log_path,
    read_labels,
    read_seen,
    read_squares,
)
from dreamshot.params import SHOT_TYPES, Profile, Select
from dreamshot.paths import CROP_ROWS, FRAMES
from dreamshot.records import read_table
from dreamshot.seeds import seed
from survey_app.researcher.clock import now

Stamp = tuple[int, int]
Look = Literal["first", "second"]
AHEAD = 6  # crops sent ahead, so that the next one is on the screen at once
LEASE = 600.0  # seconds for which a crop that was sent to one person is not offered to another


@dataclass(frozen=True)
class Crop:
    """A crop to be labelled; ``square`` is its place in the frame, "x y side"."""

    frame: str
    film: str
    file: str
    square: str


def read_crops(study_seed: int) -> list[Crop]:
    """Every crop, in the order in which they are shown."""
    files = read_table(FRAMES).set_index("frame")["file"]
    squares = read_squares()
    rows = read_table(CROP_ROWS)[["frame", "film"]]
    rows["draw"] = [seed(study_seed, "label", frame) for frame in rows["frame"]]
    rows = rows.sort_values("draw")
    rows["turn"] = rows.groupby("film").cumcount()
    rows = rows.sort_values(["turn", "draw"])
    return [
        Crop(frame, film, str(files[frame]), squares[frame])
        for frame, film in zip(rows["frame"], rows["film"], strict=True)
    ]


def quotas_of(params: Select) -> dict[str, int]:
    """How many labelled crops of each shot type the splits need together."""
    return dict.fromkeys(SHOT_TYPES, params.train + params.test + params.probe)


def stamp(path: Path) -> Stamp:
    """What changes when a file does."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


class LabelDesk:
    """The labels that stand, and the crops that are out on somebody's screen."""

    def __init__(
        self,
        folder: Path,
        crops: Sequence[Crop],
        params: Profile,
        read: Callable[[], list[Label]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            folder: where the logs are.
            crops: in the order in which they are shown.
            read: reads all labels that stand, of any crop.
        """
        self.folder, self.crops, self.params = folder, {crop.frame: crop for crop in crops}, params
        self.quotas, self.cap = quotas_of(params.select), params.select.max_per_film
        self._read, self._clock, self._lock = read, clock, RLock()
        self._squares = {crop.frame: crop.square for crop in crops}
        self._leases: dict[str, tuple[str, float]] = {}
        self._labels: defaultdict[str, dict[str, Label]] = defaultdict(dict)
        self._files: dict[Path, Stamp] = {}

    # --- what stands ---

    def refresh(self) -> None:
        """Read the labels again if a table has changed, whoever wrote it."""
        files = {path: stamp(path) for path in label_tables(self.folder)}
        if files == self._files:
            return
        labels: defaultdict[str, dict[str, Label]] = defaultdict(dict)
        for label in self._read():
            if is_current(label, self._squares):
                labels[label.frame][label.who] = label
        self._labels, self._files = labels, files

    def add(self, row: Label) -> None:
        """Write a label, or an undo, to its person's log, and hold it here too."""
        append(self.folder, row)
        path = log_path(self.folder, row.who)
        self._files[path] = stamp(path)
        if row.shot_type == UNDO:
            del self._labels[row.frame][row.who]
        else:
            self._labels[row.frame][row.who] = row

    def firsts(self) -> Iterator[tuple[Crop, Label]]:
        """Each labelled crop with the label that counts, its first."""
        for frame, looks in self._labels.items():
            if looks:
                yield self.crops[frame], min(looks.values(), key=lambda label: (label.time, label.who))

    def by_film(self) -> Counter[tuple[str, str]]:
        """How many crops of each (film, shot type) are labelled, but for those that select would drop."""
        drop = self.params.select.medium_close_ups == "drop"
        return Counter(
            (crop.film, label.shot_type) for crop, label in self.firsts() if not (drop and label.medium_close_up)
        )

    def have(self, by_film: Mapping[tuple[str, str], int]) -> dict[str, int]:
        """Labelled crops of each shot type that select can use: at most the cap from one film."""
        found: dict[str, int] = dict.fromkeys(SHOT_TYPES, 0)
        for (_, shot_type), count in by_film.items():
            if shot_type in found:
                found[shot_type] += min(count, self.cap)
        return found

    def of(self, who: str) -> list[Label]:
        """A person's labels in the order in which they were given."""
        mine = (looks[who] for looks in self._labels.values() if who in looks)
        return sorted(mine, key=lambda label: label.time)

    # --- what comes next ---

    def free(self, crop: Crop, who: str) -> bool:
        """Whether the crop is on nobody else's screen."""
        holder, until = self._leases.get(crop.frame, (who, 0.0))
        return holder == who or until < self._clock()

    def unlabelled(self, who: str, by_film: Mapping[tuple[str, str], int]) -> Iterator[Crop]:
        """The crops for a first look; a film that is full in every shot type still wanted is passed over."""
        have = self.have(by_film)
        wanted = [kind for kind in SHOT_TYPES if have[kind] < self.quotas[kind]] or list(SHOT_TYPES)
        full = {film for film, _ in by_film if all(by_film[film, kind] >= self.cap for kind in wanted)}
        for crop in self.crops.values():
            if not self._labels.get(crop.frame) and crop.film not in full and self.free(crop, who):
                yield crop

    def second_looks(self, who: str) -> list[tuple[Crop, bool]]:
        """The crops of the blind subset for this person, each with whether it is done."""
        others = [crop for crop, label in self.firsts() if label.who != who]
        others.sort(key=lambda crop: seed(self.params.seed, "second look", crop.frame))
        return [(crop, who in self._labels[crop.frame]) for crop in others[: self.params.label.second_look]]

    def queue(self, who: str, look: Look, by_film: Mapping[tuple[str, str], int], front: str) -> list[Crop]:
        """The next AHEAD crops, ``front`` (a frame, or "") before all others; they are this person's for a while."""
        offered = (
            self.unlabelled(who, by_film)
            if look == "first"
            else (crop for crop, done in self.second_looks(who) if not done)
        )
        first = [self.crops[front]] if front else []
        chosen = first + list(islice((crop for crop in offered if crop.frame != front), AHEAD - len(first)))
        for crop in chosen:
            self._leases[crop.frame] = (who, self._clock() + LEASE)
        return chosen

    def state(self, who: str, look: Look, front: str = "") -> dict[str, Any]:
        """Everything that the page shows, as plain values.

        Raises:
            StudyError: a name that cannot be a log's, or labels that cannot be read.
        """
        check_name(who)
        with self._lock:
            self.refresh()
            by_film = self.by_film()
            have, mine, looks = self.have(by_film), self.of(who), self.second_looks(who)
            queue = self.queue(who, look, by_film, front)
            return {
                "queue": [
                    {"frame": crop.frame, "square": crop.square} | (self.film(crop, by_film) if look == "first" else {})
                    for crop in queue
                ],
                "quotas": [{"type": kind, "have": have[kind], "need": self.quotas[kind]} for kind in SHOT_TYPES],
                "cap": self.cap,
                "mine": len(mine),
                "second": {"have": sum(done for _, done in looks), "need": len(looks)},
                "last": self.told(mine[-1]) if mine else None,
            }

    def film(self, crop: Crop, by_film: Mapping[tuple[str, str], int]) -> dict[str, Any]:
        """The crop's film and how many crops of each shot type it has given; a second look must not know."""
        return {"film": crop.film, "of_film": {kind: by_film.get((crop.film, kind), 0) for kind in SHOT_TYPES}}

    def told(self, label: Label) -> dict[str, Any]:
        """A label in the page's words."""
        return {
            "frame": label.frame,
            "shot_type": label.shot_type,
            "medium_close_up": label.medium_close_up,
            "reason": label.reason,
        }

    # --- what is said ---

    def check(self, label: Label) -> None:
        """The label is of a crop as it is now, and says something that can be said."""
        if label.frame not in self.crops or label.crop != self._squares[label.frame]:
            raise StudyError(f"frame {label.frame!r}: no such crop, or it was cropped anew; reload the page")
        if label.shot_type not in DECISIONS:
            raise StudyError(f"shot_type {label.shot_type!r} is not one of {', '.join(DECISIONS)}")
        if label.medium_close_up and label.shot_type not in ("close", "medium"):
            raise StudyError(f"a {label.shot_type} crop is no medium close-up")
        if label.reason not in (REASONS if label.shot_type == REJECT else ("",)):
            raise StudyError(f"reason {label.reason!r}: a reject, and nothing else, has one of {', '.join(REASONS)}")
        if label.seconds is None or not 0 <= label.seconds < 86400:
            raise StudyError(f"seconds {label.seconds!r} is not a time spent on one crop")

    def decide(self, label: Label) -> None:
        """Write a label to its person's log; the same label sent twice is written once.

        Raises:
            StudyError: it cannot be said, or the person has said otherwise of this crop.
            OSError: it could not be written; nothing has changed.
        """
        check_name(label.who)
        with self._lock:
            self.refresh()
            self.check(label)
            before = self._labels.get(label.frame, {}).get(label.who)
            if before is None:
                self.add(label)
            elif self.told(before) != self.told(label):
                raise StudyError(f"frame {label.frame!r}: you have labelled it {before.shot_type}; undo that first")

    def undo(self, who: str) -> str:
        """Take back the person's last label; returns its frame, "" where there is nothing to take back."""
        check_name(who)
        with self._lock:
            self.refresh()
            mine = self.of(who)
            if not mine:
                return ""
            last = mine[-1]
            self.add(Label(last.frame, UNDO, who, time=now(), crop=last.crop, file=last.file))
            return last.frame


def open_desk(params: Profile) -> LabelDesk:
    """The desk for the study's crops.

    Raises:
        StudyError: ingest or crop has not run, or ``labels`` names a file instead of a folder.
    """
    folder = Path(params.labels)
    if folder.suffix == ".csv":
        raise StudyError(f"labels = {params.labels!r} names a file; the page writes a log a person: name a folder")
    seen = read_seen()
    return LabelDesk(folder, read_crops(params.seed), params, lambda: read_labels(folder, seen))
