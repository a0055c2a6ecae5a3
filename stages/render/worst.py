"""The worst of an embedding, by Euclidean distance: queries with wrong neighbours, hard positives, hard negatives.

Each item is a query among all others. Ties count against it: at one distance, an item of another class is nearer.
"""

from dataclasses import dataclass

import numpy as np

from stages.render.extremes import Cloud, Extremes, cloud_of, extremes_of

NEIGHBOURS = 5
BLOCK = 2**20  # distances looked at again at once


@dataclass(frozen=True)
class Neighbour:
    """Another item, as seen from a query: its row, and its Euclidean distance."""

    row: int
    distance: float


@dataclass(frozen=True)
class Query:
    """An item and what lies around it.

    Attributes:
        row: of the item.
        nearest: at most `NEIGHBOURS` others, nearest first.
        positive: the nearest other of its class.
        rank: of that one among all others; 1 is the nearest.
        negative: the nearest item of another class.
        negative_rank: of that one.
    """

    row: int
    nearest: list[Neighbour]
    positive: Neighbour
    rank: int
    negative: Neighbour
    negative_rank: int


@dataclass(frozen=True)
class Pair:
    """Two items, the one of the lower class first, then of the lower row, and their Euclidean distance."""

    rows: tuple[int, int]
    distance: float


@dataclass(frozen=True)
class Worst:
    """What is worst, the worst of it first; equally bad ones in the order of class and row.

    Attributes:
        queries: by how much farther the nearest of the own class is than the nearest of another one.
        positives: pairs of one class that lie farthest apart; no item is in two of them.
        negatives: pairs of two classes that lie nearest; no item is in two of them.
        judged: how many items have others of their class and others of another one, so that they can be right or wrong.
        wrong: of how many of these another class is at least as near as their own.
    """

    queries: list[Query]
    positives: list[Pair]
    negatives: list[Pair]
    judged: int
    wrong: int


def find(embeddings: np.ndarray, labels: np.ndarray, count: int, workers: int = 1) -> Worst:
    """Find the worst queries and pairs among all, exactly. Time grows with N²·D, memory with N·D.

    Args:
        embeddings: float `[N, D]`, finite.
        labels: int `[N]`.
        count: how many of each are wanted; fewer are found where there are fewer.
        workers: how many threads look; the result does not depend on it.

    >>> found = find(np.array([[0.0], [1.0], [3.0], [7.0]]), np.array([0, 0, 1, 1]), count=1)
    >>> found.queries[0].row, [other.row for other in found.queries[0].nearest], found.queries[0].rank
    (2, [1, 0, 3], 3)
    >>> found.positives, found.negatives, found.wrong, found.judged
    ([Pair(rows=(2, 3), distance=4.0)], [Pair(rows=(1, 2), distance=2.0)], 1, 4)
    """
    if not len(labels):
        return Worst([], [], [], 0, 0)
    cloud = cloud_of(embeddings, labels)
    extremes = extremes_of(cloud, workers)
    judged = np.flatnonzero(np.isfinite(extremes.nearest_same) & np.isfinite(extremes.nearest_other))
    positives = _disjoint_pairs(cloud, extremes.farthest_same, count, same=True)
    negatives = _disjoint_pairs(cloud, extremes.nearest_other, count, same=False)
    return Worst(
        queries=[_query(cloud, point, embeddings) for point in _worst_margins(extremes, judged)[:count].tolist()],
        positives=[_pair(cloud, points, embeddings) for points in positives],
        negatives=[_pair(cloud, points, embeddings) for points in negatives],
        judged=len(judged),
        wrong=int((extremes.nearest_other <= extremes.nearest_same)[judged].sum()),
    )


def _worst_margins(extremes: Extremes, judged: np.ndarray) -> np.ndarray:
    margins = np.sqrt(extremes.nearest_same[judged]) - np.sqrt(extremes.nearest_other[judged])
    return judged[np.argsort(-margins, kind="stable")]


