"""A small data set of known values, written into CSV files in any of the layouts."""

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from stages import config

SIDE = 4


def images(count: int, seed: int = 0, columns: int = SIDE * SIDE) -> np.ndarray:
    """Random uint8 `[count, columns]`."""
    return np.random.default_rng(seed).integers(0, 256, (count, columns), dtype=np.uint8)


def labels(count: int, classes: int = 3) -> list[str]:
    return [str(index % classes) for index in range(count)]


def lines(rows: Iterable[Iterable[object]], header: str | None) -> list[str]:
    return [*([header] if header else []), *(",".join(map(str, row)) for row in rows)]


def write(path: Path, rows: Sequence[str], end: str = "\n", mark: bytes = b"") -> None:
    content = mark + "".join(row + end for row in rows).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def header(columns: int = SIDE * SIDE) -> str:
    return ",".join(f"pixel{column}" for column in range(columns))


def write_four(folder: Path, ending: str = ".csv", *, train: int = 30, test: int = 12) -> None:
    """The four-file layout: 30 training and 12 test images of 3 classes unless told otherwise."""
    for part, count in (("train", train), ("test", test)):
        write(folder / f"{part}_images{ending}", lines(images(count), header()))
        write(folder / f"{part}_labels{ending}", ["label", *labels(count)])


def data(folder: Path, **changes: object) -> config.Data:
    settings: dict[str, object] = {
        "name": "small",
        "path": str(folder),
        "source": "csv",
        "shape": None,
        "image_size": None,
        "holdout_classes": [],
        "validation": 0.2,
    }
    return config.Data.model_validate(settings | changes)


def paths(folder: Path) -> config.Paths:
    names = config.Paths.model_fields
    return config.Paths(**{name: str(folder / name) for name in names})
