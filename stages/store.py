"""Files that cross from one stage to the next: written whole or not at all, checked when read."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stages.errors import UserError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends without an error.

    The content reaches the disk before the name does: after a crash `path` is the old file or the whole new one.
    The temporary name keeps the suffix, by which libraries choose a format.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix="".join(target.suffixes))
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _make_durable(temporary)
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes it private
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def save_array(path: str | Path, array: np.ndarray) -> None:
    """Write `array` as `.npy`."""
    # Through a file, for NumPy appends `.npy` to a path that ends otherwise.
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def load_array(path: str | Path, dtype: Any, ndim: int, *, memory_map: bool = False) -> np.ndarray:
    """Read a `.npy` file and check what it holds.

    Args:
        path: the file.
        dtype: the data type that it must have.
        ndim: the number of dimensions that it must have.
        memory_map: read rows from the disk as they are used, for arrays larger than memory.

    Raises:
        UserError: no such file, not a whole `.npy` file, pickled objects, another data type or number of dimensions.
    """
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r" if memory_map else None)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the output of an earlier stage (run `dvc repro`)") from None
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{path}: not readable as a NumPy array ({error}); expected a whole .npy file") from None
    expected = f"{np.dtype(dtype).name} with {ndim} dimensions"
    if not isinstance(array, np.ndarray):
        array.close()
        raise UserError(f"{path}: found an archive of arrays, expected one array, {expected}")
    if array.dtype != dtype or array.ndim != ndim:
        raise UserError(f"{path}: found {array.dtype.name} of shape {list(array.shape)}, expected {expected}")
    return array


def save_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON. NaN and infinity, which JSON lacks, are refused with a ValueError."""
    save_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def load_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: no such file, or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the output of an earlier stage (run `dvc repro`)") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None


def save_text(path: str | Path, content: str) -> None:
    """Write `content` in UTF-8, with line ends as they stand in it."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode("utf-8"))


def _make_durable(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
