"""Images that are read when they are asked for: what arrays and folders have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Images(Protocol):
    """What the stage needs of images: an array has it, and so has what is larger than memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, H, W, C)`."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
        """Images of these rows (int64 `[n]`): uint8 `[n, H, W, C]`."""
        ...


@dataclass(frozen=True)
class Chosen:
    """Some rows of images, none of which is read before it is asked for.

    >>> images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    >>> Chosen(images, np.array([3, 1]))[np.array([0])].ravel().tolist()
    [3]
    """

    images: Images
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, H, W, C)`."""
        return (len(self.rows), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
        return self.images[self.rows[rows]]


@dataclass(frozen=True)
class Changed:
    """Images that go through `change` when they are read; each must come out as `[height, width, channels]`."""

    images: Images
    one: tuple[int, int, int]
    change: Callable[[np.ndarray], np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, H, W, C)`."""
        return (len(self.images), *self.one)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
        return self.change(self.images[rows])
