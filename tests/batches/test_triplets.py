import itertools
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.batches import triplets as module
from stages.batches.triplets import triplets
from stages.errors import UserError
from tests.batches.cases import alone, assert_uniform, chunks, labels_with_partners, patient, seeds

Case = tuple[np.ndarray, int, int, int, int, int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Labels, triplets_per_batch, num_same, num_diff, steps, seed."""
    numbers = (draw(st.integers(1, 9)), draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 60)))
    return draw(labels_with_partners()), *numbers, draw(seeds)


def turns(plan: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """For each anchor its positives and negatives, in the order in which they come."""
    found: dict[int, list[tuple[int, int]]] = {}
    for anchor, positive, negative in plan.reshape(-1, 3).tolist():
        found.setdefault(anchor, []).append((positive, negative))
    return found


@patient
@given(cases())
def test_positives_are_others_of_the_class_and_negatives_of_other_classes(case: Case) -> None:
    labels, number, _, _, steps, _ = case
    plan = triplets(*case)
    assert plan.shape == (steps, 3 * number)
    assert plan.dtype == np.int32
    anchor, positive, negative = plan.reshape(-1, 3).T
    assert (labels[anchor] == labels[positive]).all()
    assert (anchor != positive).all()
    assert (labels[anchor] != labels[negative]).all()


@patient
@given(cases())
def test_images_that_are_not_alone_take_turns_as_anchor(case: Case) -> None:
    labels, number, *_ = case
    anchors = triplets(*case)[:, ::3]
    possible = set(np.flatnonzero(~alone(labels)).tolist())
    for run in chunks(anchors.ravel().tolist(), len(possible)):
        assert set(run) <= possible
        assert len(set(run)) == len(run)
    for batch in anchors.tolist():
        assert len(set(batch)) == min(number, len(possible))


@patient
@given(cases())
def test_an_anchor_meets_each_combination_of_its_partners_once_before_it_draws_anew(case: Case) -> None:
    labels, _, num_same, num_diff, _, _ = case
    for anchor, met in turns(triplets(*case)).items():
        same = int(np.count_nonzero(labels == labels[anchor])) - 1
        different = int(np.count_nonzero(labels != labels[anchor]))
        for start in range(0, len(met), num_same * num_diff):
            round_ = met[start : start + num_same * num_diff]
            positives, negatives = Counter(pair[0] for pair in round_), Counter(pair[1] for pair in round_)
            assert len(positives) <= min(num_same, same)
            assert len(negatives) <= min(num_diff, different)
            if num_same <= same and num_diff <= different:
                assert len(set(round_)) == len(round_)
            if len(round_) == num_same * num_diff:
                assert len(positives) == min(num_same, same)
                assert len(negatives) == min(num_diff, different)
                assert max(positives.values()) - min(positives.values()) in (0, num_diff)
                assert max(negatives.values()) - min(negatives.values()) in (0, num_same)
                for (positive, negative), times in Counter(round_).items():
                    assert times * len(round_) == positives[positive] * negatives[negative]


def test_an_anchor_draws_other_partners_the_next_time() -> None:
    labels = np.arange(60) % 2
    rounds = np.array([*turns(triplets(labels, 6, 2, 3, 10 * 12, 0)).values()]).reshape(60, 2, 6, 2)
    for column in range(2):
        first, second = np.sort(rounds[..., column], axis=2).transpose(1, 0, 2)
        assert np.mean((first == second).all(axis=1)) < 0.1


@patient
@given(cases(), st.integers(1, 60))
def test_a_longer_plan_begins_with_the_shorter(case: Case, more: int) -> None:
    labels, number, num_same, num_diff, steps, seed = case
    longer = triplets(labels, number, num_same, num_diff, steps + more, seed)
    np.testing.assert_array_equal(longer[:steps], triplets(*case))


@patient
@given(cases(), st.integers(1, 40))
def test_how_much_is_drawn_at_once_changes_nothing(case: Case, at_once: int) -> None:
    whole = triplets(*case)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_AT_ONCE", at_once)
        np.testing.assert_array_equal(triplets(*case), whole)


def test_another_seed_gives_another_plan() -> None:
    labels = np.arange(60) % 6
    first, again, second = (triplets(labels, 4, 2, 2, 20, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    for column in range(3):
        assert np.mean(first[:, column::3] != second[:, column::3]) > 0.8


@pytest.mark.parametrize(("num_same", "num_diff"), [(1, 1), (2, 3), (5, 8)])
def test_partners_are_uniform_among_all_that_there_are(num_same: int, num_diff: int) -> None:
    labels = np.array([0, 1, 2, 0, 1, 2, 1, 2, 2, 3])
    # Only the first of the turns for which an anchor has drawn: the others depend on it.
    for image, met in turns(triplets(labels, 9, num_same, num_diff, 400 * num_same * num_diff, 0)).items():
        positive, negative = np.array(met[:: num_same * num_diff]).T
        others = [other for other in np.flatnonzero(labels == labels[image]).tolist() if other != image]
        assert_uniform(positive, others)
        assert_uniform(negative, np.flatnonzero(labels != labels[image]).tolist())


def test_sets_of_partners_are_uniform_among_all_that_there_are() -> None:
    labels = np.array([0] * 5 + [1] * 5)
    met = np.array(turns(triplets(labels, 10, 2, 3, 6 * 1000, 0))[0]).reshape(1000, 6, 2)
    for column, possible, number in ((0, [1, 2, 3, 4], 2), (1, [5, 6, 7, 8, 9], 3)):
        drawn = np.array([sum(2**image for image in set(round_)) for round_ in met[:, :, column].tolist()])
        assert_uniform(drawn, [sum(2**image for image in some) for some in itertools.combinations(possible, number)])


def test_the_order_of_combinations_is_random() -> None:
    met = turns(triplets(np.arange(400) % 2, 40, 2, 2, 10 * 4 * 10, 0))
    first, second = np.array(list(met.values())).reshape(-1, 4, 2)[:, :2].transpose(1, 0, 2)
    # The next of 2 × 2 combinations shares the positive, the negative or neither: each is one of three that are left.
    assert_uniform((first == second) @ np.array([1, 2]), [0, 1, 2])


def test_ten_thousand_batches_of_mnists_size_take_under_two_seconds() -> None:
    start = time.perf_counter()
    triplets(np.arange(60_000) % 10, 64, 12, 12, 10_000, 0)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([3, 3, 3], "found 'triplets' with training images of 1 class, expected at least 2 classes"),
        ([0, 1, 2], "found 'triplets' with one training image in each class, expected at least one class of 2 or more"),
    ],
)
def test_labels_that_make_no_triplets(labels: list[int], message: str) -> None:
    with pytest.raises(UserError) as refused:
        triplets(np.array(labels), 2, 1, 1, 1, 0)
    assert str(refused.value) == f"batches.layout: {message}"
