import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.prepare.splits import TEST, VALIDATION, stratified

counts_of_classes = st.lists(st.integers(2, 40), min_size=1, max_size=30)
patient = settings(deadline=None)  # the machine may be busy
shares = st.sampled_from([0.01, 0.1, 0.2, 0.25, 0.3333, 0.5])


def labels_of(counts: list[int]) -> np.ndarray:
    return np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))


@patient
@given(counts_of_classes, shares, st.integers(0, 2**32 - 1))
def test_every_class_and_the_whole_give_floor_or_ceiling_of_their_share(
    counts: list[int], share: float, seed: int
) -> None:
    labels = labels_of(counts)
    train, validation = stratified(labels, share, seed)
    taken = np.bincount(labels[validation], minlength=len(counts))
    for count, given_up in [*zip(counts, taken, strict=True), (len(labels), len(validation))]:
        exact = Fraction(str(share)) * count
        assert math.floor(exact) <= given_up <= math.ceil(exact)
    assert (taken < counts).all()
    assert sorted([*train, *validation]) == list(range(len(labels)))


@patient
@given(counts_of_classes, st.integers(0, 1000))
def test_rows_keep_their_order_and_a_seed_its_rows(counts: list[int], seed: int) -> None:
    labels = labels_of(counts)
    train, validation = stratified(labels, 0.2, seed)
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    again = stratified(labels, 0.2, seed)
    np.testing.assert_array_equal(train, again[0])
    np.testing.assert_array_equal(validation, again[1])


@pytest.mark.parametrize("counts", [[5] * 8, [3, 3], [2, 11]])
def test_every_row_is_taken_about_as_often(counts: list[int]) -> None:
    labels = labels_of(counts)
    taken = np.zeros(len(labels))
    for seed in range(2000):
        taken[stratified(labels, 0.1, seed)[1]] += 1
    # 200 expected, standard deviation 13.4; five of them.
    assert taken.min() > 133
    assert taken.max() < 267


def test_the_draws_of_a_seed_differ() -> None:
    labels = labels_of([40, 40])
    validation, test = (stratified(labels, 0.2, 0, draw)[1] for draw in (VALIDATION, TEST))
    assert len(np.intersect1d(validation, test)) < len(validation)


def test_more_classes_than_validation_rows() -> None:
    labels = np.repeat(np.arange(1000), 3)
    train, validation = stratified(labels, 0.1, 0)
    assert len(validation) == 300
    assert np.bincount(labels[validation]).max() == 1
    assert len(np.unique(labels[train])) == 1000


@pytest.mark.parametrize("share", [0.0, 0.6, -0.1])
def test_share_out_of_range(share: float) -> None:
    with pytest.raises(ValueError, match=f"Received: {share}"):
        stratified(np.array([0, 0]), share, 0)


def test_class_of_one_row() -> None:
    with pytest.raises(ValueError, match="Received one of class 3"):
        stratified(np.array([0, 0, 3]), 0.1, 0)
