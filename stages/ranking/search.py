"""Who can be among the nearest: FAISS proposes in float32, exact integers decide.

FAISS computes squared distances of its candidates in float32, whose unit roundoff is u = 2**-24. Its error has a bound
that holds for any order of the sums, with and without fused multiplication. Let γ(n) = n·u / (1 - n·u) (Higham 2002,
lemma 3.1). The inputs are rounded to float32 (1 + u each), a product of D terms errs by at most γ(D)·Σ|aᵢ·bᵢ|, and
|a|² + |b|² - 2·a·b takes two more roundings; as Σ|aᵢ·bᵢ| ≤ |a|·|b|, all of it errs by at most γ(D + 4)·(|a| + |b|)²,
and the sum of squared differences by less. So an item that FAISS left out is no nearer than FAISS's last distance less
this bound (taken with the gallery's longest |b|, and with D + 8 for the roundings made here). Where that is farther
than the query's neighbour at the depth, which is exact, none of the nearest is missing and the query is settled; all
others are compared with the whole gallery.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from stages.ranking.placed import Placed

BLOCK = 2**22  # numbers held at once
LEAST_ROWS = 64  # but of so many queries: with fewer, their product with a large gallery only waits for memory
FAISS_QUERIES = 4096  # of a call: FAISS multiplies so many at once
SPARE = 16  # candidates beyond the depth and an eighth of it: their distance must exceed the depth's by FAISS's error
FEW_ITEMS = 2**13  # up to here a block of exact keys stays in the cache, and FAISS would save nothing
DEEP = 96  # candidates that are more than one item in so many take FAISS longer to select than exact keys take in all


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


def search(placed: Placed, queries: np.ndarray, depth: int) -> Iterator[Nearby]:
    """Find who can be among the nearest, block by block; each query comes once, in any order.

    Args:
        placed: queries and gallery.
        queries: int64 `[Q]`, rows of `placed.sources`.
        depth: from 1 to `placed.candidates`.
    """
    proposed = depth + depth // 8 + SPARE + int(placed.itself)
    if len(placed.targets) <= FEW_ITEMS or proposed * DEEP > len(placed.targets):
        yield from whole(placed, queries)
        return
    unsettled = yield from _proposed(placed, queries, depth, proposed)
    yield from whole(placed, unsettled)


def whole(placed: Placed, queries: np.ndarray) -> Iterator[Nearby]:
    """The whole gallery for each query, block by block."""
    rows = max(LEAST_ROWS, BLOCK // max(1, len(placed.targets)))
    for begin in range(0, len(queries), rows):
        chosen = queries[begin : begin + rows]
        yield Nearby(chosen, None, placed.keys(chosen))


def _proposed(placed: Placed, queries: np.ndarray, depth: int, count: int) -> Generator[Nearby, None, np.ndarray]:
    """The settled queries among FAISS's `count` candidates; returns the others."""
    import faiss

    # Around the middle, for there float32 errs least. The scale stays: numbers up to 2**26 are far from float32's ends.
    middle = np.rint(placed.targets.mean(axis=0))
    gallery, lengths = _float32(placed.targets, middle)
    rows = min(FAISS_QUERIES, max(LEAST_ROWS, BLOCK // count))
    unsettled = [queries[:0]]
    for begin in range(0, len(queries), rows):
        chosen = queries[begin : begin + rows]
        sources, norms = _float32(placed.sources[chosen], middle)
        distances, items = faiss.knn(sources, gallery, count)
        items.sort(axis=1)
        keys = _keys(placed, chosen, items)
        at_depth = placed.squared(chosen, np.partition(keys, depth - 1, axis=1)[:, depth - 1])
        settled = at_depth < distances[:, -1] - float32_error(sources.shape[1], norms, lengths.max())
        unsettled.append(chosen[~settled])
        if settled.any():
            yield Nearby(chosen[settled], items[settled], keys[settled])
    return np.concatenate(unsettled)


def float32_error(dimensions: int, norms: np.ndarray, longest: float) -> np.ndarray:
    """By how much FAISS's squared distances of vectors so long to others at most `longest` can err, float64 `[q]`."""
    roundings = (dimensions + 8) * 2.0**-24
    return roundings / (1 - roundings) * (norms + longest) ** 2


def _keys(placed: Placed, queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    """As `Placed.keys`, but a few rows at a time, for the items' vectors are gathered."""
    rows = max(1, BLOCK // (items.shape[1] * placed.targets.shape[1]))
    blocks = (slice(begin, begin + rows) for begin in range(0, len(queries), rows))
    return np.concatenate([placed.keys(queries[block], items[block]) for block in blocks])


def _float32(vectors: np.ndarray, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors seen from the middle, and their norms."""
    seen, norms = np.empty(vectors.shape, np.float32), np.empty(len(vectors))
    for rows in (slice(begin, begin + FAISS_QUERIES) for begin in range(0, len(vectors), FAISS_QUERIES)):
        exact = vectors[rows] - middle
        seen[rows], norms[rows] = exact, np.sqrt(np.einsum("ij,ij->i", exact, exact))
    return seen, norms
