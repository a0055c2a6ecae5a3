"""MNIST-format CSV files: images and labels in four files, or a training and a test file that hold both."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.errors import UserError
from stages.prepare.labelled import Labelled
from stages.prepare.readers import csv_table
from stages.prepare.readers.csv_rows import line_of
from stages.prepare.readers.kinds import advice
from stages.prepare.readers.opening import check_ordinary

FOUR = ("train_images", "train_labels", "test_images", "test_labels")
_ENDINGS = (".csv", ".csv.gz")


def read(
    folder: str | Path, name: str, shape: Sequence[int] | None = None
) -> tuple[Labelled[np.ndarray], Labelled[np.ndarray]]:
    """Read the training and the test images of a folder.

    The four-file layout is `train_images*.csv[.gz]`, `train_labels*…`, `test_images*…`, `test_labels*…`; the two-file
    layout `*train*.csv[.gz]` and `*test*.csv[.gz]` with the label in the column of that name, else in the first.

    Args:
        folder: where the files are.
        name: of the data set, for the advice where files are missing.
        shape: `[H, W]` or `[H, W, C]`; by default square and grey.

    Raises:
        UserError: files that are missing, ambiguous or faulty, counts or sizes that do not go together.
    """
    folder = Path(folder)
    if any(_candidates(folder, f"{part}*") for part in FOUR):
        files = [_only(folder, f"{part}*", name) for part in FOUR]
        train, test = _read_pair(files[0], files[1], shape), _read_pair(files[2], files[3], shape)
    else:
        files = [_only(folder, pattern, name) for pattern in ("*train*", "*test*")]
        train, test = (_read_both(file, shape) for file in files)
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = [" × ".join(map(str, part.images.shape[1:])) for part in (train, test)]
        raise UserError(
            f"{folder / test.files[0]}: found images of {sizes[1]}, expected {sizes[0]} as in {train.files[0]}"
        )
    return train, test


def _candidates(folder: Path, pattern: str) -> list[Path]:
    named = (path for ending in _ENDINGS for path in folder.glob(pattern + ending))
    found = sorted(path for path in named if not path.name.startswith("."))
    return [path for path in found if path.is_file()] or found


def _only(folder: Path, pattern: str, name: str) -> Path:
    found = _candidates(folder, pattern)
    if len(found) == 1:
        check_ordinary(found[0])
        return found[0]
    if found:
        names = " and ".join(path.name for path in found)
        raise UserError(f"{folder}: found {names}, expected one file called {pattern}.csv or {pattern}.csv.gz")
    four = ", ".join(f"{part}*.csv[.gz]" for part in FOUR)
    hint = advice(folder, "csv") or (
        "; `make mnist` or `python -m stages.prepare.download mnist` fetches them"
        if name == "mnist"
        else "; put them there, or set data.path to the folder where they are"
    )
    raise UserError(
        f"{folder}: found no {pattern}.csv or {pattern}.csv.gz; expected {four}, "
        f"or *train*.csv[.gz] and *test*.csv[.gz] with labels and pixels{hint}"
    )


def _read_pair(images: Path, labels: Path, shape: Sequence[int] | None) -> Labelled[np.ndarray]:
    pixels, written = csv_table.read(images, "images"), csv_table.read(labels, "labels")
    if len(pixels.pixels) != len(written.codes):
        raise UserError(
            f"{labels}: found {len(written.codes)} labels, "
            f"expected {len(pixels.pixels)}, one for each image of {images.name}"
        )
    return _labelled(_as_images(pixels, shape), written, [images.name, labels.name])


def _read_both(path: Path, shape: Sequence[int] | None) -> Labelled[np.ndarray]:
    table = csv_table.read(path, "both")
    return _labelled(_as_images(table, shape), table, [path.name])


def _as_images(table: csv_table.Table, shape: Sequence[int] | None) -> np.ndarray:
    rows, columns = table.pixels.shape
    if shape is None:
        side = math.isqrt(columns)
        if side * side != columns:
            raise UserError(
                f"{table.layout.path}: found {columns} columns of pixels, "
                "expected a square number of them, or data.shape"
            )
        shape = [side, side]
    height, width, channels = (*shape, 1)[:3]
    if height * width * channels != columns:
        raise UserError(
            f"{table.layout.path}: found {columns} columns of pixels, "
            f"expected {height * width * channels} by data.shape {list(shape)}"
        )
    return table.pixels.reshape(rows, height, width, channels)


def _labelled(images: np.ndarray, labels: csv_table.Table, files: list[str]) -> Labelled[np.ndarray]:
    def place(index: int) -> str:
        return f"{labels.layout.path}: row {line_of(labels.layout, index)}"

    return Labelled(images, labels.codes, labels.names, files, place)
