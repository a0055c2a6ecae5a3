"""A small data set of known values, written into CSV files in any of the layouts, class folders or IDX files."""

import gzip
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

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


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """PNG or JPEG by the name, of uint8 `[H, W]`, `[H, W, 1]` or `[H, W, 3]`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels).save(path)


def write_folders(folder: Path, images: np.ndarray, labels: Sequence[str]) -> None:
    """`<folder>/<label>/<number>.png`, numbers in order."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        write_picture(folder / label / f"{number:05}.png", image)


def idx(array: np.ndarray, kind: int = 0x08) -> bytes:
    """The bytes of an IDX file; 0x08 is uint8."""
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, part: str, images: np.ndarray, labels: Sequence[int], ending: str = "") -> None:
    """`<part>-images-idx3-ubyte` and `<part>-labels-idx1-ubyte`, compressed where the ending is `.gz`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3", images.reshape(images.shape[:3])), ("labels-idx1", np.array(labels))):
        content = idx(array)
        packed = gzip.compress(content) if ending == ".gz" else content
        (folder / f"{part}-{name}-ubyte{ending}").write_bytes(packed)


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


def folder_data(folder: Path, **changes: object) -> config.Data:
    own = {"source": "folder", "max_pixels": 1_000_000, "skip_unreadable": False, "test": 0.25}
    return data(folder, **(own | changes))


def paths(folder: Path) -> config.Paths:
    names = config.Paths.model_fields
    return config.Paths(**{name: str(folder / name) for name in names})
