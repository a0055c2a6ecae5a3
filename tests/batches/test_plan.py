import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.batches.plan import class_balanced, shuffled
from stages.errors import UserError
from tests.batches.cases import chunks, patient, seeds


@st.composite
def plans(draw: st.DrawFn) -> tuple[np.ndarray, int, int, int, int]:
    """Labels of classes of 1 to 9 samples in any order, with P, K, steps and seed that go with them."""
    counts = draw(st.lists(st.integers(1, 9), min_size=2, max_size=9))
    numbers = draw(st.permutations(range(20)))[: len(counts)]
    labels = np.random.default_rng(draw(seeds)).permutation(np.repeat(numbers, counts)).astype(np.int32)
    return labels, draw(st.integers(2, len(counts))), draw(st.integers(2, 6)), draw(st.integers(1, 25)), draw(seeds)


def samples_by_class(labels: np.ndarray, plan: np.ndarray, samples: int) -> dict[int, list[list[int]]]:
    """For each class its rows of K samples, in the order in which they come."""
    rows = plan.reshape(-1, samples).tolist()
    return {int(label): [row for row in rows if labels[row[0]] == label] for label in np.unique(labels)}


@patient
@given(plans())
def test_every_batch_has_p_different_classes_with_k_samples_each(case: tuple[np.ndarray, int, int, int, int]) -> None:
    labels, classes, samples, steps, seed = case
    plan = class_balanced(labels, classes, samples, steps, seed)
    assert plan.shape == (steps, classes * samples)
    assert plan.dtype == np.int32
    for batch in labels[plan].reshape(steps, classes, samples):
        assert (batch == batch[:, :1]).all()
        assert len(set(batch[:, 0])) == classes


@patient
@given(plans())
def test_classes_rotate_until_all_were_seen(case: tuple[np.ndarray, int, int, int, int]) -> None:
    labels, classes, samples, steps, seed = case
    plan = class_balanced(labels, classes, samples, steps, seed)
    turns = labels[plan].reshape(-1, samples)[:, 0].tolist()
    count = len(np.unique(labels))
    for run in chunks(turns, count):
        assert len(set(run)) == len(run)


@patient
@given(plans())
def test_samples_of_a_class_rotate_and_are_distinct_where_there_are_enough(
    case: tuple[np.ndarray, int, int, int, int],
) -> None:
    labels, classes, samples, steps, seed = case
    plan = class_balanced(labels, classes, samples, steps, seed)
    for label, rows in samples_by_class(labels, plan, samples).items():
        members = set(np.flatnonzero(labels == label).tolist())
        for row in rows:
            assert len(set(row)) == min(samples, len(members))
        for run in chunks([sample for row in rows for sample in row], len(members)):
            assert set(run) <= members
            assert len(set(run)) == len(run)


@patient
@given(plans(), st.integers(1, 25))
def test_a_longer_plan_begins_with_the_shorter(case: tuple[np.ndarray, int, int, int, int], more: int) -> None:
    labels, classes, samples, steps, seed = case
    longer = class_balanced(labels, classes, samples, steps + more, seed)
    np.testing.assert_array_equal(longer[:steps], class_balanced(labels, classes, samples, steps, seed))


@patient
@given(plans())
def test_a_plan_can_be_replayed(case: tuple[np.ndarray, int, int, int, int]) -> None:
    np.testing.assert_array_equal(class_balanced(*case), class_balanced(*case))


def test_another_seed_gives_another_plan() -> None:
    labels = np.arange(60) % 6
    first, second = (class_balanced(labels, 3, 4, 20, seed) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert not np.array_equal(labels[first], labels[second])


def test_what_a_class_contributes_does_not_depend_on_other_classes() -> None:
    labels = np.repeat([0, 1, 2], 10)
    shrunk = labels[:-4]
    plans = [class_balanced(labels, 3, 4, 10, 5), class_balanced(shrunk, 3, 4, 10, 5)]
    first, second = (samples_by_class(part, plan, 4) for part, plan in zip((labels, shrunk), plans, strict=True))
    assert first[0] == second[0]
    assert first[1] == second[1]
    assert first[2] != second[2]


def test_every_image_is_seen_about_as_often() -> None:
    labels = np.arange(200) % 10
    seen = np.bincount(class_balanced(labels, 7, 3, 400, 0).ravel(), minlength=200)
    assert seen.max() - seen.min() <= 1


def test_pairs_of_classes_meet_in_batches_about_as_often() -> None:
    labels = np.repeat(np.arange(6), 2)
    batches = labels[class_balanced(labels, 4, 2, 6000, 0)][:, ::2]
    together = np.zeros((6, 6))
    for batch in batches:
        together[np.ix_(batch, batch)] += 1
    # Two of six classes are in a batch of four together with probability 0.4.
    assert np.abs(together[np.triu_indices(6, 1)] / 6000 - 0.4).max() < 0.04


def test_ten_thousand_batches_of_mnists_size_take_under_two_seconds() -> None:
    labels = np.arange(60_000) % 10
    start = time.perf_counter()
    class_balanced(labels, 10, 16, 10_000, 0)
    assert time.perf_counter() - start < 2


def test_fewer_classes_than_a_batch_takes() -> None:
    with pytest.raises(UserError) as refused:
        class_balanced(np.array([0, 0, 1, 1, 2, 2]), 4, 2, 1, 0)
    assert str(refused.value) == (
        "batches.classes_per_batch: found 4, expected at most 3, the number of classes in the training images"
    )


@patient
@given(st.integers(2, 60), st.integers(2, 60), st.integers(1, 30), st.integers(1, 30), seeds)
def test_shuffled_batches_rotate_through_all_images(count: int, size: int, steps: int, more: int, seed: int) -> None:
    size = min(size, count)
    plan = shuffled(count, size, steps, seed)
    assert plan.shape == (steps, size)
    assert plan.dtype == np.int32
    assert all(len(set(batch)) == size for batch in plan.tolist())
    assert all(len(set(run)) == len(run) for run in chunks(plan.ravel().tolist(), count))
    np.testing.assert_array_equal(shuffled(count, size, steps + more, seed)[:steps], plan)


def test_a_shuffled_batch_larger_than_the_training_set() -> None:
    with pytest.raises(UserError) as refused:
        shuffled(5, 6, 1, 0)
    assert str(refused.value) == "batches.batch_size: found 6, expected at most 5, the number of training images"
