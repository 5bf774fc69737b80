"""Which captions are reviewed, and what a person makes of them. No HTTP and no Streamlit here.

The training frames' captions are reviewed; test captions stay the captioner's own. A caption is reviewed once somebody
has looked at it with its picture: its row in the table then has a ``time``. Find and replace changes captions without
that, and they still wait to be looked at. Undo takes back a person's last change, however many captions it touched; it
reaches back to the server's start, and git further.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

from dreamshot.captions import (
    CLIP_TOKENS,
    Reviewed,
    flags,
    one_line,
    prompt,
    read_reviewed,
    token_counter,
    write_reviewed,
)
from dreamshot.errors import StudyError
from dreamshot.labels import check_name, read_seen, read_squares
from dreamshot.params import Profile, ShotType
from dreamshot.paths import CAPTION_ROWS
from dreamshot.records import read_table
from dreamshot.work import locked
from survey_app.researcher.clock import now

LONGEST = 2000  # letters of a caption
Change = dict[str, tuple[Reviewed | None, Reviewed]]  # the rows of some frames (None: there was none), before and after


@dataclass(frozen=True)
class Captioned:
    """A training frame and what the captioner says of it; ``square`` is its crop, "x y side"."""

    frame: str
    film: str
    shot_type: ShotType
    raw: str
    square: str


def read_captioned() -> list[Captioned]:
    """The training frames by shot type, film and frame."""
    rows, squares = read_table(CAPTION_ROWS), read_squares()
    rows = rows[rows["split"] == "train"].sort_values(["shot_type", "film", "frame"])
    columns = zip(rows["frame"], rows["film"], rows["shot_type"], rows["raw"], strict=True)
    return [Captioned(*values, square=squares[values[0]]) for values in columns]


def is_reviewed(row: Reviewed | None) -> bool:
    """Whether a person has looked at it; a table that was written by hand gives neither editor nor time."""
    return row is not None and (row.time != "" or row.editor == "")


def fitting(caption: str) -> str:
    """A caption in one line, neither empty nor endless."""
    caption = one_line(caption)
    if not 0 < len(caption) <= LONGEST:
        raise StudyError(f"a caption has 1 to {LONGEST} letters; this one would have {len(caption)}")
    return caption


class CaptionDesk:
    """The captions of the training frames, and the table of those that a person has touched."""

    def __init__(
        self,
        path: Path,
        frames: Sequence[Captioned],
        template: str,
        count_tokens: Callable[[str], int],
        known: Mapping[str, str],
    ) -> None:
        """
        Args:
            path: the table.
            template: the prompt with its fields, as training uses it.
            count_tokens: from ``token_counter``.
            known: every frame that the table may name.
        """
        self.path, self.frames = path, {frame.frame: frame for frame in frames}
        self._template, self._count, self._known = template, lru_cache(maxsize=10_000)(count_tokens), known
        self._undo: defaultdict[str, list[Change]] = defaultdict(list)
        self._lock = RLock()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While the table is read and written, nobody else does: no other thread, no other server."""
        with self._lock, locked(self.path.parent):
            yield

    # --- what stands ---

    def rows(self) -> dict[str, Reviewed]:
        """The table as it is on the disk, whoever wrote it."""
        return read_reviewed(self.path, self._known)

    def text(self, frame: str, row: Reviewed | None) -> str:
        """The caption that training uses."""
        return row.caption if row is not None and row.caption else self.frames[frame].raw

    def checked(self, frame: str, caption: str) -> dict[str, Any]:
        """A caption's flags and the tokens of its prompt, of the frame that it would be given."""
        shot_type = self.frames[frame].shot_type
        return {
            "flags": list(flags(caption, shot_type, self._count, self._template)),
            "tokens": self._count(prompt(self._template, shot_type, caption)),
        }

    def shown(self, frame: str, row: Reviewed | None) -> dict[str, Any]:
        """A frame in the page's words."""
        caption = self.text(frame, row)
        about = self.frames[frame]
        return {
            "frame": frame, "square": about.square, "film": about.film, "shot_type": about.shot_type, "raw": about.raw,
            "caption": caption, "reviewed": is_reviewed(row), "editor": row.editor if row else "",
            "time": row.time if row else "", **self.checked(frame, caption),
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Every training frame with its caption, and how many tokens a prompt may have."""
        with self._lock:
            rows = self.rows()
            return {"rows": [self.shown(frame, rows.get(frame)) for frame in self.frames], "tokens": CLIP_TOKENS}

    # --- what is said ---

    def check(self, frame: str, caption: str) -> dict[str, Any]:
        """``checked`` for a caption that is being written."""
        if frame not in self.frames:
            raise StudyError(f"frame {frame!r} is no training frame; reload the page")
        return self.checked(frame, caption)

    def change(self, editor: str, changed: Mapping[str, Reviewed]) -> dict[str, Any]:
        """Write changed rows and remember what they were; returns them as the page shows them."""
        rows = self.rows()
        change: Change = {frame: (rows.get(frame), row) for frame, row in changed.items()}
        rows.update(changed)
        if changed:
            write_reviewed(self.path, rows.values())
            self._undo[editor].append(change)
        return {"rows": [self.shown(frame, rows[frame]) for frame in changed]}

    def save(self, editor: str, frame: str, caption: str) -> dict[str, Any]:
        """A person has looked at a frame and its caption, and leaves it as ``caption``.

        Raises:
            StudyError: no such training frame, no words, or far too many.
            OSError: it could not be written; nothing has changed.
        """
        check_name(editor)
        self.check(frame, caption)
        row = Reviewed(frame, fitting(caption), raw=self.frames[frame].raw, editor=editor, time=now())
        with self._alone():
            return self.change(editor, {frame: row})

    def replace(self, editor: str, find: str, by: str) -> dict[str, Any]:
        """Replace a text in every caption that has it; those that nobody had looked at still wait for that.

        Raises:
            StudyError: nothing to find, or a caption would have no words left, or far too many.
            OSError: it could not be written; nothing has changed.
        """
        check_name(editor)
        if not find:
            raise StudyError("nothing to find: give the text that is to be replaced")
        with self._alone():
            rows, changed = self.rows(), dict[str, Reviewed]()
            for frame, about in self.frames.items():
                row = rows.get(frame)
                text = self.text(frame, row)
                if find in text:
                    caption = fitting(text.replace(find, by))
                    old = row or Reviewed(frame, "", raw=about.raw)
                    changed[frame] = replace(
                        old, caption=caption, editor=editor, time=old.time if is_reviewed(row) else ""
                    )
            return self.change(editor, changed)

    def undo(self, editor: str) -> dict[str, Any]:
        """Take back the person's last change, but for rows that another has changed since.

        Returns the rows as they are then, none where there was no change.
        """
        check_name(editor)
        with self._alone():
            if not self._undo[editor]:
                return {"rows": []}
            rows = self.rows()
            change = {
                frame: before for frame, (before, after) in self._undo[editor][-1].items() if rows.get(frame) == after
            }
            for frame, before in change.items():
                del rows[frame]
                if before is not None:
                    rows[frame] = before
            write_reviewed(self.path, rows.values())
            self._undo[editor].pop()
            return {"rows": [self.shown(frame, row) for frame, row in change.items()]}


def open_desk(params: Profile) -> CaptionDesk:
    """The desk for the study's captions.

    Raises:
        StudyError: the captions have not been made.
    """
    count_tokens = token_counter(params.models.base)
    template, films = params.generate.template, read_seen().films
    return CaptionDesk(Path(params.captions), read_captioned(), template, count_tokens, films)
