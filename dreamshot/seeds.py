"""Ids and random seeds, derived from what a thing is: never from an order, a file name or a clock."""

import hashlib

SEED_BITS = 63


def digest(*parts: str | int | bytes) -> str:
    """SHA-256 (hex) of the parts, each preceded by its length so that no two lists collide."""
    h = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        h.update(len(data).to_bytes(8, "little") + data)
    return h.hexdigest()


def seed(study_seed: int, *names: str | int) -> int:
    """An integer in [0, 2**63) for one named random draw of the study."""
    return int(digest(study_seed, *names), 16) % (1 << SEED_BITS)


def picture_seed(study_seed: int, pair: str, *names: str) -> int:
    """The seed of a pair's pictures, in [0, 2**53): what A1111's seed field holds without rounding."""
    return seed(study_seed, pair, *names) % (1 << 53)


def frame_id(film: str, content: bytes) -> str:
    """Sixteen hex digits for a frame, from its film and its file's bytes."""
    return digest("frame", film, content)[:16]


def pair_id(set_name: str, shot_type: str, frame: str, repetition: int) -> str:
    """Sixteen hex digits for a pair: one caption (that of ``frame``), one seed."""
    return digest("pair", set_name, shot_type, frame, repetition)[:16]


def picture_id(pair: str, arm: str, strength: float) -> str:
    """A pair's picture of one arm at one strength."""
    return f"{pair}-{arm}-{strength:.2f}"
