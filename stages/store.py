"""Files that cross from one stage to the next: written whole or not at all, checked when read."""

import json
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from stages import interruption
from stages.errors import UserError, refusal, said_by

_SHOWN = 200  # letters of a type, which may name hundreds of fields


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends without an error.

    The content reaches the disk before the name does: after a crash `path` is the old file or the whole new one.
    The temporary name keeps the suffix, by which libraries choose a format.

    Raises:
        UserError: the disk is full, the folder may not be written to, or `path` is one; it is as it was.
    """
    target = Path(path)
    if target.is_dir():
        raise UserError(f"{target}: found a folder, expected a file or nothing there")
    with _telling(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    with _telling(target):
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix="".join(target.suffixes))
    os.close(handle)
    temporary = Path(name)
    try:
        with _telling(target, temporary):
            yield temporary
            _make_durable(temporary)
            temporary.chmod(0o666 & ~_UMASK)  # mkstemp makes it private
            if _together.waiting is None:
                temporary.replace(target)
            else:
                _together.waiting.append((target, temporary))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove(path: str | Path) -> None:
    """Remove a file that an earlier run wrote, if it is there."""
    if _together.waiting is None:
        Path(path).unlink(missing_ok=True)
    else:
        _together.waiting.append((Path(path), None))


@contextmanager
def together() -> Iterator[None]:
    """What is written and removed in the block takes its place when the block ends; after an error in it, nothing does.

    For the files of one stage, which would contradict each other if some were of this run and some of the one before.
    Until then they are read as they were. What other threads write meanwhile is not of the block.
    """
    if _together.waiting is not None:
        raise RuntimeError("a block of files that belong together lies within another one")
    waiting = _together.waiting = []
    try:
        yield
        with interruption.deferred():
            for target, temporary in waiting:
                with _telling(target):
                    temporary.replace(target) if temporary else target.unlink(missing_ok=True)
    finally:
        _together.waiting = None
        for _, temporary in waiting:
            if temporary:
                temporary.unlink(missing_ok=True)


class _Together(threading.local):
    waiting: list[tuple[Path, Path | None]] | None = None
    """Within `together`: files and what will take their places, None for one that will be removed."""


_together = _Together()


def copy(source: Path, target: Path, *left_out: str) -> None:
    """Copy a file, or a folder into one that may be there.

    Args:
        source: a file or a folder.
        target: what it is to be.
        left_out: patterns of names, as `fnmatch` takes them, that are not copied from a folder.

    Raises:
        UserError: the disk is full, or the system does not let the target be written.
    """

    def copy_file(one: str, other: str) -> None:
        with _telling(Path(other)):  # its error is none of those that shutil would collect, and hide
            shutil.copyfile(one, other)

    if source.is_dir():
        leave = shutil.ignore_patterns(*left_out)
        shutil.copytree(source, target, ignore=leave, copy_function=copy_file, dirs_exist_ok=True)
    else:
        copy_file(str(source), str(target))


def save_array(path: str | Path, array: np.ndarray) -> None:
    """Write `array` as `.npy`."""
    # Through a file, for NumPy appends `.npy` to a path that ends otherwise.
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(_Written(file), array, allow_pickle=False)


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
    expected = f"{np.dtype(dtype).name} with {ndim} dimensions"
    try:
        if _is_archive(path):
            raise UserError(f"{path}: found an archive of arrays, expected one array, {expected}")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of sizes that overflow
            array = np.load(path, allow_pickle=False, mmap_mode="r" if memory_map else None)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the output of an earlier stage (run `dvc repro`)") from None
    except (PermissionError, UserError):
        raise
    except Exception as error:  # there is nothing that NumPy would not raise on bytes that are no array
        raise UserError(
            f"{path}: not readable as a NumPy array ({said_by(error)}); expected a whole .npy file"
        ) from None
    if array.dtype != dtype or array.ndim != ndim:
        raise UserError(f"{path}: found {str(array.dtype)[:_SHOWN]} of shape {list(array.shape)}, expected {expected}")
    return array


def load_labels(path: str | Path) -> np.ndarray:
    """Read labels: int32 `[N]`, class indices from 0.

    Raises:
        UserError: as `load_array`, or a label is negative.
    """
    labels = load_array(path, np.int32, 1)
    negative = np.flatnonzero(labels < 0)
    if len(negative):
        row = negative[0]
        raise UserError(f"{path}: row {row}: found {labels[row]}, expected the index of a class, from 0")
    return labels


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
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); expected a whole .json file") from None


def save_text(path: str | Path, content: str) -> None:
    """Write `content` in UTF-8, with line ends as they stand in it."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode("utf-8"))


class _Written:
    """A file that is only written to: into one that it knows NumPy writes by C, which keeps why the disk refused."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write


@contextmanager
def _telling(target: Path, temporary: Path | None = None) -> Iterator[None]:
    """Name the file that could not be written; errors of other files pass."""
    try:
        yield
    except OSError as error:
        # Writing, unlike opening, does not say which file.
        ours = error.filename is None or temporary is None or str(error.filename) == str(temporary)
        line = refusal(error, target) if ours else None
        if line is None:
            raise
        raise UserError(line) from error


def _is_archive(path: str | Path) -> bool:
    """Whether it is, or was before it was cut off, the ZIP archive that `np.savez` writes."""
    with Path(path).open("rb") as file:
        return file.read(2) == b"PK"


def _make_durable(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # once, for meanwhile the files of all threads would be for everybody
