"""Pairs: which are drawn, how many of either kind, and that folds share no item."""

import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluate import pairs

some_labels = st.lists(st.integers(0, 4), min_size=2, max_size=60).map(np.array)
seeds = st.integers(0, 1000)


def as_set(chosen):
    return {frozenset(pair) for pair in zip(chosen.left.tolist(), chosen.right.tolist(), strict=True)}


@settings(max_examples=50, deadline=None)
@given(some_labels, st.integers(1, 400), seeds)
def test_natural_pairs_are_all_or_as_many_as_asked_and_none_twice(labels, limit, seed):
    n = len(labels)
    chosen = pairs.natural(labels, limit, seed)
    assert len(chosen) == min(limit, n * (n - 1) // 2) == len(as_set(chosen))
    assert (chosen.left < chosen.right).all()
    assert chosen.right.max() < n
    assert chosen.available == n * (n - 1) // 2
    np.testing.assert_array_equal(chosen.same, labels[chosen.left] == labels[chosen.right])


@settings(max_examples=100, deadline=None)
@given(some_labels, st.integers(20, 300), seeds)
def test_folded_pairs_are_balanced_in_each_fold_and_none_is_there_twice(labels, limit, seed):
    chosen = pairs.balanced_folds(labels, limit, seed)
    if chosen is None:
        same = sum((labels == label).sum() * ((labels == label).sum() - 1) // 2 for label in range(5))
        assert min(same, len(labels) * (len(labels) - 1) // 2 - same) < pairs.FOLDS
        return
    assert chosen.folds is not None
    assert len(as_set(chosen)) == len(chosen) <= limit
    assert (chosen.left != chosen.right).all()
    np.testing.assert_array_equal(chosen.same, labels[chosen.left] == labels[chosen.right])
    for fold in range(pairs.FOLDS):
        inside = chosen.same[chosen.folds == fold]
        assert 0 < inside.sum() == (~inside).sum()
    if chosen.disjoint:
        assert_no_item_in_two_folds(chosen)


def assert_no_item_in_two_folds(chosen):
    items = [set(chosen.left[chosen.folds == fold]) | set(chosen.right[chosen.folds == fold]) for fold in range(10)]
    assert sum(map(len, items)) == len(set.union(*items))


def test_enough_items_give_folds_disjoint_in_items_and_all_pairs_asked_for():
    chosen = pairs.balanced_folds(np.tile(np.arange(10), 100), 2000, seed=3)
    assert chosen is not None
    assert chosen.disjoint
    assert len(chosen) == 2000
    assert_no_item_in_two_folds(chosen)


def test_small_classes_are_kept_together_so_that_folds_have_same_pairs():
    chosen = pairs.balanced_folds(np.repeat(np.arange(30), 3), 1000, seed=0)
    assert chosen is not None
    assert chosen.disjoint
    assert_no_item_in_two_folds(chosen)


def test_few_items_are_folded_over_pairs_and_said_to_be():
    chosen = pairs.balanced_folds(np.repeat([0, 1], 6), 1000, seed=0)
    assert chosen is not None
    assert not chosen.disjoint
    assert (len(chosen), chosen.available) == (60, 60)


def test_one_class_or_only_singletons_give_no_folds():
    assert pairs.balanced_folds(np.zeros(50), 1000, seed=0) is None
    assert pairs.balanced_folds(np.arange(50), 1000, seed=0) is None


@settings(max_examples=50, deadline=None)
@given(some_labels, seeds)
def test_items_are_dealt_evenly_by_class(labels, seed):
    folds = pairs.deal(labels, np.random.default_rng(seed))
    for label in np.unique(labels):
        sizes = np.bincount(folds[labels == label], minlength=pairs.FOLDS)
        dealt = sizes[sizes > 0]
        assert dealt.max() - dealt.min() <= 1
        assert dealt.min() >= 2 or len(dealt) == 1
        assert len(dealt) == min(pairs.FOLDS, max(1, (labels == label).sum() // 2))


def test_every_pair_of_a_kind_is_drawn_equally_often():
    labels = np.array([0, 0, 0, 1, 1, 2])
    drawn = np.zeros((6, 6))
    for seed in range(3000):
        chosen = pairs.natural(labels, 3, seed)  # one of the 4 same pairs, 2 of the 11 different ones
        drawn[chosen.left, chosen.right] += 1
    same = labels[:, None] == labels
    for kind, share in ((same, 1 / 4), (~same, 2 / 11)):
        counts = drawn[np.triu(kind, 1)]
        assert abs(counts - 3000 * share).max() < 5 * np.sqrt(3000 * share * (1 - share))


def test_a_sample_has_a_tenth_of_same_pairs_however_many_classes_there_are():
    many, two = np.arange(40_000) % 20_000, np.arange(40_000) % 2
    # 20,000 same pairs among 800 million: a draw from all alike would have 0 or 1 of them.
    assert [pairs.natural(labels, 50_000, seed=0).same.sum() for labels in (many, two)] == [5_000, 5_000]
    assert pairs.natural(many, 500_000, seed=0).same.sum() == 20_000  # all that there are


def test_seed_decides_the_pairs():
    labels = np.tile([0, 1, 2], 40)
    for draw in (pairs.natural, pairs.balanced_folds):
        first, again, other = (draw(labels, 100, seed) for seed in (1, 1, 2))
        assert first is not None
        assert again is not None
        assert other is not None
        np.testing.assert_array_equal(first.left, again.left)
        np.testing.assert_array_equal(first.right, again.right)
        assert as_set(first) != as_set(other)


def test_a_sample_of_twenty_billion_pairs_takes_no_more_than_itself():
    labels = np.zeros(200_000, np.int32)
    tracemalloc.start()
    chosen = pairs.natural(labels, 100_000, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert chosen.available == 19_999_900_000
    assert len(chosen) == len(as_set(chosen)) == 100_000
    assert (chosen.left < chosen.right).all()
    assert chosen.right.max() < 200_000
    assert peak < 20e6
