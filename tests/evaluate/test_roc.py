"""Measures of the ROC against loops over thresholds, scikit-learn and known answers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from stages.evaluate import metric, roc
from stages.evaluate.scores import Scores, natural_scores
from tests.evaluate.scored import area, crossing, points_of, scored_pairs, scores_of


@settings(max_examples=100, deadline=None)
@given(scored_pairs())
def test_auc_and_eer_equal_a_loop_over_thresholds(scored):
    points, scores = points_of(*scored), scores_of(*scored)
    assert roc.auc(scores) == pytest.approx(area(points), abs=1e-12)
    assert roc.eer(scores) == pytest.approx(crossing(points), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(scored_pairs())
def test_auc_equals_scikit_learn(scored):
    distance, same = scored
    assert roc.auc(scores_of(distance, same)) == pytest.approx(roc_auc_score(same, -distance), abs=1e-12)


@pytest.mark.parametrize("classes", [2, 40])
def test_chunks_change_nothing(classes, monkeypatch):
    rng = np.random.default_rng(0)
    scores = scores_of(rng.integers(0, 500, 3000), rng.integers(classes, size=3000) == 0)
    whole = roc.auc(scores)
    monkeypatch.setattr(roc, "CHUNK", 7)
    assert roc.auc(scores) == whole


def test_all_pairs_of_an_embedding_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=900)
    embeddings = (rng.normal(size=(10, 16))[labels] + rng.normal(size=(900, 16))).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = natural_scores(metric.Euclidean(embeddings), labels, 10**6, 10, seed=0)
    left, right = np.triu_indices(900, 1)
    same = labels[left] == labels[right]
    distance = np.linalg.norm(embeddings[left].astype(np.float64) - embeddings[right], axis=1)
    fars, vals, _ = roc_curve(same, -distance, drop_intermediate=False)
    assert roc.auc(scores) == pytest.approx(roc_auc_score(same, -distance), abs=1e-6)
    crossed = int(np.argmax(fars + vals >= 1))
    assert roc.eer(scores) == pytest.approx(fars[crossed], abs=1e-5)  # scikit-learn's nearest point; not between two
    for far in (1e-1, 1e-2, 1e-3, 1e-4):
        assert roc.val_at_far(scores, far) == pytest.approx(vals[fars <= far].max(), abs=1e-6)
    for threshold in (0.5, 0.9, 1.2):
        accepted = distance <= threshold
        expected = {"far": accepted[~same].mean(), "val": accepted[same].mean()}
        found: Any = roc.rates(scores, threshold)
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(scored_pairs(), st.lists(st.sampled_from([0.0, 1e-9, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0]), min_size=1))
def test_operating_curve_equals_loop_and_does_not_interpolate(scored, fars):
    points, scores = points_of(*scored), scores_of(*scored)
    vals, thresholds = roc.operating_curve(scores, np.array(fars))
    expected = [max((point for point in points if point[1] <= far), key=lambda point: point[0]) for far in fars]
    assert thresholds.tolist() == [threshold for threshold, _, _ in expected]
    assert vals.tolist() == [val for _, _, val in expected] == [roc.val_at_far(scores, far) for far in fars]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 500), st.integers(0, 500))
def test_a_far_of_just_the_limit_is_allowed(different, allowed):
    # A same pair lies just beyond each different one: VAL tells how many of these were accepted.
    allowed = min(allowed, different)
    distance = np.arange(different, dtype=np.float32)
    scores = Scores(distance + np.float32(0.5), distance, 2 * different)
    assert roc.val_at_far(scores, allowed / different) == allowed / different


def test_small_fars_want_ten_pairs_for_each_that_they_accept():
    distance = np.arange(10_001.0)
    assert roc.showable(scores_of(distance, distance < 1), 1e-3)
    assert not roc.showable(scores_of(distance, distance < 2), 1e-3)
    assert not roc.showable(scores_of(distance, distance < 0), 1e-3)


@pytest.mark.parametrize(
    ("distance", "same", "auc", "eer", "val"),
    [
        ([0.1, 0.2, 0.8, 0.9], [True, True, False, False], 1.0, 0.0, 1.0),  # perfect
        ([0.1, 0.2, 0.8, 0.9], [False, False, True, True], 0.0, 1.0, 0.0),  # reversed
        ([0.5, 0.5, 0.5, 0.5], [True, False, False, False], 0.5, 0.5, 0.0),  # constant
        ([1, 2, 3, 4], [True, False, True, False], 0.75, 0.5, 0.5),
        ([0, 0, 1, 1], [True, False, True, False], 0.5, 0.5, 0.0),  # duplicates tell nothing
    ],
)
def test_known_curves(distance, same, auc, eer, val):
    scores = scores_of(distance, same)
    assert (roc.auc(scores), roc.eer(scores)) == (auc, pytest.approx(eer))
    assert roc.val_at_far(scores, 0.3) == val


@pytest.mark.parametrize("same", [[True, True], [False, False], []])
def test_one_kind_of_pairs_has_no_curve(same):
    assert not roc.defined(scores_of(range(len(same)), same))


@settings(max_examples=100, deadline=None)
@given(scored_pairs())
def test_eer_threshold_is_the_observed_one_with_the_nearest_rates(scored):
    scores = scores_of(*scored)

    def gap(threshold):
        rates: Any = roc.rates(scores, threshold)
        return abs(rates["far"] - (1 - rates["val"]))

    found = gap(roc.eer_threshold(scores))
    assert found == pytest.approx(min(gap(threshold) for threshold in scored[0]), abs=1e-12)


def test_eer_threshold_separates_and_forgives_rounding():
    scores = scores_of([0.1, 0.2, 0.8, 0.9], [True, True, False, False])
    threshold = roc.eer_threshold(scores)
    assert threshold == pytest.approx(0.5)
    assert roc.rates(scores, threshold) == {"far": 0.0, "val": 1.0, "balanced_accuracy": 1.0}


@settings(max_examples=100, deadline=None)
@given(scored_pairs(), st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_far_threshold_is_the_loosest_that_keeps_the_far(scored, far):
    scores, distances = scores_of(*scored), sorted(set(scored[0]))
    threshold = roc.far_threshold(scores, far)

    def far_of(threshold):
        rates: Any = roc.rates(scores, threshold)
        return rates["far"]

    allowed = [distance for distance in distances if far_of(distance) <= far]
    assert (threshold is None) == (not allowed)
    if threshold is not None:
        assert roc.rates(scores, threshold) == roc.rates(scores, allowed[-1])
        rejected = distances[len(allowed) :]
        assert threshold == ((allowed[-1] + rejected[0]) / 2 if rejected else allowed[-1])


@pytest.mark.parametrize("distance", [0.5, 0.8000001, 3.0, -1.5, 1e-20, 1.00000012])
def test_thresholds_hold_between_neighbouring_numbers_and_after_nine_digits(distance):
    near = np.float32(distance)
    for far in (near, np.nextafter(near, np.float32(10)), np.nextafter(near, np.float32(10)) * np.float32(1.5)):
        scores = Scores(np.sort([near, min(near, far)]), np.sort([far]), 3)
        if near < far:
            threshold = float(f"{roc.eer_threshold(scores):.9g}")
            assert roc.rates(scores, threshold) == {"far": 0.0, "val": 1.0, "balanced_accuracy": 1.0}


def test_constant_distance_is_its_own_threshold():
    assert roc.eer_threshold(scores_of([0.5] * 4, [True, False, False, False])) == 0.5


def test_rates_of_one_kind_of_pairs_are_none_for_the_other():
    scores = scores_of([0.1, 0.9], [True, True])
    assert roc.rates(scores, 0.5) == {"far": None, "val": 0.5, "balanced_accuracy": None}
