"""The nearest neighbours themselves: which they are, how far, and where the last of them tie."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from stages.ranking.index import Index
from stages.ranking.placed import Placed, place
from stages.ranking.search import search


class Neighbours(NamedTuple):
    """For a block of queries, the k nearest and all that tie with the last of them.

    Attributes:
        queries: int64 `[q]`, which queries.
        rows: int64 `[n]`, ascending: to which of the block's queries each neighbour belongs.
        items: int64 `[n]`, the neighbours, rows of the gallery; ascending for each query.
        keys: float64 `[n]`, their keys as `Placed.keys` has them.
        last: bool `[n]`, is as far as the k-th nearest.
    """

    queries: np.ndarray
    rows: np.ndarray
    items: np.ndarray
    keys: np.ndarray
    last: np.ndarray


def nearest(
    queries: np.ndarray,
    gallery: np.ndarray,
    k: int,
    itself: bool,
    rows: np.ndarray | None = None,
    index: Index | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of the gallery for each query.

    Args:
        queries: `[Q, D]`, finite numbers of any scale that float32 can hold.
        gallery: `[N, D]`.
        k: from 1 to N, or to N - 1 with `itself`.
        itself: the queries are the gallery, and none is its own neighbour.
        rows: int `[Q]`, ascending: which rows of `queries` are asked for; None: all.
        index: of the gallery, to find the nearest of what it proposes; None: of all.

    Returns:
        int64 `[Q, k]`, rows of the gallery, nearest first and ties by index; and float64 `[Q, k]`, the Euclidean
        distances on the grid by which they are ranked, to 2**-24 of the largest norm.

    Raises:
        ValueError: fewer than k neighbours, or a number is NaN or infinite.

    >>> nearest(np.array([[0.0], [2.0]]), np.array([[1.0], [4.0], [2.0]]), 2, itself=False)[0].tolist()
    [[0, 2], [2, 0]]
    """
    placed = place(queries) if itself else place(queries, gallery)
    rows = np.arange(len(queries)) if rows is None else rows
    items = np.empty((len(rows), k), np.int64)
    distances = np.empty((len(rows), k))
    for block in up_to_ties(placed, rows, k, index):
        kept = _first_in_rows(block, k)
        keys, found = block.keys[kept].reshape(-1, k), block.items[kept].reshape(-1, k)
        order = np.argsort(keys, axis=1, kind="stable")  # so that ties stay in the order of their index
        keys = np.take_along_axis(keys, order, axis=1)
        places = np.searchsorted(rows, block.queries)
        items[places] = np.take_along_axis(found, order, axis=1)
        distances[places] = np.ldexp(np.sqrt(placed.squared(block.queries, keys)), -placed.exponent)
    return items, distances


def up_to_ties(placed: Placed, queries: np.ndarray, k: int, index: Index | None = None) -> Iterator[Neighbours]:
    """The k nearest of each query and all that tie with the last of them; arguments and blocks as of `search`.

    Raises:
        ValueError: fewer than k neighbours.
    """
    if not 1 <= k <= placed.candidates:
        raise ValueError(f"k must be between 1 and the number of others, {placed.candidates}. Received: k={k}")
    for nearby in search(placed, queries, k, index):
        kth = np.partition(nearby.keys, k - 1, axis=1)[:, k - 1]
        rows, columns = np.nonzero(nearby.keys <= kth[:, None])
        keys = nearby.keys[rows, columns]
        items = columns if nearby.items is None else nearby.items[rows, columns]
        yield Neighbours(nearby.queries, rows, items, keys, keys == kth[rows])


def _first_in_rows(block: Neighbours, k: int) -> np.ndarray:
    """Which are the k where ties go by index, bool `[n]`: all that are nearer than the last, and the first of these."""
    nearer = np.bincount(block.rows[~block.last], minlength=len(block.queries))
    tied = np.bincount(block.rows, minlength=len(block.queries)) - nearer
    seen = np.cumsum(block.last)  # of the last ones, up to and with this one
    before = np.cumsum(tied) - tied
    return ~block.last | (seen - before[block.rows] <= (k - nearer)[block.rows])
