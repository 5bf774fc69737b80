"""The embedded world's films, shots and captions."""

from collections import Counter

import pytest

from demo import world


@pytest.fixture(scope="module")
def films() -> tuple[world.Film, ...]:
    return world.make_films(7, 60)


@pytest.fixture(scope="module")
def shots(films: tuple[world.Film, ...]) -> list[world.Shot]:
    return [world.sample_shot(film, index, 3) for film in films for index in range(15)]


def test_films_are_unique_and_a_longer_list_begins_with_the_shorter(films: tuple[world.Film, ...]) -> None:
    assert len({film.title for film in films}) == len({film.id for film in films}) == 60
    assert world.make_films(7, 20) == films[:20]


def test_films_of_another_seed_have_other_ids(films: tuple[world.Film, ...]) -> None:
    assert not {film.id for film in films} & {film.id for film in world.make_films(8, 60)}


def test_films_keep_their_ranges(films: tuple[world.Film, ...]) -> None:
    assert all(2005 <= film.year <= 2022 for film in films)
    assert all(2 <= len(film.cast) <= 4 and 2 <= len(film.places) <= 4 for film in films)
    assert {film.aspect for film in films} == set(world.ASPECTS)


def test_many_titles_do_not_run_out() -> None:
    assert len({film.id for film in world.make_films(1, 3000)}) == 3000


def test_a_shot_depends_on_nothing_but_its_key(films: tuple[world.Film, ...]) -> None:
    first = world.sample_shot(films[0], 4, 3)
    assert first == world.sample_shot(films[0], 4, 3)
    assert first != world.sample_shot(films[0], 5, 3)


def test_a_given_distance_changes_only_the_scale(films: tuple[world.Film, ...]) -> None:
    from dataclasses import replace

    free, fixed = world.sample_shot(films[0], 4, 3), world.sample_shot(films[0], 4, 3, distance=1.5)
    assert replace(free, distance=1.5) == fixed


def test_shot_types_come_in_their_shares(shots: list[world.Shot]) -> None:
    counts = Counter(world.shot_type(shot.distance) for shot in shots)
    assert counts["close"] / len(shots) == pytest.approx(0.3, abs=0.05)
    assert counts["medium"] / len(shots) == pytest.approx(0.4, abs=0.05)
    assert 0.05 < sum(world.is_border(shot.distance) for shot in shots) / len(shots) < 0.2


@pytest.mark.parametrize(
    ("distance", "kind", "border"),
    [
        (0.25, "close", False),
        (0.38, "close", True),
        (0.45, "medium", True),
        (0.6, "medium", False),
        (0.8, "medium", True),
        (0.95, "long", True),
        (1.5, "long", False),
    ],
)
def test_distances_have_their_class(distance: float, kind: str, border: bool) -> None:
    assert world.shot_type(distance) == kind
    assert world.is_border(distance) is border


def test_captions_parse_back_to_the_truth(shots: list[world.Shot]) -> None:
    for shot in shots:
        assert world.parse_caption(world.caption(shot)) == world.attributes(shot)


def test_captions_never_name_the_scale(shots: list[world.Shot]) -> None:
    text = " ".join(world.caption(shot) for shot in shots)
    assert text == text.lower()
    assert not {"close", "medium", "long", "shot", "wide"} & set(text.split())


def test_a_garbled_caption_lacks_what_it_does_not_say() -> None:
    assert world.parse_caption("a woman with red hair in a in a coat holding") == {
        "who": "woman",
        "hair": "red",
    }
    assert world.parse_caption("") == {}
    assert "prop" not in world.parse_caption("a man with grey hair in a blue coat holding a a on a beach")
