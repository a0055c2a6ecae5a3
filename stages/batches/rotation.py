"""Things that take turns: everything is taken once before anything is taken again."""

import numpy as np


def rotation(n: int, take: int, times: int, random: np.random.Generator) -> np.ndarray:
    """Take from n things again and again, each in its turn.

    Args:
        n: number of things.
        take: how many at a time.
        times: number of rows.
        random: gives the orders. More rows from an equal generator begin with these.

    Returns:
        int32 `[times, take]`, values 0..n-1, as `turns` gives them for rows of equal length.
    """
    return turns(n, np.arange(1, times + 1) * take, random).reshape(times, take)


def turns(n: int, ends: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Take from n things again and again, each in its turn, in rows of any lengths.

    Reads permutations of the n things one after another. Where a permutation begins inside a row, those of its things
    that the row has already are put behind those that it has not. So no row has a thing twice (more than
    `ceil(length / n)` times, if it is longer than n), and each aligned run of n has all things.

    Args:
        n: number of things; 0 only if all rows are empty.
        ends: int `[rows]`, at least one, ascending: how many things have been taken after each row.
        random: gives the permutations. More rows from an equal generator begin with these.

    Returns:
        int32 `[ends[-1]]`, values 0..n-1, the rows one after another.
    """
    permutations = -(-int(ends[-1]) // max(n, 1))
    sequence = random.permuted(np.broadcast_to(np.arange(n, dtype=np.int32), (permutations, n)), axis=1).ravel()
    starts = np.arange(1, permutations) * n
    rows = ends.searchsorted(starts)  # in which the permutations before them end
    for start, row, row_end in zip(starts.tolist(), rows.tolist(), ends[rows].tolist(), strict=True):
        if start < row_end < start + n:
            row_start = int(ends[row - 1]) if row else 0
            in_row = (start - row_start) % n  # whole permutations before it favour none
            _put_behind(sequence[start : start + n], sequence[row_start : row_start + in_row], row_end - start)
    return sequence[: ends[-1]]


def _put_behind(permutation: np.ndarray, present: np.ndarray, room: int) -> None:
    """Reorder in place so that of the first `room` things as few as possible are `present`."""
    absent = np.ones(len(permutation), bool)
    absent[present] = False
    absent = absent[permutation]
    if absent[:room].all():
        return
    first = np.flatnonzero(absent)[:room]
    later = np.ones(len(permutation), bool)
    later[first] = False
    permutation[:] = np.concatenate([permutation[first], permutation[later]])
