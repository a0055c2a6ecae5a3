"""Intervals over items against a bootstrap that really repeats them, and against what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluate import bootstrap, folds, metric, pairs, verification
from tests.evaluate.scored import area, crossing, points_of

FARS = [0.5, 0.1]
NAMES = ["auc", "eer", "val_at_far_5e-1", "val_at_far_1e-1", "verification_accuracy"]


def made(seed, items=40, classes=2, noise=1.0):
    """Embeddings and labels; coordinates are whole numbers, so that distances tie."""
    rng = np.random.default_rng(seed)
    labels = np.arange(items) % classes
    embeddings = np.round(10 * (labels[:, None] + noise * rng.normal(size=(items, 2)))).astype(np.float32)
    return metric.Euclidean(embeddings), labels


def measured(of, labels, seed=0, fars=FARS):
    """The measures from all pairs, and what the folds say."""
    scores = verification.natural_scores(of, labels, 10**6, 10, seed)
    point = verification.curve_measures(scores, fars)
    folded = pairs.balanced_folds(labels, 200, seed)
    if folded is None:
        return {**point, "verification_accuracy": None}, None, None
    judged = folds.fold_accuracies(of.of_pairs(folded.left, folded.right), folded)
    return {**point, "verification_accuracy": float(judged.accuracies.mean())}, folded, judged.correct


def of_repeated_items(of, labels, folded, correct, weights):
    """The measures of items that are each there `weights` times; loops over all pairs of them."""
    items = [item for item, weight in enumerate(weights) for _ in range(weight)]
    compared = [(i, j) for n, i in enumerate(items) for j in items[n + 1 :] if i != j]
    distance = of.of_pairs(*np.array(compared).T).astype(np.float32)
    same = [labels[i] == labels[j] for i, j in compared]
    points = points_of(distance, same)
    found = {"auc": area(points), "eer": crossing(points)}
    for name, far in zip(NAMES[2:4], FARS, strict=True):
        found[name] = max(val for _, accepted, val in points if accepted <= far)
    shares = []
    for fold in range(10):
        told = [
            right
            for left, other, of_fold, right in zip(folded.left, folded.right, folded.folds, correct, strict=True)
            for _ in range(items.count(left) * items.count(other))
            if of_fold == fold
        ]
        shares += [np.mean(told)] if told else []
    found["verification_accuracy"] = np.mean(shares)
    return found


def defined(interval):
    assert interval is not None
    return interval


@pytest.mark.parametrize("together", [1, 3])
def test_intervals_equal_a_bootstrap_that_repeats_items(together, monkeypatch):
    monkeypatch.setattr(bootstrap, "TOGETHER", together)
    monkeypatch.setattr(bootstrap, "PAIRS", 100)
    of, labels = made(seed=0, items=24)
    point, folded, correct = measured(of, labels)
    found = bootstrap.intervals(of, labels, folded, correct, point, FARS, 10_000, 10, seed=5)
    drawn = [row for block in bootstrap.draws(24, 10, seed=5) for row in block.tolist()]
    assert [sum(row) for row in drawn] == [24] * 10
    resampled = [of_repeated_items(of, labels, folded, correct, row) for row in drawn]
    for name in NAMES:
        expected = np.percentile([values[name] for values in resampled], [2.5, 97.5])
        assert found[name] == pytest.approx(expected, abs=1e-9), name


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 30), st.integers(1, 4))
def test_weights_of_one_give_the_plain_measures(seed, items, classes):
    of, labels = made(seed, items, classes)
    plain, _, _ = measured(of, labels)
    sample = bootstrap._Sample.of(of, labels, 10_000, seed)
    (found,) = sample.measured(np.ones((1, items), np.int16), FARS)
    expected = {name: plain[name] for name in NAMES[:4] if plain[name] is not None}
    assert found == pytest.approx(expected, abs=1e-12)


def test_interval_of_a_sample_lies_around_the_measure_of_all_pairs():
    of, labels = made(seed=1, items=200)
    point, folded, correct = measured(of, labels)
    of_all = bootstrap.intervals(of, labels, folded, correct, point, FARS, 10**6, 200, seed=0)
    of_sample = bootstrap.intervals(of, labels, folded, correct, point, FARS, 3000, 200, seed=0)
    own = bootstrap._Sample.of(of, labels, 3000, seed=0).measured(np.ones((1, 200), np.int16), FARS)[0]
    for name in NAMES[:4]:
        (low, high), (sample_low, sample_high) = defined(of_all[name]), defined(of_sample[name])
        assert own[name] != point[name]
        assert sample_low < point[name] < sample_high, name
        assert (sample_low + sample_high) / 2 == pytest.approx((low + high) / 2, abs=0.4 * (high - low)), name
        assert 0.7 * (high - low) < sample_high - sample_low < 2 * (high - low), name


def test_interval_moves_with_the_measure_up_to_one():
    of, labels = made(seed=1, items=200)
    point = {"auc": 0.6}
    low, high = defined(bootstrap.intervals(of, labels, None, None, point, [], 3000, 40, seed=0)["auc"])
    moved = defined(bootstrap.intervals(of, labels, None, None, {"auc": 0.61}, [], 3000, 40, seed=0)["auc"])
    assert moved == pytest.approx((low + 0.01, high + 0.01))
    low, high = defined(bootstrap.intervals(of, labels, None, None, {"auc": 1.0}, [], 3000, 40, seed=0)["auc"])
    assert low < high == 1.0


def test_intervals_stay_between_nought_and_one():
    of, labels = made(seed=0, items=60, noise=0.0)
    point, folded, correct = measured(of, labels)
    assert bootstrap.intervals(of, labels, folded, correct, point, FARS, 500, 40, seed=0) == {
        name: (0.0, 0.0) if name == "eer" else (1.0, 1.0) for name in NAMES
    }


def test_constant_embedding_has_chance_as_its_interval():
    labels = np.arange(60) % 3
    of = metric.Euclidean(np.ones((60, 2), np.float32))
    point, folded, correct = measured(of, labels)
    found = bootstrap.intervals(of, labels, folded, correct, point, FARS, 500, 40, seed=0)
    assert found["auc"] == found["eer"] == (0.5, 0.5)
    assert found["val_at_far_5e-1"] == found["val_at_far_1e-1"] == (0.0, 0.0)
    low, high = defined(found["verification_accuracy"])
    assert low < 0.5 < high


@pytest.mark.parametrize("labels", [[], [0], [0] * 12, list(range(12))])
def test_what_is_undefined_has_no_interval(labels):
    labels = np.array(labels, np.int32)
    of = metric.Euclidean(np.random.default_rng(0).normal(size=(len(labels), 2)).astype(np.float32))
    point, folded, correct = measured(of, labels)
    assert (folded, correct) == (None, None)
    found = bootstrap.intervals(of, labels, None, None, point, FARS, 100, 40, seed=0)
    assert found == dict.fromkeys(NAMES)


def test_a_far_that_only_all_pairs_can_show_has_no_interval_from_few():
    of, labels = made(seed=0, items=60)
    point, folded, correct = measured(of, labels, fars=[0.05])
    assert point["val_at_far_5e-2"] is not None
    found = bootstrap.intervals(of, labels, folded, correct, point, [0.05], 100, 40, seed=0)
    assert found["val_at_far_5e-2"] is None
    assert found["auc"] is not None


def test_few_items_may_be_drawn_without_a_pair_of_either_kind():
    of, labels = made(seed=0, items=3)
    point, folded, correct = measured(of, labels, fars=[])
    found = bootstrap.intervals(of, labels, folded, correct, point, [], 100, 200, seed=0)
    low, high = defined(found["auc"])
    assert 0 <= low <= high <= 1


def test_seed_decides_the_intervals():
    of, labels = made(seed=1, items=200)
    point, folded, correct = measured(of, labels)
    first, again, other = (
        bootstrap.intervals(of, labels, folded, correct, point, FARS, 3000, 40, seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert all(first[name] != other[name] for name in NAMES)


def test_intervals_hold_the_true_area_about_as_often_as_they_promise():
    def of_items(seed, items):
        rng = np.random.default_rng([seed, 9])
        labels = np.arange(items) % 2
        return metric.Euclidean(labels[:, None] + 0.7 * rng.normal(size=(items, 1))), labels

    many, labels_of_many = of_items(1000, 1400)
    true = measured(many, labels_of_many, fars=[])[0]["auc"]
    held = 0
    for seed in range(60):
        of, labels = of_items(seed, 80)
        point, _, _ = measured(of, labels, fars=[])
        low, high = defined(bootstrap.intervals(of, labels, None, None, point, [], 10_000, 100, seed)["auc"])
        held += low <= true <= high
    assert held >= 50  # 57 of 60 expected; were pairs drawn in place of items, it would be about 24