def _query(cloud: Cloud, point: int, embeddings: np.ndarray) -> Query:
    squared = cloud.squared(slice(point, point + 1), slice(0, len(cloud.rows)))[0]
    squared[point] = np.inf
    same = cloud.codes == cloud.codes[point]
    others = np.lexsort([cloud.rows, same, squared])[:-1]
    positive, negative = int(same[others].argmax()), int(same[others].argmin())
    row = int(cloud.rows[point])

    def neighbour(other: int) -> Neighbour:
        return Neighbour(int(cloud.rows[other]), _distance(embeddings, row, int(cloud.rows[other])))

    return Query(
        row,
        [neighbour(other) for other in others[:NEIGHBOURS]],
        neighbour(others[positive]),
        positive + 1,
        neighbour(others[negative]),
        negative + 1,
    )


def _disjoint_pairs(cloud: Cloud, lowest: np.ndarray, count: int, *, same: bool) -> list[tuple[int, int]]:
    """Take the hardest pair, leave its two points out, and so on.

    Each point's extreme among all bounds its extreme among those that are left. So only the point whose bound comes
    first has to be looked at again, and this only if it does not know its partner or has lost it.

    Args:
        cloud: the points.
        lowest: float64 `[N]`, each point's bound; infinity where it has no partner.
        count: how many pairs to take.
        same: pair within classes, the farthest first; else across classes, the nearest first.
    """
    bounds, partners = lowest.copy(), np.full(len(lowest), -1)
    pairs: list[tuple[int, int]] = []
    taken = np.zeros(len(lowest), bool)
    while len(pairs) < count and np.isfinite(bounds.min()):
        first = int(bounds.argmin())
        if partners[first] < 0:
            chosen = _next_of_its_class(cloud, first, bounds, partners, same=same)
            bounds[chosen], partners[chosen] = _partners(cloud, chosen, taken, same=same)
            continue
        pair = (first, int(partners[first]))
        pairs.append(pair)
        taken[list(pair)] = True
        bounds[list(pair)] = np.inf
        partners[np.isin(partners, pair)] = -1
    return pairs


def _next_of_its_class(cloud: Cloud, first: int, bounds: np.ndarray, partners: np.ndarray, *, same: bool) -> np.ndarray:
    """The point and, to look at many at once, those of its class without a partner that will come up next."""
    members = cloud.members(first)
    columns = members.stop - members.start if same else len(cloud.rows)
    waiting = members.start + np.flatnonzero((partners[members] < 0) & np.isfinite(bounds[members]))
    return waiting[np.argsort(bounds[waiting], kind="stable")][: max(1, BLOCK // columns)]


def _partners(cloud: Cloud, chosen: np.ndarray, taken: np.ndarray, *, same: bool) -> tuple[np.ndarray, np.ndarray]:
    """Of points of one class: the bound and the partner among those not taken; infinity where none is left."""
    members = cloud.members(int(chosen[0]))
    columns = members if same else slice(0, len(cloud.rows))
    keys = cloud.squared(chosen, columns)
    if same:
        np.negative(keys, out=keys)
        keys[np.arange(len(chosen)), chosen - members.start] = np.inf  # no point is its own partner
    else:
        keys[:, members] = np.inf
    keys[:, taken[columns]] = np.inf
    found = keys.argmin(axis=1)
    return keys[np.arange(len(chosen)), found], found + columns.start


def _pair(cloud: Cloud, points: tuple[int, int], embeddings: np.ndarray) -> Pair:
    left, right = (int(cloud.rows[point]) for point in points)
    return Pair((left, right), _distance(embeddings, left, right))


def _distance(embeddings: np.ndarray, left: int, right: int) -> float:
    """From differences in float64, free of the grid's rounding."""
    return float(np.linalg.norm(embeddings[left].astype(np.float64) - embeddings[right].astype(np.float64)))
