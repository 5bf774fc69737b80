"""The takes that the tiny DINO learns from: what their two moments share, and what changes between them."""

import numpy as np
import pytest

from demo import takes
from demo.data import SIDE
from demo.draw import draw
from demo.world import Shot, make_films, sample_shot

FILMS = make_films(takes.SEED, 20)
TAKES = [takes.take(film, index) for film in FILMS for index in range(10)]


def test_a_take_keeps_place_light_and_distance() -> None:
    for first, second in TAKES:
        assert (first.place, first.night, first.flip) == (second.place, second.night, second.flip)
        assert abs(np.log(first.distance / second.distance)) <= 2 * takes.DRIFT


def test_between_its_moments_the_people_the_grade_and_the_pan_change() -> None:
    for first, second in TAKES:
        assert first.people != second.people
        assert len(first.people) == len(second.people)
        assert first.film.grade != second.film.grade
        assert first.pan != second.pan


def test_two_people_are_never_the_same_one() -> None:
    assert all(len(set(shot.people)) == len(shot.people) for pair in TAKES for shot in pair)


@pytest.mark.parametrize("across", [-0.3, 0.2])
def test_a_figure_moved_across_with_the_camera_is_the_same_picture_seen_further_along(across: float) -> None:
    """The square that ``moment`` draws is one that a wide still has."""
    from dataclasses import replace

    shot: Shot = replace(sample_shot(FILMS[0], 3, 1), window=0.0, night=False)
    moved = replace(shot, offset=shot.offset + across, pan=shot.pan + across)
    wide, square = draw(shot, 100, aspect=2.0).pixels, draw(moved, 100, aspect=1.0).pixels
    left = 50 - round(100 * across)
    assert np.abs(wide[:, left : left + 100].astype(int) - square).mean() < 2


def test_a_film_s_takes_are_pictures_that_repeat_themselves() -> None:
    one, two = (takes.film_takes(FILMS[0], each=2)[0] for _ in range(2))
    assert one.shape == (2, 2, SIDE, SIDE, 3)
    assert (one == two).all()
    assert (one[:, 0] != one[:, 1]).any()
