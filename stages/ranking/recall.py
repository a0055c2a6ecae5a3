"""How much of what an exact search finds an approximate index finds too, on a sample of the queries.

By one sample it is tried out how much must be searched, by another one measured what is found so.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from stages.ranking.index import Index
from stages.ranking.placed import Placed, place
from stages.ranking.search import proposes, search

SAMPLE = 1000  # queries by which it is measured
TRIED = 250  # queries by which an effort is tried
EFFORTS = (1, 2, 4, 8, 16, 32)  # with the last one, ivf searches all its lists


@dataclass(frozen=True)
class Recall:
    """Of a search by an index.

    Attributes:
        depth: how many nearest it was asked for.
        at_depth: share of the true `depth` nearest that it found, mean over queries; None where there is no query. One
            that ties with the last of them stands for it.
        at_1: share of queries of which it found a nearest one.
        queries: in the sample.
        compared_with_all: how many of these went by the whole gallery, as the index found too few, or all tie: they
            count as found.
        effort: how many times as much was searched as at least.
    """

    depth: int
    at_depth: float | None
    at_1: float | None
    queries: int
    compared_with_all: int
    effort: int = 1

    def as_dict(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)


def tune(
    index: Index | None,
    queries: np.ndarray,
    gallery: np.ndarray | None,
    rows: np.ndarray,
    depth: int,
    wanted: float,
    seed: int,
) -> Index | None:
    """The same index, that searches no more than it takes; arguments as for `measure`, and the share to be found.

    Where even the greatest effort finds less, that is what it makes.
    """
    sample = _sample(rows, TRIED, [seed, 15])
    if index is None or not len(sample) or not _proposes(queries, gallery, depth):
        return index
    placed = place(queries, gallery)
    exact, _ = _nearest_keys(placed, sample, depth, None)
    for effort in EFFORTS:
        index = replace(index, effort=effort)
        found, _ = _nearest_keys(placed, sample, depth, index)
        if _shares(found, exact).mean() >= wanted:
            break
    return index


def measure(
    index: Index | None, queries: np.ndarray, gallery: np.ndarray | None, rows: np.ndarray, depth: int, seed: int
) -> Recall:
    """Search for a sample of queries twice, by the index and exactly.

    Args:
        index: of the gallery; None: none was made, for the whole gallery is compared.
        queries: `[Q, D]`, finite numbers of any scale that float32 can hold.
        gallery: `[N, D]`; None: the queries are the gallery, and none is its own neighbour.
        rows: int, ascending: the rows of `queries` from which the sample is drawn.
        depth: from 1 to N, or to N - 1 without a gallery.
        seed: of the sample.
    """
    sample = _sample(rows, SAMPLE, [seed, 14])
    if not len(sample):
        return Recall(depth, None, None, 0, 0)
    if index is None or not _proposes(queries, gallery, depth):
        return Recall(depth, 1.0, 1.0, len(sample), len(sample))
    placed = place(queries, gallery)
    found, by_all = _nearest_keys(placed, sample, depth, index)
    exact, _ = _nearest_keys(placed, sample, depth, None)
    at_1 = float((found[:, 0] == exact[:, 0]).mean())
    return Recall(depth, float(_shares(found, exact).mean()), at_1, len(sample), by_all, index.effort)


def _proposes(queries: np.ndarray, gallery: np.ndarray | None, depth: int) -> bool:
    return proposes(len(queries if gallery is None else gallery), depth, gallery is None)


def _sample(rows: np.ndarray, count: int, seed: list[int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(rows, count, replace=False)) if len(rows) > count else rows


def _shares(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    return np.count_nonzero(found <= exact[:, -1:], axis=1) / exact.shape[1]


def _nearest_keys(placed: Placed, rows: np.ndarray, depth: int, index: Index | None) -> tuple[np.ndarray, int]:
    """Of each row the keys of its nearest, float64 `[Q, depth]`, ascending; and how many went by the whole gallery."""
    keys, by_all = np.empty((len(rows), depth)), 0
    for nearby in search(placed, rows, depth, index):
        nearest = np.partition(nearby.keys, depth - 1, axis=1)[:, :depth]
        keys[np.searchsorted(rows, nearby.queries)] = np.sort(nearest, axis=1)
        by_all += len(nearby.queries) if nearby.items is None else 0
    return keys, by_all
