"""Which shot type a picture shows, by a linear probe: multinomial logistic regression on standardised features.

Conventions: features are (n, width) float, labels (n,) strings, groups (n,) (the film). A confusion matrix has the true
label in its rows and the predicted one in its columns, both in the order of ``labels``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


@dataclass(frozen=True)
class Probe:
    """A fitted probe: ``labels`` (k,), ``mean`` and ``scale`` (width,), ``weights`` (k, width), ``bias`` (k,)."""

    labels: tuple[str, ...]
    mean: Features
    scale: Features
    weights: Features
    bias: Features

    def probabilities(self, features: Features) -> Features:
        """(n, k), rows sum to 1."""
        logits = (np.asarray(features, np.float64) - self.mean) / self.scale @ self.weights.T + self.bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def predict(self, features: Features) -> NDArray[np.str_]:
        """(n,) labels, the most probable one each."""
        return np.asarray(self.labels)[self.probabilities(features).argmax(axis=1)]


@dataclass(frozen=True)
class ProbeQuality:
    """How often the probe is right on films that it never saw."""

    labels: tuple[str, ...]
    accuracy: float
    n: int
    groups: int
    folds: int
    confusion: tuple[tuple[int, ...], ...]


def fit(features: Features, labels: Sequence[str], l2: float) -> Probe:
    """Fit the probe; ``l2`` is the weight of half the squared norm beside the summed log loss.

    Raises:
        ValueError: fewer than two labels, or lengths that differ.
    """
    from sklearn.linear_model import LogisticRegression

    features, names = np.asarray(features, np.float64), np.asarray(labels)
    if len(features) != len(names) or len(set(names)) < 2:
        raise ValueError(
            f"a probe needs at least two labels, one a row: {len(features)} rows, labels {sorted(set(names))}"
        )
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    model = LogisticRegression(C=1 / l2, max_iter=5000, tol=1e-6).fit((features - mean) / scale, names)
    weights, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row of weights stands for both: logits 0 and w x + b
        weights, bias = np.vstack([0 * weights, weights]), np.concatenate([0 * bias, bias])
    return Probe(tuple(str(name) for name in model.classes_), mean, scale, weights, bias)


def confusion_matrix(
    true: NDArray[np.str_], predicted: NDArray[np.str_], labels: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    """Counts, rows true and columns predicted."""
    return tuple(tuple(int(np.sum((true == row) & (predicted == column))) for column in labels) for row in labels)


def evaluate(
    features: Features, labels: Sequence[str], groups: Sequence[str], l2: float, held_out: float
) -> ProbeQuality | None:
    """Accuracy by cross-validation over whole groups: every row is judged by a probe that saw no row of its group.

    About ``held_out`` of the rows are left out at a time (1 / held_out folds, at most one a group). None where that
    is impossible: fewer than two groups, a label with one row only, or a fold that leaves one label to learn from.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    features, names, films = np.asarray(features), np.asarray(labels), np.asarray(groups)
    classes, counts = np.unique(names, return_counts=True)
    folds = min(max(2, round(1 / held_out)), len(set(films)), int(counts.min()))
    if folds < 2 or len(classes) < 2:
        return None
    predicted = np.empty_like(names)
    for learn, judge in StratifiedGroupKFold(folds).split(features, names, films):
        if len(set(names[learn])) < 2:
            return None
        predicted[judge] = fit(features[learn], names[learn].tolist(), l2).predict(features[judge])
    order = tuple(str(name) for name in classes)
    right = float(np.mean(predicted == names))
    return ProbeQuality(order, right, len(names), len(set(films)), folds, confusion_matrix(names, predicted, order))
