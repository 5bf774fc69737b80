"""Frames that are nearly the same: one rule, which ingest and select share.

Two frames are alike when all of this holds, the cheapest asked first:

1. one shape: their aspects differ by ASPECT_SHARE at most, so they may be one still at two sizes;
2. their dHashes differ by ``dhash_distance`` of 64 bits at most (-1: none are alike);
3. their thumbnails correlate by ``likeness`` at least: a dHash alone takes two pictures of one composition for one.

The correlation is Pearson's over 16 x 16 fields and three channels, each channel about its own mean: another grading of
a still is still that still, and a strong tint makes no strangers alike. A thumbnail that varies by less than FLAT has
nothing to correlate: two flat ones are alike (1) where their colours differ by FLAT_COLOUR at most and else not (0),
and a flat one is never like one that is not.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from dreamshot.params import NearDuplicate

SIDE = 16  # of a thumbnail
ASPECT_SHARE = 0.02  # a row of bars more or less
FLAT = 1.0  # grey level, of 255: the root mean square about the channels' means
FLAT_COLOUR = 4.0  # grey levels, in the channel that differs most
BLOCK = 256  # thumbnails that are compared at once

Thumbnail = Callable[[int], np.ndarray]  # a frame's number to its (16, 16, 3) uint8


class Look(NamedTuple):
    """What is known of a frame without its pixels; ``dhash`` is 16 hex digits."""

    dhash: str
    width: int
    height: int


class Twin(NamedTuple):
    """A frame, by its number, that another is like: bits between their dHashes, correlation of their thumbnails."""

    number: int
    bits: int
    likeness: float


def shrink(picture: Image.Image) -> np.ndarray:
    """The thumbnail of an RGB picture, (16, 16, 3) uint8: the mean colour of each field."""
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX))


def likeness(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The correlation of a thumbnail (16, 16, 3) with each of others (n, 16, 16, 3): (n,), -1 to 1.

    Means over 256 fields are exact in binary and so are all sums here: every machine finds the same.
    """
    both = np.concatenate([one[None], others]).astype(np.float64)
    means = both.mean(axis=(1, 2), keepdims=True)
    centred = (both - means).reshape(len(both), -1)
    power = (centred**2).sum(axis=1)
    flat = power < FLAT**2 * centred.shape[1]
    found = centred[1:] @ centred[0] / np.sqrt(np.where(flat, 1, power)[1:] * (1 if flat[0] else power[0]))
    same_colour = np.abs(means[1:] - means[0]).max(axis=(1, 2, 3)) <= FLAT_COLOUR
    return np.where(flat[0] | flat[1:], flat[0] & flat[1:] & same_colour, found)


class Seen:
    """Frames that have been added, to find those that another is like.

    One frame against 127,000 costs about 0.1 ms; only those that pass the first two questions are opened, each once.
    """

    def __init__(self, frames: Sequence[Look], params: NearDuplicate, thumbnail: Thumbnail) -> None:
        """``frames``: all that may be added or asked about, by number."""
        self.params = params
        self._open = thumbnail
        self._thumbnails: dict[int, np.ndarray] = {}  # 768 bytes each
        self._hashes = np.array([int(frame.dhash, 16) for frame in frames], dtype=np.uint64)
        self._aspects = np.array([frame.width / frame.height for frame in frames], dtype=np.float64)
        self._numbers = np.zeros(len(frames), dtype=np.int64)
        self._hash = np.zeros(len(frames), dtype=np.uint64)  # of those that were added, in their order
        self._count = 0

    def add(self, number: int) -> None:
        """From now on others may be like this frame."""
        self._numbers[self._count], self._hash[self._count] = number, self._hashes[number]
        self._count += 1

    def alike(self, number: int) -> Iterator[Twin]:
        """Those that the frame is like: by bits, then in the order in which they were added."""
        bits = np.bitwise_count(self._hash[: self._count] ^ self._hashes[number])
        near = np.flatnonzero(bits <= self.params.dhash_distance)
        shape = np.abs(self._aspects[number] / self._aspects[self._numbers[near]] - 1) <= ASPECT_SHARE
        near = near[shape][np.argsort(bits[near[shape]], kind="stable")]
        for start in range(0, len(near), BLOCK):
            block = near[start : start + BLOCK]
            yield from self._compare(number, bits[block], self._numbers[block])

    def _compare(self, number: int, bits: np.ndarray, others: np.ndarray) -> Iterator[Twin]:
        found = likeness(self._thumbnail(number), np.stack([self._thumbnail(int(other)) for other in others]))
        for other, away, value in zip(others, bits, found, strict=True):
            if value >= self.params.likeness:
                yield Twin(int(other), int(away), float(value))

    def _thumbnail(self, number: int) -> np.ndarray:
        if number not in self._thumbnails:
            self._thumbnails[number] = self._open(number)
        return self._thumbnails[number]


def links(frames: Sequence[Look], params: NearDuplicate, thumbnail: Thumbnail) -> list[tuple[int, int]]:
    """All pairs (i, j), i < j, of frames that are alike, sorted.

    Args:
        thumbnail: a frame's number to its thumbnail (see ``shrink``); called once at most for each, and only for those
            whose dHash and shape are near another's.
    """
    seen, found = Seen(frames, params, thumbnail), []
    for number in range(len(frames)):
        found += [(twin.number, number) for twin in seen.alike(number)]
        seen.add(number)
    return sorted(found)
