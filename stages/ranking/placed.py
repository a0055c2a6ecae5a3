"""Queries and gallery on one grid, where their distances are exact integers (see `stages.grid`).

So neither the block size nor the BLAS library, its threads or the machine can change a rank. A gallery too large to be
held on the grid is put there a block at a time, from where it lies: perhaps a file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stages import grid

HELD = 2**26  # numbers that are held on the grid, in float64: 0.5 GB
BLOCK = 2**20  # numbers of a block: they stay in the processor's cache


@dataclass(frozen=True)
class OnGrid:
    """Vectors in steps of a grid.

    Attributes:
        vectors: `[N, D]`, as they were given.
        exponent: a step is 2**-exponent.
    """

    vectors: np.ndarray
    exponent: int

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Whole numbers, float64: the shape of `rows`, and D."""
        return self.vectors_held[rows] if self.holds else grid.on_grid(self.vectors[rows], self.exponent)

    @property
    def holds(self) -> bool:
        """Whether all of them are held on the grid."""
        return self.vectors.size <= HELD

    @cached_property
    def vectors_held(self) -> np.ndarray:
        """All of them: for as many as `holds` allows."""
        return grid.on_grid(self.vectors, self.exponent)

    @property
    def block(self) -> int:
        """Rows of a block."""
        return max(1, BLOCK // max(1, self.vectors.shape[1]))

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All of them in order, a block at a time: which, and their coordinates."""
        rows = self.block
        for begin in range(0, len(self), rows):
            part = slice(begin, min(begin + rows, len(self)))
            yield part, self[part]


@dataclass(frozen=True)
class Placed:
    """Queries and gallery, in steps of their grid.

    Attributes:
        sources: `[Q, D]`, the queries.
        targets: `[N, D]`, the gallery; the same where the queries are the gallery.
        twice_squared: float64 `[N]`, 2·|b|² of the gallery.
        itself: whether the queries are the gallery, in which none is its own neighbour.
    """

    sources: OnGrid
    targets: OnGrid
    twice_squared: np.ndarray
    itself: bool

    @property
    def exponent(self) -> int:
        """A step is 2**-exponent."""
        return self.targets.exponent

    @property
    def candidates(self) -> int:
        """How many others each query is compared with."""
        return len(self.targets) - int(self.itself)

    def keys(self, queries: np.ndarray, items: np.ndarray | None = None) -> np.ndarray:
        """What orders the gallery around each query: 2·(|b|² - 2·a·b), even integers; infinity for the query itself.

        |a|² is left out, for it moves no rank, and the doubling leaves the lowest bit free.

        Args:
            queries: int `[q]`, rows of `sources`.
            items: int `[q, m]`, rows of `targets` for each query; None: all of them.

        Returns:
            float64 `[q, m]`.
        """
        if items is None:
            if self.targets.holds:
                return self._keys_of(queries, slice(0, len(self.targets)), self.targets[:])
            keys = np.empty((len(queries), len(self.targets)))
            for part, block in self.key_blocks(queries):
                keys[:, part] = block
            return keys
        keys = (self.targets[items] @ (-4 * self.sources[queries])[:, :, None])[:, :, 0]
        keys += self.twice_squared[items]
        if self.itself:
            keys[items == queries[:, None]] = np.inf
        return keys

    def key_blocks(self, queries: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """The keys of all items, a block of items at a time: which, and float64 `[q, items]`."""
        for part, points in self.targets.blocks():
            yield part, self._keys_of(queries, part, points)

    def _keys_of(self, queries: np.ndarray, part: slice, points: np.ndarray) -> np.ndarray:
        keys = (-4 * self.sources[queries]) @ points.T
        keys += self.twice_squared[part]
        if self.itself:
            rows = np.flatnonzero((queries >= part.start) & (queries < part.stop))
            keys[rows, queries[rows] - part.start] = np.inf
        return keys

    def squared(self, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Squared distances in steps², float64 and exact, of the keys `[q, …]` of `queries`."""
        rows = self.sources[queries]
        squared = np.einsum("ij,ij->i", rows, rows)
        return keys / 2 + squared.reshape(-1, *[1] * (keys.ndim - 1))


def place(queries: np.ndarray, gallery: np.ndarray | None = None) -> Placed:
    """Round vectors to the finest grid on which their distances are exact.

    Args:
        queries: `[Q, D]`, finite numbers of any scale that float32 can hold.
        gallery: `[N, D]`; None: the queries are the gallery.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    largest = grid.norm_exponent(queries)
    if gallery is not None:
        largest = max(largest, grid.norm_exponent(gallery))
    targets = OnGrid(queries if gallery is None else gallery, grid.NORM_BITS - largest)
    sources = targets if gallery is None else OnGrid(queries, targets.exponent)
    squared = np.empty(len(targets))
    for part, points in targets.blocks():
        squared[part] = np.einsum("ij,ij->i", points, points)
    return Placed(sources, targets, 2 * squared, gallery is None)
