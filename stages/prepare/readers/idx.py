"""IDX files, in which MNIST, Fashion-MNIST, KMNIST and EMNIST are published: images and labels in four files."""

import math
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

import numpy as np

from stages.errors import UserError
from stages.prepare.labelled import Labelled
from stages.prepare.readers.kinds import advice
from stages.prepare.readers.opening import check_ordinary, opened, telling
from stages.progress import bar

_PARTS = (("train",), ("t10k", "test"))  # words in the names of the files
_KINDS = {"images": 3, "labels": 1}  # dimensions
_ENDINGS = ("ubyte", "ubyte.gz")
_UINT8 = 0x08
_BLOCK = 16 << 20  # bytes that are unpacked at a time


def read(folder: str | Path) -> tuple[Labelled[np.ndarray], Labelled[np.ndarray]]:
    """Read the training and the test images of a folder.

    The files are `*train*images*idx3*ubyte[.gz]` and `*train*labels*idx1*ubyte[.gz]`, and those called `t10k` or `test`
    in place of `train`, in small letters or capitals. Of a file and its `.gz` the file is read. Images that are not
    compressed are read from the disk when they are asked for.

    Args:
        folder: where the files are.

    Raises:
        UserError: files that are missing, ambiguous, cut off, too large or of another kind; counts or sizes that do not
            go together.
    """
    folder = Path(folder)
    files = [[_only(folder, words, kind) for kind in _KINDS] for words in _PARTS]
    train, test = (_read_pair(images, labels) for images, labels in files)
    sizes = [" × ".join(map(str, part.images.shape[1:3])) for part in (train, test)]
    if sizes[0] != sizes[1]:
        raise UserError(f"{files[1][0]}: found images of {sizes[1]}, expected {sizes[0]} as in {files[0][0].name}")
    return train, test


def _only(folder: Path, words: tuple[str, ...], kind: str) -> Path:
    patterns = [f"*{word}*{kind}*idx{_KINDS[kind]}*{ending}" for word in words for ending in _ENDINGS]
    shown = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    found = [path for path in shown if any(fnmatchcase(path.name.lower(), pattern) for pattern in patterns)]
    found = [path for path in found if not path.is_dir()] or found  # some archives unpack a file into such a folder
    there = {path.name for path in found}
    packed = [path for path in found if path.suffix == ".gz" and path.stem in there]
    if packed:
        print(f"{folder}: ignored {', '.join(path.name for path in packed)}, for the same is there unpacked")
    found = [path for path in found if path not in packed]
    if len(found) == 1:
        check_ordinary(found[0])
        return found[0]
    described = f"{'*|*'.join(words)}*{kind}*idx{_KINDS[kind]}*ubyte[.gz]"
    if found:
        names = " and ".join(path.name for path in found[:2])
        raise UserError(
            f"{folder}: found {len(found)} files such as {names}, expected one called *{described}; "
            "put each data set into a folder of its own"
        )
    raise UserError(
        f"{folder}: found no *{described}; expected images and labels of train and of t10k or test, such as "
        f"train-images-idx3-ubyte.gz{advice(folder, 'idx')}"
    )


def _read_pair(images_file: Path, labels_file: Path) -> Labelled[np.ndarray]:
    images, labels = _array(images_file, _KINDS["images"]), _array(labels_file, _KINDS["labels"])
    if len(images) != len(labels):
        raise UserError(
            f"{labels_file}: found {len(labels)} labels, expected {len(images)}, one for each image of "
            f"{images_file.name}"
        )
    values, codes = np.unique(labels, return_inverse=True)
    return Labelled(
        images[..., None],
        codes.astype(np.int32),
        [str(value) for value in values],
        [images_file.name, labels_file.name],
        lambda row: f"{labels_file}: label {row + 1}",
    )


def _array(path: Path, dimensions: int) -> np.ndarray:
    """The content of a file: uint8, of the shape that its header tells."""
    packed = path.suffix == ".gz"
    with telling(path), opened(path) as file:
        shape = _shape(file, path, dimensions)
        size = math.prod(shape)
        content = _unpacked(file, path, size) if packed else b""
        held = len(content) if packed else path.stat().st_size - file.tell()
        if held != size:
            sizes = " × ".join(map(str, shape))
            more = " or more" if packed and held > size else ""
            raise UserError(f"{path}: found {held}{more} bytes behind the header, expected {sizes} as it says")
        start = 0 if packed else file.tell()
    if packed:
        return np.frombuffer(content, np.uint8).reshape(shape)
    return np.memmap(path, np.uint8, "r", offset=start, shape=shape)


def _shape(file: IO[bytes], path: Path, dimensions: int) -> tuple[int, ...]:
    """Two zeros, the type, the number of dimensions; then each dimension as a big-endian integer of 4 bytes."""
    expected = bytes((0, 0, _UINT8, dimensions))
    magic = file.read(4)
    if magic != expected:
        kind = "images" if dimensions == _KINDS["images"] else "labels"
        raise UserError(
            f"{path}: found {magic.hex() or 'nothing'} in the first four bytes, expected {expected.hex()}, that of IDX "
            f"{kind} of uint8"
        )
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise UserError(f"{path}: found the end in the header, expected {dimensions} sizes")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if not math.prod(shape):
        raise UserError(f"{path}: found {' × '.join(map(str, shape))} in the header, expected sizes of at least 1")
    return shape


def _unpacked(file: IO[bytes], path: Path, size: int) -> bytearray:
    """At most one byte more than the header tells, whatever the file would unpack to."""
    content = bytearray()
    with bar(path.name, size, "bytes") as progress:
        while block := file.read(min(_BLOCK, size + 1 - len(content))):
            content += block
            progress.update(len(block))
    return content
