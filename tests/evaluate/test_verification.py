"""Verification measures against plain loops, scikit-learn and known answers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from stages.evaluate import pairs, verification


def curve_of(distance, same):
    curve = verification.roc(np.array(distance, float), np.array(same))
    assert curve is not None
    return curve


@st.composite
def scored_pairs(draw):
    """Distances on a coarse grid, with many ties, and both kinds of pairs."""
    n = draw(st.integers(2, 30))
    distance = draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))
    same = draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda kinds: len(set(kinds)) == 2))
    return np.array(distance) / 4, np.array(same)


@settings(max_examples=100, deadline=None)
@given(scored_pairs())
def test_roc_equals_loop_over_thresholds(scored):
    distance, same = scored
    curve = curve_of(distance, same)
    assert curve.thresholds.tolist() == [-np.inf, *sorted(set(distance))]
    for threshold, far, val in zip(curve.thresholds, curve.far, curve.val, strict=True):
        accepted = [d <= threshold for d in distance]
        assert far == sum(a and not s for a, s in zip(accepted, same, strict=True)) / (~same).sum()
        assert val == sum(a and s for a, s in zip(accepted, same, strict=True)) / same.sum()


@settings(max_examples=100, deadline=None)
@given(scored_pairs())
def test_auc_equals_scikit_learn(scored):
    distance, same = scored
    assert verification.auc(curve_of(distance, same)) == pytest.approx(roc_auc_score(same, -distance), abs=1e-12)


def test_roc_equals_scikit_learn():
    rng = np.random.default_rng(0)
    same = rng.random(5000) < 0.2
    distance = rng.normal(size=5000).round(2) - same
    curve = curve_of(distance, same)
    far, val, thresholds = roc_curve(same, -distance, drop_intermediate=False)
    np.testing.assert_allclose(curve.far, far, atol=1e-12)
    np.testing.assert_allclose(curve.val, val, atol=1e-12)
    np.testing.assert_allclose(curve.thresholds, -thresholds)


@settings(max_examples=100, deadline=None)
@given(scored_pairs())
def test_eer_is_where_the_curve_meets_the_diagonal(scored):
    curve = curve_of(*scored)
    found = verification.eer(curve)
    # The point (eer, 1 - eer) lies on one of the curve's segments.
    crossings = []
    for i in range(len(curve.far) - 1):
        (x0, y0), (x1, y1) = (curve.far[i], curve.val[i]), (curve.far[i + 1], curve.val[i + 1])
        share = (1 - x0 - y0) / (x1 - x0 + y1 - y0)
        if -1e-12 <= share <= 1 + 1e-12:
            crossings.append(x0 + share * (x1 - x0))
    assert crossings == pytest.approx([found] * len(crossings), abs=1e-9)
    assert crossings


@settings(max_examples=100, deadline=None)
@given(scored_pairs(), st.sampled_from([0.25, 0.5, 0.9]))
def test_val_at_far_equals_loop_and_does_not_interpolate(scored, allowed):
    distance, same = (np.tile(part, 20) for part in scored)
    expected = 0.0
    for threshold in distance:
        if (distance[~same] <= threshold).mean() <= allowed:
            expected = max(expected, (distance[same] <= threshold).mean())
    curve = curve_of(distance, same)
    found = verification.val_at_far(curve, allowed)
    assert found == (expected if (~same).sum() >= 10 / allowed else None)


def test_val_at_far_wants_ten_pairs_for_each_it_may_accept():
    distance = np.arange(10_001.0)
    assert verification.val_at_far(curve_of(distance, distance < 1), 1e-3) == 1.0
    assert verification.val_at_far(curve_of(distance, distance < 2), 1e-3) is None


def test_val_at_far_counts_a_far_of_just_the_limit():
    # 10 of 10,000 different pairs are nearer than the farther same pair.
    distance, same = np.arange(10_002.0), np.isin(np.arange(10_002), [0, 11])
    assert verification.val_at_far(curve_of(distance, same), 1e-3) == 1.0
    assert verification.val_at_far(curve_of(distance, np.isin(np.arange(10_002), [0, 12])), 1e-3) == 0.5


@pytest.mark.parametrize(
    ("distance", "same", "auc", "eer"),
    [
        ([0.1, 0.2, 0.8, 0.9], [True, True, False, False], 1.0, 0.0),  # perfect
        ([0.1, 0.2, 0.8, 0.9], [False, False, True, True], 0.0, 1.0),  # reversed
        ([0.5, 0.5, 0.5, 0.5], [True, False, False, False], 0.5, 0.5),  # constant
        ([1, 2, 3, 4], [True, False, True, False], 0.75, 0.5),
    ],
)
def test_known_curves(distance, same, auc, eer):
    curve = curve_of(distance, same)
    assert (verification.auc(curve), verification.eer(curve)) == (auc, pytest.approx(eer))


def test_one_kind_of_pairs_has_no_curve():
    assert verification.roc(np.array([0.1, 0.2]), np.array([True, True])) is None
    assert verification.roc(np.array([0.1, 0.2]), np.array([False, False])) is None
    assert verification.roc(np.zeros(0), np.zeros(0, bool)) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_distances_equal_norms_and_are_zero_for_copies(dtype, monkeypatch):
    rng = np.random.default_rng(0)
    points = (rng.random((20, 7)) * 255).astype(dtype)
    points[10:] = points[:10]
    chosen = pairs.natural(np.zeros(20), 1000, seed=0)
    expected = [
        np.linalg.norm(points[i].astype(float) - points[j].astype(float))
        for i, j in zip(chosen.left, chosen.right, strict=True)
    ]
    for block in (verification.BLOCK, 50):
        monkeypatch.setattr(verification, "BLOCK", block)
        found = verification.distances(points, chosen)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert (found[chosen.right == chosen.left + 10] == 0).all()


def test_head_distances_equal_a_loop_in_float64(monkeypatch):
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(20, 7)).astype(np.float32)
    head = rng.normal(size=8).astype(np.float32)
    chosen = pairs.natural(np.zeros(20), 1000, seed=0)
    expected = [
        -sum(
            float(w) * abs(float(a) - float(b)) for w, a, b in zip(head[:-1], embeddings[i], embeddings[j], strict=True)
        )
        - float(head[-1])
        for i, j in zip(chosen.left, chosen.right, strict=True)
    ]
    for block in (verification.BLOCK, 50):
        monkeypatch.setattr(verification, "BLOCK", block)
        np.testing.assert_allclose(verification.head_distances(embeddings, chosen, head), expected, rtol=1e-12)


def folded(distance, same, folds):
    n = len(distance)
    return np.array(distance, float), pairs.Pairs(np.arange(n), np.arange(n), np.array(same), np.array(folds), n)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_fold_accuracies_equal_loop_over_thresholds(seed):
    rng = np.random.default_rng(seed)
    folds, same = np.repeat(np.arange(10), 8), np.tile([True, False], 40)
    distance, chosen = folded(rng.integers(0, 12, 80) + ~same * 3, same, folds)
    for fold, accuracy in enumerate(verification.fold_accuracies(distance, chosen)):
        others = folds != fold
        candidates = sorted(set(distance[others]))
        correct = [((distance[others] <= threshold) == same[others]).sum() for threshold in candidates]
        best = int(np.argmax(correct))
        upper = candidates[min(best + 1, len(candidates) - 1)]
        threshold = (candidates[best] + upper) / 2
        if correct[best] <= 36:
            continue  # accepting nothing is as good
        assert accuracy == np.mean(
            [(d <= threshold) == s for d, s in zip(distance[~others], same[~others], strict=True)]
        )


def test_fold_accuracies_choose_on_nine_folds_only():
    # Seen with the others, the same pairs of fold 0 would put the threshold between 2.5 and 3, and lose none.
    folds, same = np.repeat(np.arange(10), 4), np.tile([True, True, False, False], 10)
    distance, chosen = folded(np.where(same, 1.0, 3.0), same, folds)
    distance[:2] = 2.5
    assert verification.fold_accuracies(distance, chosen).tolist() == [0.5] + [1.0] * 9


def test_constant_distance_verifies_at_chance():
    folds, same = np.repeat(np.arange(10), 4), np.tile([True, False], 20)
    for value in (0.0, 2.5):
        distance, chosen = folded(np.full(40, value), same, folds)
        assert verification.fold_accuracies(distance, chosen).tolist() == [0.5] * 10


def test_eer_threshold_separates_and_forgives_rounding():
    distance, same = np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False])
    threshold = verification.eer_threshold(curve_of(distance, same))
    assert threshold == pytest.approx(0.5)
    assert verification.rates(distance, same, threshold) == {"far": 0.0, "val": 1.0, "balanced_accuracy": 1.0}


@settings(max_examples=100, deadline=None)
@given(scored_pairs())
def test_eer_threshold_is_the_observed_one_with_the_nearest_rates(scored):
    distance, same = scored

    def gap(threshold):
        rates: Any = verification.rates(distance, same, threshold)
        return abs(rates["far"] - (1 - rates["val"]))

    found = gap(verification.eer_threshold(curve_of(distance, same)))
    assert found == pytest.approx(min(gap(threshold) for threshold in distance), abs=1e-12)


def test_rates_of_one_kind_of_pairs_are_none_for_the_other():
    assert verification.rates(np.array([0.1, 0.9]), np.array([True, True]), 0.5) == {
        "far": None,
        "val": 0.5,
        "balanced_accuracy": None,
    }
