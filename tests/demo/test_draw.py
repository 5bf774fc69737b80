"""The embedded world's pictures."""

from dataclasses import replace

import numpy as np
import pytest

from demo import world
from demo.draw import GARMENT_INKS, HAIR_INKS, PLACE_PAINTERS, PROPS_BEFORE, PROPS_BEHIND, Tone, draw, graded

FILMS = world.make_films(5, 12)


def bald_height(distance: float) -> float:
    """The share of the frame that a head with short hair takes."""
    shot = world.sample_shot(FILMS[0], 1, 1, distance=distance)
    person = replace(shot.people[0], who="man", hair_style="short")
    box = draw(replace(shot, people=(person,), prop=None), 128, 1.0).head_box
    return (box[3] - box[1]) / 128


def test_every_place_and_prop_can_be_drawn() -> None:
    assert set(PLACE_PAINTERS) == set(world.PLACES)
    assert {*PROPS_BEHIND, *PROPS_BEFORE} == set(world.PROPS)
    for place in world.PLACES:
        for night in (False, True):
            shot = replace(world.sample_shot(FILMS[0], 0, 1, distance=1.5), place=place, night=night)
            assert draw(shot, 48).pixels.std() > 10


def test_the_same_shot_has_the_same_pixels() -> None:
    shot = world.sample_shot(FILMS[1], 3, 1)
    assert np.array_equal(draw(shot, 96).pixels, draw(shot, 96).pixels)


@pytest.mark.parametrize("aspect", world.ASPECTS)
def test_a_picture_has_the_asked_shape(aspect: float) -> None:
    film = replace(FILMS[0], aspect=aspect)
    shot = world.sample_shot(film, 0, 1)
    assert draw(shot, 100).pixels.shape == (100, round(100 * aspect), 3)
    assert draw(shot, 100, 1.0).pixels.shape == (100, 100, 3)
    assert draw(shot, 100).pixels.dtype == np.uint8


@pytest.mark.parametrize("distance", [0.27, 0.6, 1.4])
@pytest.mark.parametrize("index", range(3))
def test_the_square_is_a_crop_of_the_wide_frame(distance: float, index: int) -> None:
    shot = world.sample_shot(FILMS[index], index, 1, distance=distance)
    square, wide = draw(shot, 128, 1.0), draw(shot, 128, 2.39)
    left = round(wide.head_box[0] - square.head_box[0])
    crop = wide.pixels[:, left : left + 128].astype(int)
    assert np.abs(crop - square.pixels).mean() < 0.5


def test_the_subject_stands_near_the_middle_of_the_square() -> None:
    for index in range(40):
        shot = world.sample_shot(FILMS[index % 12], index, 1)
        box = draw(shot, 64, 1.0).subject_box
        assert abs((box[0] + box[2]) / 2 / 64 - 0.5) <= 0.121


@pytest.mark.parametrize(("kind", "low", "high"), [("close", 0.53, 0.9), ("medium", 0.24, 0.35), ("long", 0.05, 0.17)])
def test_heads_have_the_size_of_their_class(kind: str, low: float, high: float) -> None:
    near, far = world.CORE_DISTANCES[kind]
    assert low < bald_height(far) < bald_height(near) < high


def test_feet_are_in_the_frame_in_long_shots_only() -> None:
    for index in range(30):
        for distance in (0.3, 0.7, 1.05, 1.9):
            box = draw(world.sample_shot(FILMS[index % 12], index, 1, distance=distance), 64, 1.0).subject_box
            assert (box[3] < 64) == (distance > 1)


@pytest.mark.parametrize("light", ["day", "night-figure"])
@pytest.mark.parametrize("inks", [GARMENT_INKS, HAIR_INKS], ids=["garments", "hair"])
def test_attribute_colours_stay_apart_under_every_grade(light: str, inks: dict[str, int]) -> None:
    for grade in world.GRADES:
        colours = np.array([graded(ink, Tone(grade, light)) for ink in inks.values()], float)
        gaps = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + 1e6 * np.eye(len(inks))
        assert gaps.min() > 60
