"""The lines of a CSV file one by one: slow and exact, to look at a header and to say where a file is wrong."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from stages.errors import UserError

PIXEL = "an integer from 0 to 255"
_PIXELS = frozenset(str(value) for value in range(256))
_WRITTEN_OTHERWISE = re.compile(r"0[xX][0-9a-fA-F]{1,2}|0*(25[0-5]|2[0-4]\d|1?\d?\d)")  # which Arrow takes as well


@dataclass(frozen=True)
class Layout:
    """What stands where in a CSV file.

    Attributes:
        path: the file.
        columns: number of columns.
        skip: number of lines up to the header, which they include; 0 without header.
        pixels: the columns that are pixels, from 0.
        label: the column that is the label, or None.
    """

    path: Path
    columns: int
    skip: int
    pixels: list[int]
    label: int | None


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of every line that is not empty, with its number as an editor shows it.

    Raises:
        UserError: the file is not gzip though it is called `.gz`, ends early, or is not UTF-8 text.
    """
    number = 0
    for line in _lines(path):
        for part in line.rstrip(b"\r\n").split(b"\r"):
            number += 1
            text = _decode(part.removeprefix(b"\xef\xbb\xbf") if number == 1 else part, path, number)
            if text:
                yield number, next(csv.reader([text]), [""]) if '"' in text else text.split(",")


def line_of(layout: Layout, index: int) -> int:
    """The line on which row `index` (from 0, header and empty lines not counted) stands."""
    lines = (number for number, _ in rows(layout.path) if number > layout.skip)
    return next(number for position, number in enumerate(lines) if position == index)


def refuse(layout: Layout, error: Exception) -> NoReturn:
    """Say what is wrong with a file that Arrow refused with `error`.

    Raises:
        UserError: always; it names row and column of the first fault.
    """
    number = None
    for number, cells in rows(layout.path):
        if number > layout.skip:
            _check(layout, number, cells)
    if number is None or number <= layout.skip:
        raise UserError(f"{layout.path}: found a header and no rows, expected rows below it")
    raise UserError(f"{layout.path}: not readable as CSV ({' '.join(str(error).split())})")


def _check(layout: Layout, number: int, cells: list[str]) -> None:
    if len(cells) != layout.columns:
        raise UserError(f"{layout.path}: row {number}: found {len(cells)} columns, expected {layout.columns}")
    if _PIXELS.issuperset(cells):
        return
    for column in layout.pixels:
        cell = cells[column].strip(" \t")
        if not (cell in _PIXELS or _WRITTEN_OTHERWISE.fullmatch(cell)):
            found = repr(cell[:40]) if cell else "an empty cell"
            raise UserError(f"{layout.path}: row {number}, column {column + 1}: found {found}, expected {PIXEL}")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with _open(path) as file:
            yield from file
    except EOFError:
        raise UserError(f"{path}: found the end in the middle of the compressed data, expected a whole file") from None
    except (OSError, zlib.error) as error:
        raise UserError(f"{path}: not readable ({error})") from None


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _decode(line: bytes, path: Path, number: int) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16 without its mark is full of them
        raise UserError(f"{path}: row {number}: found bytes that are not UTF-8 text, expected CSV in UTF-8")
    return text
