"""Turns of more classes than a batch will ever hold, where the tests of `test_plan` have a handful."""

import numpy as np
import pytest

from stages.batches.plan import class_balanced
from tests.batches.in_turn import classes_out_of_turn, samples_out_of_turn

CLASSES, IMAGES = 5_000, 100_000
PER_BATCH, SAMPLES = 100, 4


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """In any order, of classes of 1 to some 40 images."""
    rng = np.random.default_rng(0)
    one_each = np.arange(CLASSES)
    shares = rng.uniform(0, 1, CLASSES)
    others = rng.choice(CLASSES, IMAGES - CLASSES, p=shares / shares.sum())
    return rng.permutation(np.concatenate([one_each, others])).astype(np.int32)


@pytest.fixture(scope="module")
def plan(labels: np.ndarray) -> np.ndarray:
    """Of twelve turns of all classes and a half: 48 or 52 samples of each class, more than most have."""
    return class_balanced(labels, PER_BATCH, SAMPLES, steps=CLASSES // PER_BATCH * 25 // 2, seed=0)


def test_every_class_is_seen_before_any_is_seen_twice(labels: np.ndarray, plan: np.ndarray) -> None:
    assert np.unique(labels, return_counts=True)[1].min() < SAMPLES
    assert classes_out_of_turn(labels, plan, SAMPLES) == 0
    seen = np.bincount(labels[plan[:, ::SAMPLES]].ravel(), minlength=CLASSES)
    assert set(seen) == {12, 13}


def test_every_sample_of_a_class_is_seen_before_any_is_seen_twice(labels: np.ndarray, plan: np.ndarray) -> None:
    assert samples_out_of_turn(labels, plan) == 0
    seen = np.bincount(plan.ravel(), minlength=IMAGES)
    most, least = np.zeros(CLASSES, int), np.full(CLASSES, IMAGES)
    np.maximum.at(most, labels, seen)
    np.minimum.at(least, labels, seen)
    assert (most - least).max() == 1


def test_two_rows_that_change_places_are_found_out(labels: np.ndarray, plan: np.ndarray) -> None:
    changed = plan.copy()
    changed[[0, 60]] = plan[[60, 0]]  # between two turns of all classes
    assert classes_out_of_turn(labels, changed, SAMPLES) > 0
