"""Frames are nearly the same by shape, dHash and likeness together, and each is opened at most once."""

import time
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from dreamshot.params import NearDuplicate
from stages import alike
from stages.alike import Look, Seen, likeness, links, shrink
from tests.stills import scene

LIMITS = NearDuplicate(dhash_distance=2, likeness=0.98)


def look(bits: int = 0, width: int = 1920, height: int = 1080) -> Look:
    return Look(f"{bits:016x}", width, height)


def thumbnail(seed: int = 0) -> np.ndarray:
    return shrink(Image.fromarray(scene(seed)))


def one_for_all(number: int) -> np.ndarray:
    return thumbnail()


# --- likeness ---


def test_likeness_is_pearson_s_correlation_of_the_fields_about_their_channels_means() -> None:
    one, other = thumbnail(1), thumbnail(2)
    centred = [(each - each.mean(axis=(0, 1))).ravel() for each in (one, other)]
    assert likeness(one, other[None])[0] == pytest.approx(np.corrcoef(*centred)[0, 1], abs=1e-12)


def test_the_same_is_alike_at_any_exposure_and_tint_and_the_negative_is_its_opposite() -> None:
    one = thumbnail()
    darker, tinted = one // 2, np.clip(one + np.array((-40, 0, 0)), 0, 255).astype(np.uint8)
    found = likeness(one, np.stack([one, darker, tinted, 255 - one]))
    assert found[0] == 1
    assert found[1] > 0.999
    assert found[2] > 0.999
    assert found[3] == -1


def test_a_strong_tint_makes_no_strangers_alike() -> None:
    amber = np.array((0.9, 0.6, 0.2))
    one, other = ((thumbnail(seed) * amber).astype(np.uint8) for seed in (1, 2))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.6
    assert likeness(one, other[None])[0] < 0.3


def flat(*colour: int) -> np.ndarray:
    return np.full((16, 16, 3), colour, np.uint8)


def test_flat_thumbnails_are_alike_by_their_colour_alone() -> None:
    others = np.stack([flat(50, 60, 70), flat(54, 56, 70), flat(55, 60, 70), flat(0, 0, 0), thumbnail()])
    assert likeness(flat(50, 60, 70), others).tolist() == [1, 1, 0, 0, 0]
    assert likeness(thumbnail(), others[:4]).tolist() == [0, 0, 0, 0]


def test_noise_does_not_make_a_flat_thumbnail_less_flat() -> None:
    noise = np.random.default_rng(0).integers(0, 2, (2, 16, 16, 3), dtype=np.uint8)
    assert likeness(flat(50, 60, 70) + noise[0], (flat(50, 60, 70) + noise[1])[None])[0] == 1


# --- who is asked ---


@pytest.mark.parametrize(
    ("distance", "pairs"), [(-1, []), (0, [(0, 1)]), (1, [(0, 1)]), (3, [(0, 1), (0, 2), (1, 2)]), (64, 6)]
)
def test_links_are_within_the_distance(distance: int, pairs: list[tuple[int, int]] | int) -> None:
    frames = [look(0), look(0), look(0b111), look(2**64 - 1)]
    found = links(frames, NearDuplicate(dhash_distance=distance, likeness=0.98), one_for_all)
    assert (len(found) if isinstance(pairs, int) else found) == pairs


def test_links_are_between_frames_of_one_shape_whatever_their_sizes() -> None:
    frames = [look(), look(0, 960, 540), look(0, 1080, 1920), look(0, 1920, 1060), look(0, 1920, 1040)]
    assert links(frames, LIMITS, one_for_all) == [(0, 1), (0, 3), (1, 3), (3, 4)]


def test_frames_of_one_dhash_that_look_different_are_not_linked() -> None:
    pictures = [thumbnail(1), thumbnail(2), thumbnail(1), thumbnail(2)]
    assert links([look()] * 4, LIMITS, pictures.__getitem__) == [(0, 2), (1, 3)]
    anything = NearDuplicate(dhash_distance=2, likeness=-1.0)
    assert len(links([look()] * 4, anything, pictures.__getitem__)) == 6


def test_only_candidates_are_opened_and_each_once() -> None:
    frames = [look(0), look(0xFF), look(0b1), look(0xFFFF0000), look(0b11)]
    opened: list[int] = []

    def thumbnail_of(number: int) -> np.ndarray:
        opened.append(number)
        return thumbnail()

    assert links(frames, LIMITS, thumbnail_of) == [(0, 2), (0, 4), (2, 4)]
    assert sorted(opened) == [0, 2, 4]
    opened.clear()
    assert links(frames, LIMITS.model_copy(update={"dhash_distance": -1}), thumbnail_of) == []
    assert opened == []


def test_the_nearest_comes_first_and_of_equals_the_first_that_was_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "BLOCK", 2)
    frames = [look(0b11), look(0b1), look(0b10), look(0), look(0)]
    seen = Seen(frames, LIMITS, one_for_all)
    for number in range(4):
        seen.add(number)
    assert [(twin.number, twin.bits) for twin in seen.alike(4)] == [(3, 0), (1, 1), (2, 1), (0, 2)]
    assert {twin.likeness for twin in seen.alike(4)} == {1.0}


def by_hand(frames: Sequence[Look], pictures: Sequence[np.ndarray], limits: NearDuplicate) -> list[tuple[int, int]]:
    """The same pairs, each asked alone."""

    def near(one: int, other: int) -> bool:
        bits = (int(frames[one].dhash, 16) ^ int(frames[other].dhash, 16)).bit_count()
        shapes = [frame.width / frame.height for frame in (frames[one], frames[other])]
        return bool(
            bits <= limits.dhash_distance
            and abs(shapes[1] / shapes[0] - 1) <= 0.02
            and likeness(pictures[one], pictures[other][None])[0] >= limits.likeness
        )

    return [(one, other) for one in range(len(frames)) for other in range(one + 1, len(frames)) if near(one, other)]


def test_links_are_those_that_asking_every_pair_finds() -> None:
    rng = np.random.default_rng(0)
    frames = [look(int(rng.integers(0, 32)), 1920, int(rng.choice([1080, 1070, 800]))) for _ in range(200)]
    pictures = [thumbnail(int(rng.integers(0, 3))) for _ in frames]
    found = links(frames, LIMITS, pictures.__getitem__)
    assert len(found) > 100
    assert found == by_hand(frames, pictures, LIMITS)


def test_one_frame_against_very_many_takes_less_than_a_millisecond() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, 127_000, dtype=np.uint64)
    frames = [look(int(value)) for value in hashes]
    seen = Seen(frames, LIMITS, one_for_all)
    for number in range(len(frames) - 100):
        seen.add(number)
    times = []
    for number in range(len(frames) - 100, len(frames)):
        start = time.perf_counter()
        assert not list(seen.alike(number))
        times.append(time.perf_counter() - start)
    assert np.median(times) < 1e-3
