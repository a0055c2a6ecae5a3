"""Which of each query's nearest have its label, block by block, so that nothing of size queries × depth is kept.

Tied neighbours count at their expectation under random order: a constant embedding scores chance, not the order of its
rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from stages.ranking.index import Index
from stages.ranking.placed import Placed, place
from stages.ranking.search import Nearby, search

AT_ONCE = 1024  # queries around whose first of the label the whole gallery is counted, at most
KEYS = 2**26  # numbers of their keys at once, for of few dimensions a block has many items


class Groups(NamedTuple):
    """Of each rank, integers `[q, depth]`: the group of ties in which it lies.

    Attributes:
        start: ranks before the group.
        size: members of the group, also beyond the depth.
        before: same-label items before the group.
        relevant: same-label items in it.
    """

    start: np.ndarray
    size: np.ndarray
    before: np.ndarray
    relevant: np.ndarray


@dataclass(frozen=True)
class Ranking:
    """For a block of queries, which of their nearest others have their label.

    Inside a group of ties the same-label ones stand first.

    Attributes:
        queries: int64 `[q]`, which queries; something else has their label.
        relevant: bool `[q, depth]`, nearest first: has the query's label.
        starts: bool `[q, depth]`: is farther away than the rank before, so begins a new group of ties.
        beyond: int64 `[q]`, how many more members the last group has beyond the depth.
        beyond_relevant: int64 `[q]`, how many of these have the query's label.
        nearer: int64 `[q]`, how many are nearer than the nearest of the query's label, which may lie beyond the depth.
        tied: int64 `[q]`, how many are as near as that one, itself included.
        tied_relevant: int64 `[q]`, how many of these have the query's label.
        same: int64 `[q]`, R(q): how many others have the query's label, at any depth.
        candidates: how many others each query was compared with.
    """

    queries: np.ndarray
    relevant: np.ndarray
    starts: np.ndarray
    beyond: np.ndarray
    beyond_relevant: np.ndarray
    nearer: np.ndarray
    tied: np.ndarray
    tied_relevant: np.ndarray
    same: np.ndarray
    candidates: int

    @cached_property
    def groups(self) -> Groups:
        """The group of ties of each rank."""
        depth = self.relevant.shape[1]
        index = np.arange(depth, dtype=np.int32)
        start = np.maximum.accumulate(np.where(self.starts, index, 0), axis=1)
        following = np.full(self.relevant.shape, depth, np.int32)
        following[:, :-1] = np.where(self.starts[:, 1:], index[1:], depth)
        end = np.minimum.accumulate(following[:, ::-1], axis=1)[:, ::-1]
        counted = np.zeros((len(self.relevant), depth + 1), np.int32)
        np.cumsum(self.relevant, axis=1, out=counted[:, 1:])
        before = np.take_along_axis(counted, start, axis=1)
        last = end == depth
        size = end - start + np.where(last, self.beyond[:, None], 0)
        relevant = np.take_along_axis(counted, end, axis=1) - before + np.where(last, self.beyond_relevant[:, None], 0)
        return Groups(start, size, before, relevant)


def leave_one_out(
    embeddings: np.ndarray,
    labels: np.ndarray,
    at_least: int = 1,
    rows: np.ndarray | None = None,
    index: Index | None = None,
) -> Iterator[Ranking]:
    """Rank all items around each of them, itself excluded by index.

    Args:
        embeddings: `[N, D]`, finite numbers of any scale that float32 can hold.
        labels: int `[N]`.
        at_least: the smallest depth; it is deeper where a query's label has more items, as MAP@R needs.
        rows: int `[Q]`, ascending: which items are queries; None: all.
        index: of the embeddings, to rank what it proposes; None: all are ranked. What is nearer than the nearest of the
            query's label, where that lies beyond the depth, is counted among all of them with either.

    Returns:
        Blocks of queries in any order, without those of whose label nothing else exists.

    Raises:
        ValueError: a number is NaN or infinite.

    >>> for ranking in leave_one_out(np.array([[0.0], [1.0], [3.0], [4.1]]), np.array([0, 1, 0, 0])):
    ...     print(ranking.queries.tolist(), ranking.relevant.tolist())
    [0, 2, 3] [[False, True], [True, False], [True, False]]
    """
    return _rank(place(embeddings), labels, labels, at_least, rows, index)


def in_gallery(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    at_least: int = 1,
    index: Index | None = None,
) -> Iterator[Ranking]:
    """Rank the gallery around each query, which is not in it. Arguments as for `leave_one_out`."""
    return _rank(place(queries, gallery), query_labels, gallery_labels, at_least, None, index)


def same_label_counts(query_labels: np.ndarray, gallery_labels: np.ndarray) -> np.ndarray:
    """How many items of the gallery have each query's label, int64 `[Q]`; a query in the gallery counts itself."""
    labels, counts = np.unique(gallery_labels, return_counts=True)
    if not len(labels):
        return np.zeros(len(query_labels), np.int64)
    place = np.minimum(np.searchsorted(labels, query_labels), len(labels) - 1)
    return np.where(labels[place] == query_labels, counts[place], 0)


