"""How much of what an exact search finds an approximate index finds too, on a sample of the queries."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stages.ranking.index import Index
from stages.ranking.placed import Placed, place
from stages.ranking.search import proposes, search

SAMPLE = 1000  # queries


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
    """

    depth: int
    at_depth: float | None
    at_1: float | None
    queries: int
    compared_with_all: int

    def as_dict(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)


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
    rng = np.random.default_rng([seed, 14])
    sample = np.sort(rng.choice(rows, SAMPLE, replace=False)) if len(rows) > SAMPLE else rows
    if not len(sample):
        return Recall(depth, None, None, 0, 0)
    if index is None or not proposes(len(queries if gallery is None else gallery), depth, gallery is None):
        return Recall(depth, 1.0, 1.0, len(sample), len(sample))
    placed = place(queries, gallery)
    found, by_all = _nearest_keys(placed, sample, depth, index)
    exact, _ = _nearest_keys(placed, sample, depth, None)
    shares = np.count_nonzero(found <= exact[:, -1:], axis=1) / depth
    return Recall(depth, float(shares.mean()), float((found[:, 0] == exact[:, 0]).mean()), len(sample), by_all)


def _nearest_keys(placed: Placed, rows: np.ndarray, depth: int, index: Index | None) -> tuple[np.ndarray, int]:
    """Of each row the keys of its nearest, float64 `[Q, depth]`, ascending; and how many went by the whole gallery."""
    keys, by_all = np.empty((len(rows), depth)), 0
    for nearby in search(placed, rows, depth, index):
        nearest = np.partition(nearby.keys, depth - 1, axis=1)[:, :depth]
        keys[np.searchsorted(rows, nearby.queries)] = np.sort(nearest, axis=1)
        by_all += len(nearby.queries) if nearby.items is None else 0
    return keys, by_all
