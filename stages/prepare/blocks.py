"""Writes arrays of images a block at a time: memory holds one block, however many images there are."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stages.prepare.images import Images

_BYTES = 32 << 20  # of a block, at most
_ROWS = 1024  # of a block, at most


def save(path: Path, images: Images, progress: "tqdm[Any]") -> None:
    """Write images as `.npy`, byte for byte as `np.save` would.

    Written in order and not through a memory map, whose written pages would stay in memory.

    Args:
        path: the file, overwritten.
        images: uint8 `[N, H, W, C]`.
        progress: updated by the number of images.
    """
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": images.shape})
        for block in blocks(len(images), math.prod(images.shape[1:])):
            file.write(np.ascontiguousarray(images[block], np.uint8).data)
            progress.update(len(block))


def blocks(count: int, size: int) -> Iterator[np.ndarray]:
    """The rows of `count` images in pieces which, at `size` bytes an image, fit into a block; none is empty.

    >>> [len(block) for block in blocks(2500, size=784)]
    [1024, 1024, 452]
    >>> [len(block) for block in blocks(3, size=1 << 30)]
    [1, 1, 1]
    """
    rows = max(1, min(_ROWS, _BYTES // size))
    for start in range(0, count, rows):
        yield np.arange(start, min(start + rows, count))
