"""Who can be among the nearest: FAISS proposes in float32, exact integers decide.

FAISS computes squared distances of its candidates in float32, whose unit roundoff is u = 2**-24. Its error has a bound
that holds for any order of the sums, with and without fused multiplication. Let γ(n) = n·u / (1 - n·u) (Higham 2002,
lemma 3.1). The inputs are rounded to float32 (1 + u each), a product of D terms errs by at most γ(D)·Σ|aᵢ·bᵢ|, and
|a|² + |b|² - 2·a·b takes two more roundings; as Σ|aᵢ·bᵢ| ≤ |a|·|b|, all of it errs by at most γ(D + 4)·(|a| + |b|)²,
and the sum of squared differences by less. So an item that FAISS left out is no nearer than FAISS's last distance less
this bound (taken with the gallery's longest |b|, and with D + 8 for the roundings made here). Where that is farther
than the query's neighbour at the depth, which is exact, none of the nearest is missing and the query is settled; all
others are compared with the whole gallery.

An approximate index proposes as many, but may leave out any: exact integers order what it found. A query for which it
found too few, or nothing beyond those that tie at the depth, is compared with the whole gallery too, so that ties count
as ever. What is left out otherwise is measured: see `stages.ranking.recall`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stages.ranking.index import Index
from stages.ranking.placed import OnGrid, Placed

BLOCK = 2**22  # numbers held at once
LEAST_ROWS = 64  # but of so many queries: with fewer, their product with a large gallery only waits for memory
ROW_NUMBERS = 2**27  # and of so many keys at most, 1 GB
FAISS_QUERIES = 4096  # of a call: FAISS multiplies so many at once
FAISS_NUMBERS = 2**26  # of the gallery in float32 at once
SPARE = 16  # candidates beyond the depth and an eighth of it: their distance must exceed the depth's by FAISS's error
FEW_ITEMS = 2**13  # up to here a block of exact keys stays in the cache, and FAISS would save nothing
DEEP = 96  # candidates that are more than one item in so many take FAISS longer to select than exact keys take in all

Proposals = tuple[np.ndarray, np.ndarray, np.ndarray]
"""For some queries the proposed rows of the gallery, int64 `[q, m]`, ascending, -1 for none; their keys, infinity for
none; and which queries are settled, bool `[q]`."""


@dataclass(frozen=True)
class Nearby:
    """For some queries, all items that are at least as near as the neighbour at the depth, and others.

    Attributes:
        queries: int64 `[q]`, which queries.
        items: int64 `[q, m]`, rows of the gallery, ascending; None: all of them, so m = N.
        keys: float64 `[q, m]`, their keys as `Placed.keys` has them; the caller's to change.
    """

    queries: np.ndarray
    items: np.ndarray | None
    keys: np.ndarray


def search(placed: Placed, queries: np.ndarray, depth: int, index: Index | None = None) -> Iterator[Nearby]:
    """Find who can be among the nearest, block by block; each query comes once, in any order.

    Args:
        placed: queries and gallery.
        queries: int64 `[Q]`, rows of `placed.sources`.
        depth: from 1 to `placed.candidates`.
        index: of the gallery, which may leave out some of them; None: all are found.
    """
    if not proposes(len(placed.targets), depth, placed.itself):
        yield from whole(placed, queries)
        return
    count = proposed(depth, placed.itself)
    propose = _by_distance(placed, depth, count) if index is None else _by_index(placed, depth, count, index)
    rows = min(FAISS_QUERIES, max(LEAST_ROWS, BLOCK // count))
    unsettled = [queries[:0]]
    for begin in range(0, len(queries), rows):
        chosen = queries[begin : begin + rows]
        items, keys, settled = propose(chosen)
        unsettled.append(chosen[~settled])
        if settled.any():
            yield Nearby(chosen[settled], items[settled], keys[settled])
    yield from whole(placed, np.concatenate(unsettled))


def proposes(items: int, depth: int, itself: bool) -> bool:
    """Whether candidates are proposed: of few items, and at great depths, it takes less to compare all.

    Args:
        items: in the gallery.
        depth: how many nearest are asked for.
        itself: the queries are the gallery.
    """
    return items > FEW_ITEMS and proposed(depth, itself) * DEEP <= items


def whole(placed: Placed, queries: np.ndarray) -> Iterator[Nearby]:
    """The whole gallery for each query, block by block."""
    items = max(1, len(placed.targets))
    rows = max(LEAST_ROWS, BLOCK // items) if LEAST_ROWS * items <= ROW_NUMBERS else max(1, ROW_NUMBERS // items)
    for begin in range(0, len(queries), rows):
        chosen = queries[begin : begin + rows]
        yield Nearby(chosen, None, placed.keys(chosen))


def proposed(depth: int, itself: bool) -> int:
    """How many candidates are proposed for so many nearest; more, if the query itself is one."""
    return depth + depth // 8 + SPARE + int(itself)


def _by_distance(placed: Placed, depth: int, count: int) -> Callable[[np.ndarray], Proposals]:
    """Proposals are FAISS's nearest; a query is settled where its error bound says that none of the nearest is missing.

    All are seen from the middle, for there float32 errs least. The scale stays: numbers up to 2**26 are far from
    float32's ends.
    """
    import faiss

    middle = _middle(placed.targets)
    gallery = list(_float32(placed.targets, middle, count)) if placed.targets.holds else None

    def propose(chosen: np.ndarray) -> Proposals:
        exact = placed.sources[chosen] - middle
        sources, norms, longest = exact.astype(np.float32), _norms(exact), 0.0
        heap = faiss.ResultHeap(len(chosen), count)
        for begin, part, length in gallery or _float32(placed.targets, middle, count):
            distances, items = faiss.knn(sources, part, min(count, len(part)))
            heap.add_result(distances, items + begin)
            longest = max(longest, length)
        heap.finalize()
        items = np.sort(heap.I, axis=1)
        keys = _keys(placed, chosen, items)
        at_depth = placed.squared(chosen, np.partition(keys, depth - 1, axis=1)[:, depth - 1])
        return items, keys, at_depth < heap.D[:, -1] - float32_error(sources.shape[1], norms, longest)

    return propose


def _by_index(placed: Placed, depth: int, count: int, index: Index) -> Callable[[np.ndarray], Proposals]:
    """Proposals are the index's; a query is settled where it has `depth` of them, and another that is farther."""

    def propose(chosen: np.ndarray) -> Proposals:
        items = np.sort(index.propose(placed.sources.vectors[chosen], count), axis=1)
        keys = _keys(placed, chosen, items)
        keys[items < 0] = np.inf
        at_depth = np.partition(keys, depth - 1, axis=1)[:, depth - 1]
        farthest = np.where(np.isfinite(keys), keys, -np.inf).max(axis=1)
        return items, keys, at_depth < farthest

    return propose


