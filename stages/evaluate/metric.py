"""What tells the two items of a pair apart: the Euclidean distance, or the loss's head."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from stages import grid

BLOCK = 2**20  # distances held at once
COORDINATES = 2**18  # of pairs held at once: more leave the processor's cache


class Metric(Protocol):
    """How far apart items are: the larger, the less alike. Of any sign, and the same for (i, j) and (j, i)."""

    def of_pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Distance of each pair of items, float64 `[P]`, from differences of coordinates: no cancellation.

        Args:
            left: int `[P]`, indices of items.
            right: int `[P]`, indices of items.
        """

    def blocks(self, order: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """All pairs of items, a block at a time: float64 results rounded to float32, which keeps ties and order.

        Args:
            order: int `[N]`, a permutation of the items.

        Yields:
            begin, and float32 `[rows, N - begin]`: row r and column c tell `order[begin + r]` from `order[begin + c]`.
            Pairs with c <= r are there too, and are of no use. The array is overwritten by the next block.
        """


class Euclidean:
    """Euclidean distance, divided by `scale`.

    Over all pairs it goes by exact integers (see `stages.grid`): equal rows are at distance 0, ties stay ties, and
    nothing depends on BLAS or on the blocks.

    Args:
        embeddings: `[N, D]`, finite numbers of any type.
        scale: what distances are divided by: 255 for pixels that stand for 0 to 1.

    Raises:
        ValueError: an embedding is not finite.
    """

    def __init__(self, embeddings: np.ndarray, scale: float = 1.0) -> None:
        self._embeddings = embeddings
        self._scale = scale
        self._exponent = grid.NORM_BITS - grid.norm_exponent(embeddings)

    def of_pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Metric.of_pairs`; exactly 0 for equal rows."""
        result = np.empty(len(left))
        for block, rows in _differences(self._embeddings, left, right):
            result[block] = np.einsum("ij,ij->i", rows, rows)
        return np.sqrt(result, out=result) / self._scale

    def blocks(self, order: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """See `Metric.blocks`."""
        points = grid.on_grid(self._embeddings[order], self._exponent)
        squared = np.einsum("ij,ij->i", points, points)
        unit = np.ldexp(self._scale, self._exponent)
        for begin, rows, rounded in _rows(len(order)):
            exact = (-2 * points[begin : begin + rows]) @ points[begin:].T
            exact += squared[begin:]
            exact += squared[begin : begin + rows, None]
            np.sqrt(exact, out=exact)
            yield begin, np.divide(exact, unit, out=rounded, casting="same_kind")


class Head:
    """How far apart the siamese head says items are: its logit of being the same, negated.

    -(w·|left - right| + b), of either sign.

    Args:
        embeddings: float `[N, D]`, finite.
        weights: float `[D + 1]`, w then b.

    Raises:
        ValueError: an embedding is not finite.
    """

    def __init__(self, embeddings: np.ndarray, weights: np.ndarray) -> None:
        if not np.isfinite(embeddings).all():
            raise ValueError("embeddings must be finite. Received: NaN or infinity")
        self._embeddings = embeddings
        self._weights = weights[:-1].astype(np.float64)
        self._bias = float(weights[-1])

    def of_pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `Metric.of_pairs`; exactly -b for equal rows."""
        result = np.empty(len(left))
        for block, rows in _differences(self._embeddings, left, right):
            result[block] = -np.einsum("ij,j->i", np.abs(rows, out=rows), self._weights) - self._bias
        return result

    def blocks(self, order: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """See `Metric.blocks`. w·|a - b| is a city-block distance of w·a and w·b, less another where w is negative."""
        from sklearn.metrics.pairwise import manhattan_distances

        points = self._embeddings[order] * self._weights
        parts = [(np.ascontiguousarray(points[:, w > 0]), s) for w, s in ((self._weights, -1), (-self._weights, 1))]
        for begin, rows, rounded in _rows(len(order)):
            exact = np.full(rounded.shape, -self._bias)
            for part, sign in parts:
                if part.shape[1]:
                    exact += sign * manhattan_distances(part[begin : begin + rows], part[begin:])
            np.copyto(rounded, exact, casting="same_kind")
            yield begin, rounded


def _differences(embeddings: np.ndarray, left: np.ndarray, right: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Left minus right, float64 `[rows, D]`, a block of pairs at a time."""
    rows = max(1, COORDINATES // max(embeddings.shape[1], 1))
    for begin in range(0, len(left), rows):
        block = slice(begin, begin + rows)
        yield block, np.subtract(embeddings[left[block]], embeddings[right[block]], dtype=np.float64)


def _rows(items: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """For each block of rows: the first, how many, and where float32 `[rows, items - first]` may stand."""
    held = np.empty(max(BLOCK, items), np.float32)
    begin = 0
    while begin < items:
        # Fewer columns remain for later rows, so more of these fit.
        rows = min(max(1, BLOCK // (items - begin)), items - begin)
        yield begin, rows, held[: rows * (items - begin)].reshape(rows, items - begin)
        begin += rows
