"""How near and how far the others of each point are, those of its class and those of other classes, exactly.

Coordinates are rounded to the grid of `stages.grid`, on which squared distances are exact integers in float64: equal
points are at distance 0 of each other, ties are ties, and neither the tiles nor the BLAS library can change a choice.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from stages import grid, progress

TILE = 1024  # points a side, of the distances held at once by a worker: 8 MiB
MOST_WORKERS = 8


@dataclass(frozen=True)
class Cloud:
    """Points class by class, in each class in the order of their rows.

    Attributes:
        rows: int64 `[N]`, the row that each point has outside.
        starts: int64 `[classes + 1]`, where each class begins among the points; at last N.
        codes: int64 `[N]`, the class of each point, as an index into `starts`.
        factors: float64 `[N, D + 2]`, grid coordinates b, 1 and |b|²: with (-2a, |a|², 1) their product is |a - b|².
    """

    rows: np.ndarray
    starts: np.ndarray
    codes: np.ndarray
    factors: np.ndarray

    def squared(self, chosen: np.ndarray | slice, columns: slice) -> np.ndarray:
        """Squared distances on the grid, float64 `[len(chosen), len(columns)]`."""
        left = self.factors[chosen]
        mirrored = np.column_stack([-2 * left[:, :-2], left[:, -1], left[:, -2]])
        return mirrored @ self.factors[columns].T

    def members(self, point: int) -> slice:
        """The points of the class of one of them."""
        code = self.codes[point]
        return slice(int(self.starts[code]), int(self.starts[code + 1]))


@dataclass(frozen=True)
class Extremes:
    """Of each point of a cloud, float64 `[N]`, squared and on the grid; infinity where there is no such other.

    Attributes:
        nearest_same: distance of the nearest other of its class.
        farthest_same: minus the distance of the farthest other of its class, so that the hardest is the least here too.
        nearest_other: distance of the nearest of another class.
    """

    nearest_same: np.ndarray
    farthest_same: np.ndarray
    nearest_other: np.ndarray


def cloud_of(embeddings: np.ndarray, labels: np.ndarray) -> Cloud:
    """Sort points by class.

    Args:
        embeddings: float `[N, D]`, finite; N is at least 1.
        labels: int `[N]`.
    """
    rows = np.argsort(labels, kind="stable")
    _, codes, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
    factors = np.ones((len(rows), embeddings.shape[1] + 2))
    factors[:, :-2] = grid.on_grid(embeddings, grid.NORM_BITS - grid.norm_exponent(embeddings))[rows]
    factors[:, -1] = np.einsum("ij,ij->i", factors[:, :-2], factors[:, :-2])
    return Cloud(rows, np.concatenate([[0], np.cumsum(counts)]), codes, factors)


def extremes_of(cloud: Cloud, workers: int = 1) -> Extremes:
    """Look at all pairs, tile by tile, each pair once; with several workers, at most `MOST_WORKERS`, many at a time."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    points = len(cloud.rows)
    found = _nothing(points)
    strips = [slice(begin, min(begin + TILE, points)) for begin in range(0, points, TILE)]
    # A tile is too little work for several BLAS threads, which would wait for each other: each worker has one.
    with (
        threadpool_limits(1),
        ThreadPoolExecutor(min(MOST_WORKERS, workers)) as pool,
        progress.bar("gallery: all pairs", len(strips) * (len(strips) + 1) // 2, "tiles") as shown,
    ):
        for strip, seen in enumerate(pool.map(partial(_strip, cloud, strips), range(len(strips)))):
            for lowest, candidate in zip(vars(found).values(), vars(seen).values(), strict=True):
                np.minimum(lowest, candidate, out=lowest)
            shown.update(len(strips) - strip)
    return found


def _strip(cloud: Cloud, strips: list[slice], strip: int) -> Extremes:
    """What the tiles right of the diagonal show, whose rows are one strip."""
    found = _nothing(len(cloud.rows))
    rows = strips[strip]
    for columns in strips[strip:]:
        _look_at(cloud.squared(rows, columns), rows, columns, cloud, found)
    return found


def _nothing(points: int) -> Extremes:
    return Extremes(*(np.full(points, np.inf) for _ in range(3)))


def _look_at(tile: np.ndarray, rows: slice, columns: slice, cloud: Cloud, found: Extremes) -> None:
    for down, across in _same_class(rows, columns, cloud):
        same = tile[_inside(down, rows), _inside(across, columns)]
        if rows != columns or len(same) > 1:  # else a point alone, of which the tile knows no other
            _lower(found.farthest_same, -same, down, across)
        if rows == columns:
            np.fill_diagonal(same, np.inf)  # a point is not its own neighbour
        _lower(found.nearest_same, same, down, across)
        same[:] = np.inf
    _lower(found.nearest_other, tile, rows, columns)


def _same_class(rows: slice, columns: slice, cloud: Cloud) -> Iterator[tuple[slice, slice]]:
    """For each class that has points in both: those in `rows` and those in `columns`, which begin no earlier."""
    for code in range(cloud.codes[columns.start], cloud.codes[rows.stop - 1] + 1):
        begin, end = int(cloud.starts[code]), int(cloud.starts[code + 1])
        yield (
            slice(max(begin, rows.start), min(end, rows.stop)),
            slice(max(begin, columns.start), min(end, columns.stop)),
        )


def _inside(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _lower(lowest: np.ndarray, tile: np.ndarray, down: slice, across: slice) -> None:
    np.minimum(lowest[down], tile.min(axis=1), out=lowest[down])
    np.minimum(lowest[across], tile.min(axis=0), out=lowest[across])
