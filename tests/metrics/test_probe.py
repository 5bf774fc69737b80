"""The probe on what can be told apart and what cannot, and against scikit-learn."""

import numpy as np
import pytest

from metrics.probe import confusion_matrix, evaluate, fit

LABELS = ("close", "long", "medium")


def sample(separation: float, n: int = 150, width: int = 12, seed: int = 0) -> tuple[np.ndarray, list[str], list[str]]:
    """Features around one centre a label, ``separation`` apart; films hold all labels."""
    draw = np.random.default_rng(seed)
    names = draw.choice(LABELS, n)
    centres = {label: separation * np.eye(width)[index] for index, label in enumerate(LABELS)}
    features = np.stack([centres[name] for name in names]) + draw.normal(size=(n, width))
    return features, names.tolist(), [f"film {k % 10}" for k in range(n)]


def test_what_is_far_apart_is_told_apart_on_films_never_seen() -> None:
    quality = evaluate(*sample(12), l2=1.0, held_out=0.3)
    assert quality is not None
    assert quality.accuracy == 1
    assert quality.labels == LABELS
    assert (quality.n, quality.groups, quality.folds) == (150, 10, 3)
    assert np.array_equal(np.diag(np.diag(quality.confusion)), quality.confusion)


def test_what_is_not_apart_is_guessed() -> None:
    accuracies = [evaluate(*sample(0, seed=seed), l2=1.0, held_out=0.3) for seed in range(8)]
    assert np.mean([quality.accuracy for quality in accuracies if quality]) == pytest.approx(1 / 3, abs=0.05)


def test_a_probe_that_knows_the_film_gains_nothing_from_it() -> None:
    # the features name the film, and films have one label each: only a split that mixes films could use that
    draw = np.random.default_rng(1)
    films = np.tile(np.arange(30), 6)
    names = np.array(LABELS)[films % 3]
    features = np.eye(30)[films] * 5 + draw.normal(0, 0.1, size=(180, 30))
    quality = evaluate(features, names.tolist(), [str(film) for film in films], l2=1.0, held_out=0.3)
    assert quality is not None
    assert quality.accuracy < 0.5
    assert np.mean(fit(features, names.tolist(), 1.0).predict(features) == names) == 1


@pytest.mark.parametrize("count", [2, 3])
def test_the_probe_is_scikit_learns(count: int) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, names, _ = sample(1.5)
    keep = [index for index, name in enumerate(names) if name in LABELS[:count]]
    features, names = features[keep] * 7 + 3, [names[index] for index in keep]
    ours = fit(features, names, l2=0.5)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=2, max_iter=5000, tol=1e-6)).fit(features, names)
    assert ours.probabilities(features) == pytest.approx(theirs.predict_proba(features), abs=1e-9)
    assert ours.predict(features).tolist() == theirs.predict(features).tolist()


def test_a_feature_that_never_changes_does_no_harm() -> None:
    features, names, _ = sample(5)
    features[:, 4] = 0.1
    assert np.isfinite(fit(features, names, 1.0).probabilities(features)).all()


def test_stronger_regularisation_is_less_sure() -> None:
    features, names, _ = sample(2)
    weak, strong = (fit(features, names, l2).probabilities(features).max(axis=1).mean() for l2 in (0.1, 1000.0))
    assert strong < weak


def test_the_confusion_has_the_truth_in_its_rows() -> None:
    true, predicted = np.array(["a", "a", "a", "b"]), np.array(["a", "b", "b", "b"])
    assert confusion_matrix(true, predicted, ("a", "b")) == ((1, 2), (0, 1))


def test_too_little_to_hold_out_is_no_quality() -> None:
    features, names, films = sample(3)
    assert evaluate(features, names, ["one film"] * len(names), 1.0, 0.3) is None
    rare = [*["close"] * (len(names) - 1), "long"]
    assert evaluate(features, rare, films, 1.0, 0.3) is None
    two = ["close"] * 5 + ["long"] * 5  # each film has one label: whatever is held out leaves one to learn from
    assert evaluate(features[:10], two, ["a"] * 5 + ["b"] * 5, 1.0, 0.3) is None


def test_one_label_is_no_probe() -> None:
    with pytest.raises(ValueError, match="at least two labels"):
        fit(np.eye(3), ["close"] * 3, 1.0)
