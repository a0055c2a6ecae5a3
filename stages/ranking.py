"""Exact nearest-neighbour rankings of an embedding, and the retrieval measures on them.

Distances are exact integers: coordinates are rounded to a grid on which no sum of products reaches 2**53, so float64
holds every intermediate result without error. Equal rows tie exactly, and neither the block size nor the BLAS library,
its threads or the machine can change a rank. The grid's step is at most 2**-24 of the largest norm: for norms of like
size that is the precision of float32, but one vector a hundred thousand times as long as the others blurs these.

Tied neighbours count at their expectation under random order: a constant embedding scores chance, not the order of its
rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

NORM_BITS = 25  # of the longest vector on the grid: 4·|a·b| + 2·|b|² stays below 2**53
BLOCK = 2**22  # distances held at once


@dataclass(frozen=True)
class Ranking:
    """For each query, which of its nearest others have its label. 2 bytes for each query and rank.

    Queries of whose label nothing else exists are left out. Inside a group of ties the same-label ones stand first.

    Attributes:
        relevant: bool `[Q, depth]`, nearest first: has the query's label.
        starts: bool `[Q, depth]`: is farther away than the rank before, so begins a new group of ties.
        beyond: int64 `[Q]`, how many more members the last group has beyond the depth.
        beyond_relevant: int64 `[Q]`, how many of these have the query's label.
        same: int64 `[Q]`, R(q): how many others have the query's label, at any depth.
        candidates: how many others each query was compared with.
        left_out: how many queries were left out.
    """

    relevant: np.ndarray
    starts: np.ndarray
    beyond: np.ndarray
    beyond_relevant: np.ndarray
    same: np.ndarray
    candidates: int
    left_out: int


def leave_one_out(embeddings: np.ndarray, labels: np.ndarray, at_least: int = 1) -> Ranking:
    """Rank all items around each of them, itself excluded by index.

    Args:
        embeddings: `[N, D]`, finite numbers of any scale.
        labels: int `[N]`.
        at_least: the smallest depth; it is deeper where a label has more items, as MAP@R needs.

    >>> ranking = leave_one_out(np.array([[0.0], [1.0], [3.0], [4.1]]), np.array([0, 1, 0, 0]))
    >>> ranking.relevant.tolist(), ranking.left_out
    ([[False, True], [True, False], [True, False]], 1)
    """
    return _rank(embeddings, labels, embeddings, labels, at_least, itself=True)


def in_gallery(
    queries: np.ndarray, query_labels: np.ndarray, gallery: np.ndarray, gallery_labels: np.ndarray, at_least: int = 1
) -> Ranking:
    """Rank the gallery around each query, which is not in it. Arguments as for `leave_one_out`."""
    return _rank(queries, query_labels, gallery, gallery_labels, at_least, itself=False)


def recall_at_k(ranking: Ranking, ks: Sequence[int]) -> dict[int, float | None]:
    """Share of queries with at least one same-label item among their k nearest; None if all queries are left out.

    Raises:
        ValueError: a k is larger than the depth that was ranked.

    >>> embeddings, labels = np.array([[0.0], [1.0], [2.5], [3.0]]), np.array([0, 0, 1, 0])
    >>> {k: round(recall, 3) for k, recall in recall_at_k(leave_one_out(embeddings, labels), [1, 2]).items()}
    {1: 0.667, 2: 1.0}
    """
    return {k: _mean(hits(ranking, k)) for k in ks}


def map_at_r(ranking: Ranking) -> float | None:
    """Mean over queries of the average precision at R(q) (Musgrave et al. 2020); None if all queries are left out.

    >>> map_at_r(leave_one_out(np.array([[0.0], [1.0], [5.0], [7.0]]), np.array([0, 0, 1, 1])))
    1.0
    """
    return _mean(average_precisions(ranking))


def hits(ranking: Ranking, k: int) -> np.ndarray:
    """Probability, float64 `[Q]`, that a same-label item is among the k nearest: 0 or 1 unless a tie straddles rank k.

    Raises:
        ValueError: k is larger than the depth that was ranked.
    """
    depth = ranking.relevant.shape[1]
    if k < 1 or (k > depth < ranking.candidates and len(ranking.same)):
        raise ValueError(f"k is between 1 and the depth of the ranking. Received: k={k}, depth={depth}")
    if not depth:
        return np.zeros(0)
    # Same-label items stand first in their group, so the nearest of them begins the first group that has any.
    start = ranking.relevant.argmax(axis=1)
    found = ranking.relevant.any(axis=1)
    ranks = np.arange(depth)
    later = ranking.starts & (ranks > start[:, None])
    end = np.where(later.any(axis=1), later.argmax(axis=1), depth)
    inside = (ranks >= start[:, None]) & (ranks < end[:, None])
    relevant = (ranking.relevant & inside).sum(axis=1) + np.where(end == depth, ranking.beyond_relevant, 0)
    size = end - start + np.where(end == depth, ranking.beyond, 0)
    slots = np.clip(k - start, 0, size)
    # None of `slots` draws without replacement hits: C(size - relevant, slots) / C(size, slots), factor by factor.
    missed = np.ones(len(size))
    for drawn in range(slots.max()):
        factor = np.maximum(size - relevant - drawn, 0) / np.maximum(size - drawn, 1)
        missed *= np.where(drawn < slots, factor, 1.0)
    return np.where(found, 1.0 - missed, 0.0)


def average_precisions(ranking: Ranking) -> np.ndarray:
    """(1/R) Σ_{i=1..R} P(i)·rel(i) of each query, float64 `[Q]`, at its expectation over the order of ties.

    Rank s + j, in a group of g ties of which r are relevant, after s items of which c are relevant, contributes
    r/g · (c + 1 + (j - 1)(r - 1)/(g - 1)) / (s + j): it is relevant with probability r/g, and then so is each of the
    j - 1 ranks before it in the group with probability (r - 1)/(g - 1).
    """
    queries, depth = ranking.relevant.shape
    rows = max(1, BLOCK // 8 // max(depth, 1))
    blocks = [_average_precisions(ranking, slice(begin, begin + rows)) for begin in range(0, queries, rows)]
    return np.concatenate(blocks) if blocks else np.zeros(0)


def chance_recall_at_k(labels: np.ndarray, ks: Sequence[int]) -> dict[int, float | None]:
    """What `recall_at_k` gives on average for a random order of all others.

    >>> chance_recall_at_k(np.array([0, 0, 0, 1, 2]), [1, 3])
    {1: 0.5, 3: 1.0}
    """
    ranking, weights = _random_order(labels, max(ks))
    return {k: _mean(hits(ranking, k), weights) for k in ks}


def chance_map_at_r(labels: np.ndarray) -> float | None:
    """What `map_at_r` gives on average for a random order of all others."""
    ranking, weights = _random_order(labels)
    return _mean(average_precisions(ranking), weights)


def _rank(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    at_least: int,
    *,
    itself: bool,
) -> Ranking:
    for vectors in (queries, gallery):
        if not np.isfinite(vectors).all():
            raise ValueError("embeddings must be finite. Received: NaN or infinity")
    _, codes = np.unique(np.concatenate([query_labels, gallery_labels]), return_inverse=True)
    query_codes, gallery_codes = (
        codes[: len(query_labels)].astype(np.int32),
        codes[len(query_labels) :].astype(np.int32),
    )
    same = np.bincount(gallery_codes, minlength=len(codes) + 1)[query_codes] - int(itself)
    kept = np.flatnonzero(same > 0)
    same = same[kept]
    candidates = len(gallery_labels) - int(itself)
    depth = min(max(int(same.max()), at_least), candidates) if len(kept) else 0

    relevant = np.empty((len(kept), depth), bool)
    starts = np.empty((len(kept), depth), bool)
    beyond = np.empty(len(kept), np.int64)
    beyond_relevant = np.empty(len(kept), np.int64)
    for block, keys in _key_blocks(queries, query_codes, gallery, gallery_codes, kept, itself=itself):
        if depth < keys.shape[1]:
            keys.partition(depth - 1, axis=1)
        nearest = np.sort(keys[:, :depth], axis=1)
        distance = np.floor(nearest / 2)
        relevant[block] = nearest == 2 * distance
        starts[block, 0] = True
        starts[block, 1:] = distance[:, 1:] != distance[:, :-1]
        farther, last = keys[:, depth:], 2 * distance[:, -1:]
        beyond_relevant[block] = np.count_nonzero(farther == last, axis=1)
        beyond[block] = beyond_relevant[block] + np.count_nonzero(farther == last + 1, axis=1)
    return Ranking(relevant, starts, beyond, beyond_relevant, same, candidates, len(query_labels) - len(kept))


def _key_blocks(
    queries: np.ndarray,
    query_codes: np.ndarray,
    gallery: np.ndarray,
    gallery_codes: np.ndarray,
    kept: np.ndarray,
    *,
    itself: bool,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Per block of queries: 2·(|b|² - 2·a·b), plus 1 where the label is another one; infinity for the query itself.

    In their order the keys are distances first and same label first within a tie. |a|² is left out: it moves no rank.
    """
    exponent = NORM_BITS - max(_norm_exponent(queries), _norm_exponent(gallery))
    targets = _on_grid(gallery, exponent)
    twice_squared = 2 * np.einsum("ij,ij->i", targets, targets)
    sources = targets if itself else _on_grid(queries, exponent)
    rows = max(1, BLOCK // len(targets))
    for begin in range(0, len(kept), rows):
        chosen = kept[begin : begin + rows]
        keys = (-4 * sources[chosen]) @ targets.T
        keys += twice_squared
        keys += query_codes[chosen, None] != gallery_codes
        if itself:
            keys[np.arange(len(chosen)), chosen] = np.inf
        yield slice(begin, begin + len(chosen)), keys


def _norm_exponent(vectors: np.ndarray) -> int:
    """The smallest e with |v| < 2**e for all rows."""
    largest = 0.0
    for begin in range(0, len(vectors), 4096):
        block = vectors[begin : begin + 4096].astype(np.float64)
        largest = max(largest, float(np.einsum("ij,ij->i", block, block).max()))
    return int(np.frexp(np.sqrt(largest))[1])


def _on_grid(vectors: np.ndarray, exponent: int) -> np.ndarray:
    return np.rint(np.ldexp(vectors.astype(np.float64), exponent))


def _average_precisions(ranking: Ranking, rows: slice) -> np.ndarray:
    relevant, starts = ranking.relevant[rows], ranking.starts[rows]
    depth = relevant.shape[1]
    index = np.arange(depth, dtype=np.int32)
    start = np.maximum.accumulate(np.where(starts, index, 0), axis=1)
    following = np.full(relevant.shape, depth, np.int32)
    following[:, :-1] = np.where(starts[:, 1:], index[1:], depth)
    end = np.minimum.accumulate(following[:, ::-1], axis=1)[:, ::-1]
    counted = np.zeros((len(relevant), depth + 1), np.int32)
    np.cumsum(relevant, axis=1, out=counted[:, 1:])
    before = np.take_along_axis(counted, start, axis=1)
    last = end == depth
    size = end - start + np.where(last, ranking.beyond[rows, None], 0)
    inside = np.take_along_axis(counted, end, axis=1) - before + np.where(last, ranking.beyond_relevant[rows, None], 0)
    others = (index - start) * (inside - 1) / np.maximum(size - 1, 1)
    terms = inside / size * (before + 1 + others) / (index + 1)
    same = ranking.same[rows]
    return np.where(index < same[:, None], terms, 0.0).sum(axis=1) / same


def _random_order(labels: np.ndarray, at_least: int = 1) -> tuple[Ranking, np.ndarray]:
    """A ranking of one query a class in which all others tie, and how many queries each of them stands for."""
    _, counts = np.unique(labels, return_counts=True)
    weights = counts[counts > 1]
    same, candidates = weights - 1, len(labels) - 1
    depth = min(max(int(same.max()), at_least), candidates) if len(weights) else 0
    index = np.arange(depth)
    relevant = index < same[:, None]
    starts = np.broadcast_to(index == 0, relevant.shape)
    beyond = np.full(len(weights), candidates - depth)
    left_out = int((counts == 1).sum())
    return Ranking(relevant, starts, beyond, np.zeros(len(weights), np.int64), same, candidates, left_out), weights


def _mean(values: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    return float(np.average(values, weights=weights)) if len(values) else None
