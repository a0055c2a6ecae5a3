import itertools
import time

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stages.batches.pairs import paired
from stages.errors import UserError
from tests.batches.cases import alone, assert_uniform, chunks, labels_with_partners, patient, seeds

pairs_per_batch = st.integers(2, 9)
numbers_of_steps = st.integers(1, 25)


@patient
@given(labels_with_partners(), pairs_per_batch, numbers_of_steps, seeds)
def test_half_of_a_batch_is_of_one_class_and_half_of_two(labels: np.ndarray, pairs: int, steps: int, seed: int) -> None:
    plan = paired(labels, pairs, steps, seed)
    assert plan.shape == (steps, 2 * pairs)
    assert plan.dtype == np.int32
    same = np.count_nonzero(labels[plan[:, ::2]] == labels[plan[:, 1::2]], axis=1)
    assert same.tolist() == [(pairs + step % 2) // 2 for step in range(steps)]
    assert (same[1::2] + same[: steps - 1 : 2] == pairs).all()


@patient
@given(labels_with_partners(), pairs_per_batch, numbers_of_steps, seeds)
def test_no_image_is_paired_with_itself(labels: np.ndarray, pairs: int, steps: int, seed: int) -> None:
    plan = paired(labels, pairs, steps, seed)
    assert (plan[:, ::2] != plan[:, 1::2]).all()


@patient
@given(labels_with_partners(), pairs_per_batch, numbers_of_steps, seeds)
def test_images_take_turns_as_left(labels: np.ndarray, pairs: int, steps: int, seed: int) -> None:
    labels = labels[~alone(labels)]
    assume(len(np.unique(labels)) > 1)
    lefts = paired(labels, pairs, steps, seed)[:, ::2]
    for run in chunks(lefts.ravel().tolist(), len(labels)):
        assert len(set(run)) == len(run)
    for batch in lefts.tolist():
        assert len(set(batch)) == min(pairs, len(labels))


@patient
@given(labels_with_partners(), st.sampled_from([2, 4, 6, 8]), numbers_of_steps, seeds)
def test_images_alone_in_their_class_take_their_turns_too(
    labels: np.ndarray, pairs: int, steps: int, seed: int
) -> None:
    assume(0 < np.count_nonzero(alone(labels)) <= len(labels) / 2)
    lefts = paired(labels, pairs, steps, seed)[:, ::2]
    for end in range(1, steps + 1):
        seen = np.bincount(lefts[:end].ravel(), minlength=len(labels))
        assert seen.max() - seen.min() <= 1


@patient
@given(pairs_per_batch, st.integers(0, 9), numbers_of_steps, seeds)
def test_too_many_images_alone_in_their_class_are_left_as_often_as_there_is_room(
    pairs: int, more: int, steps: int, seed: int
) -> None:
    labels = np.array([0, 0, *range(1, 4 + more)])
    plan = paired(labels, pairs, 2 * steps, seed)
    lefts, is_alone = plan[:, ::2], alone(labels)
    is_same = labels[lefts] == labels[plan[:, 1::2]]
    # A batch of which less are due than there is room leaves room at the beginning at most.
    assert np.count_nonzero(~is_same & ~is_alone[lefts]) <= 2
    seen = np.bincount(lefts.ravel(), minlength=len(labels))
    assert np.ptp(seen[is_alone]) <= 1
    assert np.ptp(seen[~is_alone]) <= 1


@patient
@given(labels_with_partners(), pairs_per_batch, numbers_of_steps, st.integers(1, 25), seeds)
def test_a_longer_plan_begins_with_the_shorter(
    labels: np.ndarray, pairs: int, steps: int, more: int, seed: int
) -> None:
    plan = paired(labels, pairs, steps, seed)
    np.testing.assert_array_equal(paired(labels, pairs, steps + more, seed)[:steps], plan)


def test_another_seed_gives_another_plan() -> None:
    labels = np.arange(60) % 6
    first, again, second = (paired(labels, 4, 20, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    for column in range(2):
        assert np.mean(first[:, column::2] != second[:, column::2]) > 0.9


def test_which_pairs_of_a_batch_are_of_one_class_is_random() -> None:
    labels = np.array([*np.arange(40) % 4, *range(4, 12)])
    plan = paired(labels, 6, 4000, 0)
    same = labels[plan[:, ::2]] == labels[plan[:, 1::2]]
    patterns = (same * 2 ** np.arange(6)).sum(axis=1)
    assert_uniform(patterns, [sum(2**place for place in three) for three in itertools.combinations(range(6), 3)])


def test_partners_are_uniform_among_all_that_there_are() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2, 1, 2, 2, 3])
    left, right = paired(labels, 10, 3000, 0).reshape(-1, 2).T
    for image, label in enumerate(labels):
        partners = right[left == image]
        others = [other for other in np.flatnonzero(labels == label).tolist() if other != image]
        assert_uniform(partners[labels[partners] != label], np.flatnonzero(labels != label).tolist())
        if others:
            assert_uniform(partners[labels[partners] == label], others)


def test_ten_thousand_batches_of_mnists_size_take_under_two_seconds() -> None:
    start = time.perf_counter()
    paired(np.arange(60_000) % 10, 80, 10_000, 0)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([3, 3, 3], "found 'pairs' with training images of 1 class, expected at least 2 classes"),
        ([0, 1, 2], "found 'pairs' with one training image in each class, expected at least one class of 2 or more"),
    ],
)
def test_labels_that_make_no_pairs(labels: list[int], message: str) -> None:
    with pytest.raises(UserError) as refused:
        paired(np.array(labels), 2, 1, 0)
    assert str(refused.value) == f"batches.layout: {message}"
