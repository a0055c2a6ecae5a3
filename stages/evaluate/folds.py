"""Verification accuracy over ten folds: the threshold is chosen on nine and applied to the tenth."""

from dataclasses import dataclass

import numpy as np

from stages.evaluate.pairs import FOLDS, Pairs
from stages.evaluate.roc import INFINITY, between


@dataclass(frozen=True)
class Folded:
    """What came of the ten folds.

    Attributes:
        accuracies: float64 `[10]`, of each fold.
        correct: bool `[P]`, of each pair, at the threshold of its fold.
    """

    accuracies: np.ndarray
    correct: np.ndarray


def fold_accuracies(distance: np.ndarray, pairs: Pairs) -> Folded:
    """Accuracy on each fold, at the threshold that has the highest accuracy on the other nine.

    Of several such thresholds the lowest is taken, midway to the next distance.

    Args:
        distance: float `[P]`, rounded to float32 as in `Scores`.
        pairs: with folds.

    Raises:
        ValueError: the pairs have no folds.
    """
    if pairs.folds is None:
        raise ValueError("fold_accuracies wants pairs with folds. Received: pairs.folds=None")
    distance = distance.astype(np.float32)
    correct = np.empty(len(pairs), bool)
    for fold in range(FOLDS):
        held = pairs.folds == fold
        threshold = np.float32(_best_threshold(distance[~held], pairs.same[~held]))
        correct[held] = (distance[held] <= threshold) == pairs.same[held]
    return Folded(np.array([correct[pairs.folds == fold].mean() for fold in range(FOLDS)]), correct)


def _best_threshold(distance: np.ndarray, same: np.ndarray) -> float:
    """The lowest threshold with the most correct pairs, as `between` gives it; minus infinity to accept nothing."""
    order = np.argsort(distance, kind="stable")
    ascending = distance[order]
    last_of_ties = np.append(ascending[1:] != ascending[:-1], True)
    thresholds = np.concatenate([[-INFINITY], ascending[last_of_ties], [INFINITY]])
    # An accepted same pair is one more correct than if nothing were accepted, a different one is one less.
    gains = np.append(0, np.cumsum(np.where(same[order], 1, -1))[last_of_ties])
    best = int(np.argmax(gains))
    return between(thresholds[best], thresholds[best + 1])
