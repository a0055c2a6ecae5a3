"""The lines of a CSV file one by one: slow and exact, to look at a header and to say where a file is wrong."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from stages.errors import UserError, said_by
from stages.prepare.readers.opening import opened, telling

PIXEL = "an integer from 0 to 255"
_PIXELS = frozenset(str(value) for value in range(256))
_WRITTEN_OTHERWISE = re.compile(
    r"0[xX][0-9a-fA-F]{1,2}|0*(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
)  # which Arrow takes as well
_LONGEST = 16 << 20  # bytes of a line: four million pixels


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
    for number, line in enumerate(_lines(path), 1):
        if len(line) >= _LONGEST:
            raise UserError(f"{path}: row {number}: found {_LONGEST:,} bytes without an end, expected shorter rows")
        text = _decode(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, path, number)
        if text:
            yield number, _cells(text, path, number)


def line_of(layout: Layout, index: int) -> int:
    """The line on which row `index` (from 0, header and empty lines not counted) stands."""
    lines = (number for number, _ in rows(layout.path) if number > layout.skip)
    return next(number for position, number in enumerate(lines) if position == index)


def refuse(layout: Layout, error: Exception) -> NoReturn:
    """Say what is wrong with a file that Arrow refused with `error`.

    Raises:
        UserError: always; it names row and column of the first fault.
    """
    check_whole(layout.path)
    number = None
    for number, cells in rows(layout.path):
        if number > layout.skip:
            _check(layout, number, cells)
    if number is None or number <= layout.skip:
        raise UserError(f"{layout.path}: found a header and no rows, expected rows below it")
    raise UserError(f"{layout.path}: not readable as CSV ({said_by(error)})")


def check_whole(path: Path) -> None:
    """Unpack a compressed file to its end: a row of one that is damaged is not to be taken for the fault.

    Raises:
        UserError: it ends early, or its checksum is another.
    """
    with telling(path), opened(path) as file:
        while file.read(_LONGEST):
            pass


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
    with telling(path), opened(path) as file:
        # Latin-1 gives every byte back as it was, and this knows all three ends of lines.
        text = io.TextIOWrapper(file, encoding="latin-1", newline=None)
        while line := text.readline(_LONGEST):
            yield line.removesuffix("\n").encode("latin-1")


def _decode(line: bytes, path: Path, number: int) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16 without its mark is full of them
        raise UserError(f"{path}: row {number}: found bytes that are not UTF-8 text, expected CSV in UTF-8")
    return text


def _cells(text: str, path: Path, number: int) -> list[str]:
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True), [""])
    except csv.Error as error:
        if "end of data" in str(error):
            raise UserError(f"{path}: row {number}: found a quote that is not closed, expected one behind it") from None
        if "field limit" in str(error):
            raise UserError(f"{path}: row {number}: not readable as CSV ({error})") from None
        return next(csv.reader([text]), [""])  # Arrow is not strict about what stands behind a quote
