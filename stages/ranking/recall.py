"""How much of what an exact search finds an approximate index finds too.

A sample of the queries is searched for both ways. By some of them it is found out how much the index must go through to
find the share that is wanted, by the others what it finds then.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from stages.ranking.index import Index
from stages.ranking.placed import Placed, place
from stages.ranking.search import proposed, proposes, search

TUNED_BY = 250  # queries
SAMPLE = 1000  # others, by which it is measured


@dataclass(frozen=True)
class Recall:
    """Of a search by an index, or in its place.

    Attributes:
        depth: how many nearest were asked for.
        at_depth: share of the true `depth` nearest that were found, mean over queries; None where there is no query.
            One that ties with the last of them stands for it.
        at_1: share of queries of which a nearest one was found.
        queries: by which this was measured.
        compared_with_all: how many of these went by the whole gallery, as the index found too few, or all tie: they
            count as found.
        effort: that of the index, see `Index`; None: it was not used, all were compared.
        refused: where it was not used, share of the nearest that it found with the most effort that might have paid;
            None where it was not tried.
    """

    depth: int
    at_depth: float | None
    at_1: float | None
    queries: int
    compared_with_all: int
    effort: int | None
    refused: float | None = None

    @classmethod
    def of_all(cls, depth: int, queries: int, refused: float | None = None) -> "Recall":
        """Of so many queries that are compared with the whole gallery."""
        share = 1.0 if queries else None
        return cls(depth, share, share, queries, queries, None, refused)

    def as_dict(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)


def tuned(
    build: Callable[[], Index],
    queries: np.ndarray,
    gallery: np.ndarray | None,
    rows: np.ndarray,
    depth: int,
    wanted: float,
    seed: int,
) -> tuple[Index | None, Recall]:
    """An index with the least effort that finds the wanted share of the nearest, and what it finds.

    Args:
        build: gives the index of the gallery; called where it may be of use.
        queries: `[Q, D]`, finite numbers of any scale that float32 can hold.
        gallery: `[N, D]`; None: the queries are the gallery, and none is its own neighbour.
        rows: int, ascending: the rows of `queries` that are to be searched for.
        depth: from 1 to N, or to N - 1 without a gallery.
        wanted: share of the `depth` nearest, mean over queries; about so much is found of others than it is tuned by.
        seed: of the samples.

    Returns:
        None in place of the index where all are better compared: of few items, at great depths, for no more queries
        than the samples have, or where more effort is needed than comparing takes.
    """
    items, itself = len(queries if gallery is None else gallery), gallery is None
    if len(rows) <= TUNED_BY + SAMPLE or not proposes(items, depth, itself):
        return None, Recall.of_all(depth, len(rows))
    index, placed = build(), place(queries, gallery)
    rng = np.random.default_rng([seed, 14])
    drawn = np.sort(rng.choice(rows, TUNED_BY + SAMPLE, replace=False))
    exact, _ = nearest_keys(placed, drawn, depth)
    trial = np.zeros(len(drawn), bool)
    trial[rng.choice(len(drawn), TUNED_BY, replace=False)] = True
    share = 0.0
    for effort in index.efforts(proposed(depth, itself)):
        index = replace(index, effort=effort)
        found, by_all = nearest_keys(placed, drawn[trial], depth, index)
        # What went by the whole gallery is not found by the index.
        share = float(np.where(by_all, 0.0, _shares(found, exact[trial])).mean())
        if share >= wanted:
            return index, measure(index, placed, drawn[~trial], exact[~trial])
    return None, Recall.of_all(depth, len(rows), refused=share)


def measure(index: Index, placed: Placed, rows: np.ndarray, exact: np.ndarray) -> Recall:
    """What an index finds.

    Args:
        index: of `placed.targets`.
        placed: queries and gallery.
        rows: int64 `[Q]`, ascending: which queries are searched for.
        exact: float64 `[Q, depth]`, the keys of their nearest, as `nearest_keys` gives them without an index.
    """
    found, by_all = nearest_keys(placed, rows, exact.shape[1], index)
    at_depth, at_1 = float(_shares(found, exact).mean()), float((found[:, 0] == exact[:, 0]).mean())
    return Recall(exact.shape[1], at_depth, at_1, len(rows), int(by_all.sum()), index.effort)


def nearest_keys(
    placed: Placed, rows: np.ndarray, depth: int, index: Index | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Of each row the keys of its nearest, float64 `[Q, depth]`, ascending; and, bool `[Q]`, which went by all."""
    keys, by_all = np.empty((len(rows), depth)), np.zeros(len(rows), bool)
    for nearby in search(placed, rows, depth, index):
        nearest = np.partition(nearby.keys, depth - 1, axis=1)[:, :depth]
        places = np.searchsorted(rows, nearby.queries)
        keys[places] = np.sort(nearest, axis=1)
        by_all[places] = nearby.items is None
    return keys, by_all


def _shares(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    return np.count_nonzero(found <= exact[:, -1:], axis=1) / exact.shape[1]
