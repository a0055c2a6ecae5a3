"""Accuracy over ten folds against loops over thresholds and known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluate import folds, pairs


def folded(distance, same, fold_of):
    n = len(distance)
    return np.array(distance, float), pairs.Pairs(np.arange(n), np.arange(n), np.array(same), np.array(fold_of), n)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_fold_accuracies_equal_loop_over_thresholds(seed):
    rng = np.random.default_rng(seed)
    fold_of, same = np.repeat(np.arange(10), 8), np.tile([True, False], 40)
    distance, chosen = folded(rng.integers(0, 12, 80) + ~same * rng.integers(4), same, fold_of)
    judged = folds.fold_accuracies(distance, chosen)
    for fold, accuracy in enumerate(judged.accuracies):
        others = fold_of != fold
        candidates = [-np.inf, *sorted(set(distance[others])), np.inf]
        correct = [((distance[others] <= threshold) == same[others]).sum() for threshold in candidates[:-1]]
        best = int(np.argmax(correct))
        middle = (candidates[best] + candidates[best + 1]) / 2
        threshold = middle if np.isfinite(middle) else candidates[best]
        expected = [(d <= threshold) == s for d, s in zip(distance[~others], same[~others], strict=True)]
        assert judged.correct[~others].tolist() == expected
        assert accuracy == np.mean(expected)


def test_thresholds_are_chosen_on_nine_folds_only():
    # Seen with the others, the same pairs of fold 0 would put the threshold between 2.5 and 3, and lose none.
    fold_of, same = np.repeat(np.arange(10), 4), np.tile([True, True, False, False], 10)
    distance, chosen = folded(np.where(same, 1.0, 3.0), same, fold_of)
    distance[:2] = 2.5
    judged = folds.fold_accuracies(distance, chosen)
    assert judged.accuracies.tolist() == [0.5] + [1.0] * 9
    assert judged.correct.tolist() == [False] * 2 + [True] * 38


@pytest.mark.parametrize("value", [0.0, 2.5, -1.0])
def test_constant_distance_verifies_at_chance_and_accepts_nothing(value):
    same = np.tile([True, False], 20)
    judged = folds.fold_accuracies(*folded(np.full(40, value), same, np.repeat(np.arange(10), 4)))
    assert judged.accuracies.tolist() == [0.5] * 10
    assert judged.correct.tolist() == (~same).tolist()


def test_pairs_without_folds_are_refused():
    with pytest.raises(ValueError, match=r"pairs\.folds=None"):
        folds.fold_accuracies(np.zeros(3), pairs.natural(np.zeros(3), 10, seed=0))