def depth_for(same: np.ndarray, at_least: int, candidates: int) -> int:
    """How many nearest the measures need.

    Args:
        same: int `[Q]`, R(q) of each query.
        at_least: the largest k.
        candidates: how many others there are.
    """
    return min(max(int(same.max(initial=0)), at_least), candidates)


def _rank(
    placed: Placed,
    query_labels: np.ndarray,
    gallery_labels: np.ndarray,
    at_least: int,
    rows: np.ndarray | None,
    index: Index | None,
) -> Iterator[Ranking]:
    same = same_label_counts(query_labels, gallery_labels) - int(placed.itself)
    queries = np.flatnonzero(same > 0) if rows is None else rows[same[rows] > 0]
    if not len(queries):
        return
    depth = depth_for(same[queries], at_least, placed.candidates)
    labelled = _Labelled(placed, query_labels, gallery_labels)
    for nearby in search(placed, queries, depth, index):
        labels = gallery_labels if nearby.items is None else gallery_labels[nearby.items]
        # The keys' lowest bit is set where the label is another one: same label first within a tie.
        nearby.keys[...] += query_labels[nearby.queries, None] != labels
        yield _ranking(nearby, depth, same[nearby.queries], labelled)


@dataclass(frozen=True)
class _Labelled:
    """Queries and gallery with their labels."""

    placed: Placed
    query_labels: np.ndarray
    gallery_labels: np.ndarray

    @cached_property
    def by_label(self) -> np.ndarray:
        """The gallery's rows, those of one label side by side."""
        return np.argsort(self.gallery_labels, kind="stable")

    @cached_property
    def sorted_labels(self) -> np.ndarray:
        """Their labels."""
        return self.gallery_labels[self.by_label]

    def around_first(self, queries: np.ndarray) -> np.ndarray:
        """As `_around` the nearest of each query's label, over the whole gallery, but nothing of its size is kept."""
        first, relevant = np.empty(len(queries)), np.empty(len(queries), np.int64)
        ends = (np.searchsorted(self.sorted_labels, self.query_labels[queries], side) for side in ("left", "right"))
        for i, (query, begin, end) in enumerate(zip(queries, *ends, strict=True)):
            keys = self.placed.keys(np.array([query]), self.by_label[None, begin:end])[0]
            first[i] = keys.min()
            relevant[i] = np.count_nonzero(keys == first[i])
        around = np.zeros((3, len(queries)), np.int64)
        around[2] = relevant
        items = max(1, min(len(self.placed.targets), self.placed.targets.block))
        at_once = max(1, min(AT_ONCE, KEYS // items))
        for begin in range(0, len(queries), at_once):
            chosen = slice(begin, begin + at_once)
            for _, keys in self.placed.key_blocks(queries[chosen]):
                around[0, chosen] += np.count_nonzero(keys < first[chosen, None], axis=1)
                around[1, chosen] += np.count_nonzero(keys == first[chosen, None], axis=1)
        return around


def _ranking(nearby: Nearby, depth: int, same: np.ndarray, labelled: _Labelled) -> Ranking:
    keys = nearby.keys
    if depth < keys.shape[1]:
        keys.partition(depth - 1, axis=1)
    nearest = np.sort(keys[:, :depth], axis=1)
    distance = np.floor(nearest / 2)
    relevant = nearest == 2 * distance
    starts = np.ones(relevant.shape, bool)
    starts[:, 1:] = distance[:, 1:] != distance[:, :-1]
    last = 2 * distance[:, -1]
    beyond = _as_near(last, keys[:, depth:])

    first = _first(nearest, relevant)
    around = _around(first, nearest)
    around[1:] += np.where(first == last, beyond, 0)
    deep = np.flatnonzero(np.isinf(first))
    if len(deep):
        around[:, deep] = (
            _around_first(keys[deep]) if nearby.items is None else labelled.around_first(nearby.queries[deep])
        )
    return Ranking(
        nearby.queries,
        relevant,
        starts,
        beyond=beyond[0],
        beyond_relevant=beyond[1],
        nearer=around[0],
        tied=around[1],
        tied_relevant=around[2],
        same=same,
        candidates=labelled.placed.candidates,
    )


def _first(keys: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """The smallest key of a same-label item, float64 `[q]`; infinity where there is none."""
    return np.where(relevant, keys, np.inf).min(axis=1)


def _as_near(first: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """How many of the keys are as near as the first, and of these of the query's label: int64 `[2, q]`."""
    relevant = np.count_nonzero(keys == first[:, None], axis=1)
    return np.stack([relevant + np.count_nonzero(keys == first[:, None] + 1, axis=1), relevant])


def _around(first: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """How many of the keys are nearer than the first, as near, and of these of the query's label: int64 `[3, q]`."""
    return np.stack([np.count_nonzero(keys < first[:, None], axis=1), *_as_near(first, keys)])


def _around_first(keys: np.ndarray) -> np.ndarray:
    half = keys / 2
    return _around(_first(keys, half == np.floor(half)), keys)