def float32_error(dimensions: int, norms: np.ndarray, longest: float) -> np.ndarray:
    """By how much FAISS's squared distances of vectors so long to others at most `longest` can err, float64 `[q]`."""
    roundings = (dimensions + 8) * 2.0**-24
    return roundings / (1 - roundings) * (norms + longest) ** 2


def _keys(placed: Placed, queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    """As `Placed.keys`, but a few rows at a time, for the items' vectors are gathered."""
    rows = max(1, BLOCK // (items.shape[1] * placed.targets.vectors.shape[1]))
    blocks = (slice(begin, begin + rows) for begin in range(0, len(queries), rows))
    return np.concatenate([placed.keys(queries[block], items[block]) for block in blocks])


def _middle(vectors: OnGrid) -> np.ndarray:
    total = np.zeros(vectors.vectors.shape[1])
    for _, points in vectors.blocks():
        total += points.sum(axis=0)
    return np.rint(total / len(vectors))


def _float32(vectors: OnGrid, middle: np.ndarray, at_least: int) -> Iterator[tuple[int, np.ndarray, float]]:
    """Vectors seen from the middle, at least so many at once: the first row, float32 `[rows, D]`, the largest norm."""
    rows = max(at_least, FAISS_NUMBERS // max(1, len(middle)))
    for begin in range(0, len(vectors), rows):
        seen, longest = np.empty((min(rows, len(vectors) - begin), len(middle)), np.float32), 0.0
        for first in range(0, len(seen), FAISS_QUERIES):
            part = seen[first : first + FAISS_QUERIES]
            exact = vectors[begin + first : begin + first + len(part)] - middle
            part[...] = exact
            longest = max(longest, float(_norms(exact).max()))
        yield begin, seen, longest


def _norms(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
