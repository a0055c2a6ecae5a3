"""What the tests of all layouts draw their cases from."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1)
patient = settings(deadline=None)  # the machine may be busy


@st.composite
def labels_with_partners(draw: st.DrawFn) -> np.ndarray:
    """Labels of 2 to 7 classes in any order, one of at least 2 images, the others of 1 to 6."""
    counts = [draw(st.integers(2, 6)), *draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))]
    numbers = draw(st.permutations(range(20)))[: len(counts)]
    return np.random.default_rng(draw(seeds)).permutation(np.repeat(numbers, counts)).astype(np.int32)


def alone(labels: np.ndarray) -> np.ndarray:
    """Which images are alone in their class."""
    return np.array([np.count_nonzero(labels == label) == 1 for label in labels])


def chunks(items: list[int], size: int) -> list[list[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def assert_uniform(values: np.ndarray, possible: list[int]) -> None:
    """Values are the possible ones alone, each as often as chance allows: chi-square within five deviations."""
    counts = np.array([np.count_nonzero(values == value) for value in possible])
    assert counts.sum() == len(values)
    expected, freedom = len(values) / len(possible), len(possible) - 1
    assert expected > 20
    assert ((counts - expected) ** 2 / expected).sum() <= freedom + 5 * np.sqrt(2 * freedom)
