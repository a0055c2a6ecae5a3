import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.batches.rotation import rotation, turns
from tests.batches.cases import chunks, patient, seeds


@patient
@given(st.integers(1, 12), st.integers(1, 40), st.integers(1, 30), seeds)
def test_rows_of_a_rotation_are_as_even_as_can_be(n: int, take: int, times: int, seed: int) -> None:
    rows = rotation(n, take, times, np.random.default_rng(seed))
    assert rows.shape == (times, take)
    for row in rows:
        counts = np.bincount(row, minlength=n)
        assert counts.max() - counts.min() <= 1
    for run in chunks(rows.ravel().tolist(), n):
        assert len(set(run)) == len(run)


def test_a_row_over_two_permutations_is_uniform() -> None:
    firsts = np.array([rotation(5, 4, 2, np.random.default_rng(seed))[1] for seed in range(4000)])
    for column in firsts.T:
        # 800 expected, standard deviation 25.3; five of them.
        assert np.abs(np.bincount(column, minlength=5) - 800).max() < 127


@patient
@given(st.integers(1, 9), st.lists(st.integers(0, 20), min_size=1, max_size=30), st.integers(1, 30), seeds)
def test_rows_of_any_lengths_take_turns_alike(n: int, lengths: list[int], kept: int, seed: int) -> None:
    ends = np.cumsum(lengths)
    sequence = turns(n, ends, np.random.default_rng(seed))
    assert len(sequence) == ends[-1]
    for row in np.split(sequence, ends[:-1]):
        counts = np.bincount(row, minlength=n)
        assert counts.max() - counts.min() <= 1
    for run in chunks(sequence.tolist(), n):
        assert len(set(run)) == len(run)
    fewer = turns(n, ends[:kept], np.random.default_rng(seed))
    np.testing.assert_array_equal(fewer, sequence[: len(fewer)])


def test_nothing_takes_no_turns() -> None:
    assert turns(0, np.zeros(3, int), np.random.default_rng(0)).tolist() == []
