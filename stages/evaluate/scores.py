"""The distances of an embedding's pairs, same and different ones apart, in ascending order: all that a ROC needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stages.evaluate.metric import Metric
from stages.evaluate.pairs import by_class, natural


class Weighed(Protocol):
    """Pairs in ascending order of distance, and what they weigh."""

    @property
    def same(self) -> np.ndarray:
        """Distances of the same pairs, float32 `[S]`, ascending."""

    @property
    def different(self) -> np.ndarray:
        """Distances of the different pairs, float32 `[D]`, ascending."""

    @property
    def same_upto(self) -> Sequence[int] | np.ndarray:
        """What the nearest n same pairs weigh together, n = 0 .. S: int `[S + 1]`."""

    @property
    def different_upto(self) -> Sequence[int] | np.ndarray:
        """What the nearest n different pairs weigh together, n = 0 .. D: int `[D + 1]`."""


@dataclass(frozen=True)
class Scores:
    """Distances of pairs, each of which weighs one, in float32: two that differ by less than one part in 2**24 may tie.

    Rounding keeps ties and never turns an order around, and embeddings in float32 hold no more. What it joins are the
    pairs within one step of float32 of a threshold, one in some millions, so it moves FAR and VAL by about 1e-7.

    Attributes:
        same: float32 `[S]`, ascending, of pairs with equal labels.
        different: float32 `[D]`, ascending.
        available: how many pairs there were to choose from; more than S + D where they were sampled.
    """

    same: np.ndarray
    different: np.ndarray
    available: int

    @property
    def same_upto(self) -> Sequence[int] | np.ndarray:
        """See `Weighed`: n, for each pair weighs one."""
        return range(len(self.same) + 1)

    @property
    def different_upto(self) -> Sequence[int] | np.ndarray:
        """See `Weighed`."""
        return range(len(self.different) + 1)


def natural_scores(metric: Metric, labels: np.ndarray, all_up_to: int, sampled: int, seed: int) -> Scores:
    """Scores of all pairs of items, or of a seeded sample of them: mostly different, as in use.

    Args:
        metric: of N items.
        labels: int `[N]`.
        all_up_to: the largest number of pairs that are all taken; they need about 5 bytes each.
        sampled: how many are drawn where there are more.
        seed: of the sample.
    """
    available = len(labels) * (len(labels) - 1) // 2
    same, different = _all(metric, labels) if available <= all_up_to else _sample(metric, labels, sampled, seed)
    same.sort()
    different.sort()
    return Scores(same, different, available)


def histogram(scores: Scores, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many same and how many different pairs lie in each bin, as `np.histogram` counts: int64 `[B]` each.

    Args:
        scores: of some pairs.
        edges: float `[B + 1]`, ascending; a bin holds its lower edge, and the last one its upper edge too.

    >>> histogram(Scores(np.float32([0, 1, 1]), np.float32([2, 9]), 5), np.array([0.0, 1.0, 2.0]))
    (array([1, 2]), array([0, 1]))
    """
    return _counted(scores.same, edges), _counted(scores.different, edges)


def _all(metric: Metric, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Classes side by side: then in each row the same pairs stand in one piece, and after them the different ones.
    order, ends = by_class(np.arange(len(labels)), labels)
    total = int((ends - np.arange(len(labels)) - 1).sum())
    same = np.empty(total, np.float32)
    different = np.empty(len(labels) * (len(labels) - 1) // 2 - total, np.float32)
    same_end = different_end = 0
    for begin, block in metric.blocks(order):
        for row, distances in enumerate(block):
            end = ends[begin + row] - begin
            near, far = distances[row + 1 : end], distances[end:]
            same[same_end : same_end + len(near)] = near
            different[different_end : different_end + len(far)] = far
            same_end += len(near)
            different_end += len(far)
    return same, different


def _sample(metric: Metric, labels: np.ndarray, sampled: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = natural(labels, sampled, seed)
    distances = metric.of_pairs(chosen.left, chosen.right).astype(np.float32)
    return distances[chosen.same], distances[~chosen.same]


def _counted(distances: np.ndarray, edges: np.ndarray) -> np.ndarray:
    # An edge is rounded up to float32, for else all distances would be converted to float64. A distance is below the
    # edge just if it is below the rounded one; at most the last edge, if it is at most that rounded down.
    nearest = edges.astype(np.float32)
    upwards = np.where(nearest < edges, np.nextafter(nearest, np.float32(np.inf)), nearest)
    before = np.searchsorted(distances, upwards, side="left")
    downwards = np.where(nearest > edges, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    before[-1] = np.searchsorted(distances, downwards[-1], side="right")
    return np.diff(before)
