"""The paired comparison against closed forms, scipy, enumeration by hand, and simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from metrics.paired import EXACT_CLUSTERS, cluster_df, cluster_error, compare, sign_flip_p


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def simulated(films: int, mean_size: int, icc: float, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Differences without an effect, of total variance 1, alike by ``icc`` within films of unequal size."""
    sizes = draw.integers(1, 2 * mean_size, films)
    film = np.repeat(np.arange(films), sizes)
    shared, own = draw.normal(0, np.sqrt(icc), films), draw.normal(0, np.sqrt(1 - icc), sizes.sum())
    return shared[film] + own, film


def test_one_pair_a_film_is_the_ordinary_paired_t_test() -> None:
    draw = rng()
    before, after = draw.normal(size=17), draw.normal(0.3, 1, size=17)
    ours = compare(before, after, np.arange(17), rng(), confidence=0.9)
    theirs = stats.ttest_rel(after, before)
    interval = theirs.confidence_interval(0.9)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.ci_lo, ours.ci_hi) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (ours.n, ours.clusters, ours.diff) == (17, 17, pytest.approx(np.mean(after - before)))


def test_films_of_equal_size_are_the_t_test_of_the_films_means() -> None:
    differences = rng().normal(0.2, 1, size=(7, 5))
    ours = compare(np.zeros(35), differences.ravel(), np.repeat(np.arange(7), 5), rng())
    theirs = stats.ttest_1samp(differences.mean(axis=1), 0)
    interval = theirs.confidence_interval(0.95)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.ci_lo, ours.ci_hi) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_the_error_of_unequal_films_is_the_one_worked_out_by_hand() -> None:
    # differences 1, 3 | 5 | 7: mean 4; summed residuals -4, 1, 3; sizes 2, 1, 1 of 4
    # CR2: (16 / (1 - 2/4) + 1 / (1 - 1/4) + 9 / (1 - 1/4)) / 16 = (32 + 4/3 + 12) / 16
    error = cluster_error(np.array([1.0, 3.0, 5.0, 7.0]), ["a", "a", "b", "c"])
    assert error == pytest.approx(np.sqrt((32 + 4 / 3 + 12) / 16))


def test_the_degrees_of_freedom_are_those_worked_out_by_hand() -> None:
    # sizes 2, 1, 1: n^2 / (sum n_g^2 + cross terms) = 16 / (6 + (8/3)^2 - (4 + 2/9)) = 1.8
    assert cluster_df(["a", "a", "b", "c"]) == pytest.approx(1.8)
    assert cluster_df(np.repeat(np.arange(7), 5)) == pytest.approx(6)
    assert cluster_df(["a"] * 39 + ["b"]) == pytest.approx(1)


def test_the_order_of_the_pairs_and_the_names_of_the_films_do_not_matter() -> None:
    draw = rng()
    differences, film = simulated(8, 4, 0.2, draw)
    order = draw.permutation(len(film))
    one = compare(np.zeros(len(film)), differences, film, rng())
    other = compare(np.zeros(len(film)), differences[order], np.array([f"film {7 - k}" for k in film[order]]), rng())
    assert (one.diff, one.ci_lo, one.ci_hi, one.p, one.p_flip) == pytest.approx(
        (other.diff, other.ci_lo, other.ci_hi, other.p, other.p_flip)
    )


def test_p_is_below_five_percent_exactly_when_the_interval_leaves_zero_out() -> None:
    draw = rng()
    for _ in range(200):
        differences, film = simulated(6, 3, 0.3, draw)
        result = compare(np.zeros(len(film)), differences + 0.4, film, draw, resamples=9)
        assert result.p is not None
        assert result.ci_lo is not None
        assert result.ci_hi is not None
        assert (result.p < 0.05) == (result.ci_lo > 0 or result.ci_hi < 0)


def test_a_strong_effect_over_few_films_has_a_p_far_below_a_thousandth() -> None:
    after = 1 + 0.01 * rng().normal(size=40)
    result = compare(np.zeros(40), after, np.repeat(np.arange(8), 5), rng())
    assert result.p is not None
    assert result.p < 1e-6
    assert result.p_flip == 2 / 2**8  # the sign-flip test cannot go lower with 8 films


