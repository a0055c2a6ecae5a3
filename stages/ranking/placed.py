"""Queries and gallery on one grid, where their distances are exact integers (see `stages.grid`).

So neither the block size nor the BLAS library, its threads or the machine can change a rank.
"""

from dataclasses import dataclass

import numpy as np

from stages import grid


@dataclass(frozen=True)
class Placed:
    """Queries and gallery, in steps of their grid.

    Attributes:
        sources: float64 `[Q, D]`, the queries, whole numbers.
        targets: float64 `[N, D]`, the gallery, whole numbers; the same array where the queries are the gallery.
        twice_squared: float64 `[N]`, 2·|b|² of the gallery.
        exponent: a step is 2**-exponent.
        itself: whether the queries are the gallery, in which none is its own neighbour.
    """

    sources: np.ndarray
    targets: np.ndarray
    twice_squared: np.ndarray
    exponent: int
    itself: bool

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
        factors = -4 * self.sources[queries]
        if items is None:
            keys = factors @ self.targets.T
            keys += self.twice_squared
            if self.itself:
                keys[np.arange(len(queries)), queries] = np.inf
            return keys
        keys = (self.targets[items] @ factors[:, :, None])[:, :, 0]
        keys += self.twice_squared[items]
        if self.itself:
            keys[items == queries[:, None]] = np.inf
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
    others = queries if gallery is None else gallery
    exponent = grid.NORM_BITS - max(grid.norm_exponent(queries), grid.norm_exponent(others))
    targets = grid.on_grid(others, exponent)
    sources = targets if gallery is None else grid.on_grid(queries, exponent)
    return Placed(sources, targets, 2 * np.einsum("ij,ij->i", targets, targets), exponent, gallery is None)
