"""The measures of the tiny models against what they must be on made-up features and captions."""

import numpy as np
import pytest

from demo import measure


def test_each_picture_picks_its_own_caption() -> None:
    unit = np.eye(64)
    assert measure.picks(unit, unit, [str(row) for row in range(64)]) == 1.0


def test_the_same_words_of_another_frame_are_right_too() -> None:
    unit = np.eye(64)
    captions = ["the same", "the same", *(str(row) for row in range(62))]
    assert measure.picks(unit, unit[[1, 0, *range(2, 64)]], captions) == 1.0


def test_shuffled_captions_are_picked_by_chance_only() -> None:
    unit = np.eye(128)
    captions = [str(row) for row in range(128)]
    assert measure.picks(unit, np.roll(unit, 1, axis=0), captions) == 0.0


def test_what_is_left_over_after_whole_groups_is_not_used() -> None:
    unit = np.eye(65)
    wrong = unit.copy()
    wrong[64] = 0
    assert measure.picks(unit, wrong, [str(row) for row in range(65)]) == 1.0


def test_knn_takes_the_label_of_the_near_ones() -> None:
    angles = np.array([0.0, 0.1, 0.2, 3.0, 3.1, 3.2, 3.3])
    bank = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.array(["close"] * 3 + ["long"] * 4)
    asked = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert list(measure.knn(bank, labels, asked, neighbours=3)) == ["close", "long"]


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("a man with grey hair in a green coat holding flowers on a beach", 1.0),
        ("a man with grey hair in a green coat on a beach", 0.8),
        ("hair hair hair", 0.0),
        ("", 0.0),
    ],
)
def test_a_missing_or_wrong_attribute_counts_as_wrong(said: str, right: float) -> None:
    truth = {"who": "man", "hair": "grey", "garment": "green", "place": "beach", "prop": "flowers"}
    shares = measure.attribute_shares([said], [truth])
    assert np.mean(list(shares.values())) == pytest.approx(right)


def test_psnr_of_an_error_of_one_level_is_its_closed_form() -> None:
    pictures = np.full((2, 4, 4, 3), 100, np.uint8)
    wanted = pictures.copy()
    wanted[1] += 1
    with np.errstate(divide="ignore"):
        found = measure.psnr(pictures, wanted)
    assert found[0] == np.inf
    assert found[1] == pytest.approx(20 * np.log10(255))


def test_the_table_has_a_line_for_each_row() -> None:
    assert measure.table([("clip", "picks", "90%")]).splitlines()[-1] == "| clip | picks | 90% |"