@pytest.mark.parametrize("films", [2, 3, 5])
def test_sign_flip_of_few_films_is_the_enumeration_by_hand(films: int) -> None:
    differences, film = simulated(films, 3, 0.2, np.random.default_rng(films))
    sums = [differences[film == k].sum() for k in range(films)]
    flipped = [abs(np.dot(signs, sums)) for signs in itertools.product((1, -1), repeat=films)]
    expected = np.mean([value >= abs(sum(sums)) - 1e-12 for value in flipped])
    assert sign_flip_p(differences, film, rng()) == expected


def test_sign_flip_of_three_films_known_by_heart() -> None:
    assert sign_flip_p([1.0, 2.0, 4.0], [0, 1, 2], rng()) == 2 / 8
    assert sign_flip_p([1.0, 2.0, -4.0], [0, 1, 2], rng()) == 8 / 8  # 1 is the smallest sum of any pattern
    assert sign_flip_p([0.5, 0.5, 2.0, -2.0], [0, 0, 1, 1], rng()) == 1  # the second film cancels out


def test_drawn_signs_agree_with_all_signs() -> None:
    differences, film = simulated(EXACT_CLUSTERS + 2, 3, 0.1, np.random.default_rng(3))
    sums = np.array([differences[film == k].sum() for k in range(EXACT_CLUSTERS + 2)])
    every = 1 - 2 * (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1)
    exact = np.mean(np.abs(every @ sums) >= abs(sums.sum()) - 1e-12)
    drawn = sign_flip_p(differences, film, rng(), resamples=40_000)
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 40_000))


def test_the_same_generator_gives_the_same_p() -> None:
    differences, film = simulated(20, 3, 0.1, rng())
    assert sign_flip_p(differences, film, rng()) == sign_flip_p(differences, film, rng())


@pytest.mark.parametrize(("films", "icc"), [(6, 0.0), (6, 0.3), (12, 0.1), (20, 0.3)])
def test_the_interval_covers_no_effect_at_its_nominal_rate(films: int, icc: float) -> None:
    draw = np.random.default_rng([films, int(10 * icc)])
    runs = [simulated(films, 8, icc, draw) for _ in range(1500)]
    covered = [abs(d.mean()) <= stats.t.ppf(0.975, cluster_df(film)) * cluster_error(d, film) for d, film in runs]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_sign_flip_rejects_a_true_null_at_its_nominal_rate() -> None:
    draw = np.random.default_rng(5)
    p = [sign_flip_p(*simulated(10, 5, 0.3, draw), draw) for _ in range(600)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.025)


def test_a_naive_interval_would_not_cover() -> None:
    draw = np.random.default_rng(6)
    runs = [simulated(10, 20, 0.3, draw)[0] for _ in range(300)]
    covered = [abs(d.mean()) <= 1.96 * d.std(ddof=1) / np.sqrt(len(d)) for d in runs]
    assert np.mean(covered) < 0.8


def test_d_z_is_the_mean_over_the_standard_deviation() -> None:
    result = compare([0, 0, 0, 0], [1, 2, 3, 6], list("aabb"), rng())
    assert result.d_z == pytest.approx(3 / np.sqrt(14 / 3))


def test_one_film_gives_means_but_no_interval() -> None:
    result = compare([0.1, 0.3], [0.2, 0.6], ["a", "a"], rng())
    assert (result.n, result.clusters, result.diff) == (2, 1, pytest.approx(0.2))
    assert result.ci_lo is result.ci_hi is result.p is result.p_flip is None
    assert compare([0.1], [0.2], ["a"], rng()).d_z is None


@pytest.mark.parametrize("difference", [0.0, 0.1, 1.0])
def test_equal_differences_give_a_point_and_no_p(difference: float) -> None:
    before = np.linspace(0.2, 0.7, 12)
    result = compare(before, before + difference, np.repeat(np.arange(4), 3), rng())
    assert result.p is None
    assert result.d_z is None
    assert (result.ci_lo, result.ci_hi) == pytest.approx((difference, difference))
    assert result.p_flip == (1 if difference == 0 else 2 / 2**4)


@pytest.mark.parametrize(
    ("before", "after", "clusters", "message"),
    [
        ([], [], [], "no pairs"),
        ([1, 2], [1], ["a", "b"], r"ours: shape \(1,\)"),
        ([1, np.nan], [1, 2], ["a", "b"], "baseline: value nan at row 1"),
        ([1, 2], [np.inf, 2], ["a", "b"], "ours: value inf at row 0"),
    ],
)
def test_what_cannot_be_compared_is_named(before: list, after: list, clusters: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(before, after, clusters, rng())
