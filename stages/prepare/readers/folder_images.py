"""The image files of a folder as arrays, decoded by several threads: Pillow lets them run at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np

from stages.errors import UserError
from stages.prepare import pictures
from stages.prepare.pictures import Header, UnreadableError
from stages.prepare.readers.folder_files import as_text
from stages.progress import bar

_LISTED = 10  # files in a message, at most
_TOGETHER = 64  # files that a worker looks at before it tells
Look = TypeVar("Look")


@dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
        side: resize the square in the middle to as many pixels a side; None: all are of one size, and stay so.
        channels: 1 or 3; None: 1 if all images are grey, 3 if none is.
        max_pixels: images that have more are not decoded.
        skip_unreadable: leave out files that are no whole image, or too large, instead of ending.
        workers: threads that decode.
    """

    side: int | None
    channels: int | None
    max_pixels: int
    skip_unreadable: bool
    workers: int


@dataclass(frozen=True)
class Decoded:
    """Images that are decoded when they are asked for, by several threads: Pillow lets them run at once.

    Attributes:
        files: paths of the N images.
        one: `(H, W, C)` of each.
        decode: one file to uint8 `[H, W, C]`.
        workers: threads.
        refuse: raises the `UserError` that lists all files that are unreadable.
    """

    files: Sequence[str]
    one: tuple[int, int, int]
    decode: Callable[[str], np.ndarray]
    workers: int
    refuse: Callable[[], NoReturn]

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, H, W, C)`."""
        return (len(self.files), *self.one)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
        images = np.empty((len(rows), *self.one), np.uint8)

        def fill(places: np.ndarray) -> None:
            for place in places:
                images[place] = self.decode(self.files[rows[place]])

        try:
            with pictures.lenient(), ThreadPoolExecutor(self.workers) as pool:
                for _ in pool.map(fill, np.array_split(np.arange(len(rows)), 8 * self.workers)):
                    pass
        except UnreadableError:
            self.refuse()
        return images


def headers(
    folder: Path, files: list[str], reading: Reading
) -> tuple[list[str], list[Header], dict[str, UnreadableError]]:
    """The files that are readable, with their headers; those that are not, with the reason.

    Whether a file is whole only decoding tells. Where files are skipped all are decoded here, and once more when they
    are asked for; else a file that is cut off ends the stage when it is asked for.

    Args:
        folder: in which the files lie.
        files: their paths.
        reading: how to read them.

    Raises:
        UserError: an unreadable file, unless they are skipped; no readable one.
    """
    faults = _faults(files, reading) if reading.skip_unreadable else {}
    if faults:
        described = _described(folder, faults, len(files))
        files = [path for path in files if path not in faults]
        if not files:
            raise UserError(f"{folder}: found {described}, expected some that are whole")
        print(f"{folder}: skipped {described}{'; summary.json has all' if len(faults) > _LISTED else ''}")
    looked = _look_at(files, partial(pictures.header, max_pixels=reading.max_pixels), reading.workers, "look at")
    found = [header for header in looked if isinstance(header, Header)]
    if len(found) < len(files):
        refuse(folder, files, reading)
    return files, found, faults


def refuse(folder: Path, files: Sequence[str], reading: Reading) -> NoReturn:
    """Look for all unreadable files and list them with the reason; many of them in lines of their own.

    Raises:
        UserError: always.
    """
    faults = _faults(files, reading)
    if not faults:
        raise UserError(f"{folder}: found images that change while they are read, expected them to stay")
    if len(faults) > _LISTED:
        for path, reason in faults.items():
            print(f"{as_text(path)}: {reason}")
    raise UserError(
        f"{folder}: found {_described(folder, faults, len(files))}; expected whole PNG or JPEG images, "
        "or data.skip_unreadable=true to leave them out"
    )


def _faults(files: Sequence[str], reading: Reading) -> dict[str, UnreadableError]:
    """Decode every file: which are unreadable, and why."""

    def decode(path: str) -> None:
        pictures.decode(path, reading.max_pixels, channels=3, side=None)

    looked = _look_at(files, decode, reading.workers, "check")
    return {path: found for path, found in zip(files, looked, strict=True) if isinstance(found, UnreadableError)}


def _look_at(
    files: Sequence[str], look: Callable[[str], Look], workers: int, what: str
) -> list[Look | UnreadableError]:
    def look_at_some(start: int) -> list[Look | UnreadableError]:
        return [_outcome(look, path) for path in files[start : start + _TOGETHER]]

    found: list[Look | UnreadableError] = []
    with pictures.lenient(), bar(what, len(files), "images") as progress, ThreadPoolExecutor(workers) as pool:
        for some in pool.map(look_at_some, range(0, len(files), _TOGETHER)):
            found += some
            progress.update(len(some))
    return found


def _outcome(look: Callable[[str], Look], path: str) -> Look | UnreadableError:
    try:
        return look(path)
    except UnreadableError as error:
        return error


def _described(folder: Path, faults: dict[str, UnreadableError], count: int) -> str:
    first = [f"{within(folder, path)} ({reason})" for path, reason in list(faults.items())[:_LISTED]]
    return f"unreadable images, {len(faults)} of {count}: {', '.join(first)}{', …' if len(faults) > _LISTED else ''}"


def within(folder: Path, path: str) -> str:
    """A file's path in the folder, as a terminal can show it."""
    return as_text(Path(path).relative_to(folder))
