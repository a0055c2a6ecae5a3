"""Writes the four-file MNIST layout: images and labels of training and test as gzipped CSV."""

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from stages import store

_ROWS = 10_000  # turned into columns at a time


def write(folder: str | Path, parts: Mapping[str, tuple[np.ndarray, Sequence[str]]]) -> list[Path]:
    """Write `<part>_images_mnist.csv.gz` and `<part>_labels_mnist.csv.gz` for each part.

    The files appear together at the end, when all are complete. The first rows are `0x0`, `0x1`, … (row x column) and
    `label`. No date stands in the files.

    Args:
        folder: where to; made if it does not exist.
        parts: by name (`train`, `test`) images uint8 `[N, H, W, 1]` and N labels.

    Returns:
        The files.
    """
    files = [Path(folder) / name for name in names(parts)]
    with ExitStack() as replacing:
        temporary = iter([replacing.enter_context(store.replacing(file)) for file in files])
        for images, labels in parts.values():
            _write_images(next(temporary), images)
            _write_labels(next(temporary), labels)
    return files


def names(parts: Iterable[str]) -> list[str]:
    """The names of the files: images and labels of every part.

    >>> names(["test"])
    ['test_images_mnist.csv.gz', 'test_labels_mnist.csv.gz']
    """
    return [f"{part}_{content}_mnist.csv.gz" for part in parts for content in ("images", "labels")]


def _write_images(path: Path, images: np.ndarray) -> None:
    _, height, width, _ = images.shape
    header = [f"{row}x{column}" for row in range(height) for column in range(width)]
    options = pyarrow.csv.WriteOptions(include_header=False)
    with _compressed(path) as file:
        file.write(",".join(header).encode() + b"\n")
        for start in range(0, len(images), _ROWS):
            columns = np.ascontiguousarray(images[start : start + _ROWS].reshape(-1, height * width).T)
            pyarrow.csv.write_csv(pa.table(list(map(pa.array, columns)), names=header), file, options)


def _write_labels(path: Path, labels: Sequence[str]) -> None:
    with _compressed(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        csv.writer(text, lineterminator="\n").writerows([["label"], *([label] for label in labels)])


@contextmanager
def _compressed(path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        yield file  # type: ignore[misc]
