"""CSV files that are refused."""

import gzip
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bad_input.table import Refused, in_turn, link_to_itself
from tests.prepare import small

_ZEROS = ",".join(["0"] * 16)


def spoil(file: str, line: int, column: int, cell: str) -> Callable[[Path], None]:
    """Write `cell` into the line and column, both from 1, of a file of the four-file layout."""

    def change(folder: Path) -> None:
        rows = (folder / file).read_text().splitlines()
        cells = rows[line - 1].split(",")
        cells[column - 1] = cell
        rows[line - 1] = ",".join(cells)
        small.write(folder / file, rows)

    return change


def rewrite(file: str, rows: list[str]) -> Callable[[Path], None]:
    return lambda folder: small.write(folder / file, rows)


def put_bytes(file: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_bytes(content)


def compress_and_cut(file: str, keep: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = gzip.compress((folder / file).read_bytes())
        (folder / f"{file}.gz").write_bytes(content[: int(len(content) * keep)])
        (folder / file).unlink()

    return change


def two_files(train: list[str], test: list[str] | None = None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for file in list(folder.iterdir()):
            file.unlink()
        small.write(folder / "train.csv", train)
        small.write(folder / "test.csv", test or train)

    return change


def compress(file: str, content: bytes, times: int = 1) -> Callable[[Path], object]:
    """Replace a file by one that is compressed: that many parts of the same content, packed once."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        (folder / f"{file}.gz").write_bytes(times * gzip.compress(content))

    return change


def flip_a_byte(file: str) -> Callable[[Path], object]:
    """Compress a file and change a byte in the middle."""

    def change(folder: Path) -> None:
        content = bytearray(gzip.compress((folder / file).read_bytes()))
        content[len(content) // 2] ^= 0xFF
        (folder / file).unlink()
        (folder / f"{file}.gz").write_bytes(content)

    return change


def in_place_of(file: str, put: Callable[[Path], object]) -> Callable[[Path], object]:
    """Remove a file and let something else have its name."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        put(folder / file)

    return change


def in_place_of_the_folder(put: Callable[[Path], object]) -> Callable[[Path], object]:
    """Let something else have the name of the folder of images."""
    return in_turn(lambda folder: shutil.rmtree(folder / "in"), lambda folder: put(folder / "in"))


_INTEGER = "expected an integer from 0 to 255"
_SPOILED: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "fewer labels than images",
        rewrite("train_labels.csv", ["label", *small.labels(29)]),
        "{}/train_labels.csv: found 29 labels, expected 30, one for each image of train_images.csv",
    ),
    (
        "header of labels that is a word above words",
        rewrite("test_labels.csv", ["animal", *["cat"] * 12]),
        "{}/test_labels.csv: found 13 labels, expected 12, one for each image of test_images.csv",
    ),
    (
        "short row",
        rewrite("train_images.csv", [small.header(), _ZEROS, _ZEROS[:-2], _ZEROS]),
        "{}/train_images.csv: row 3: found 15 columns, expected 16",
    ),
    (
        "long row, no header",
        rewrite("train_images.csv", [_ZEROS, _ZEROS, _ZEROS + ",0"]),
        "{}/train_images.csv: row 3: found 17 columns, expected 16",
    ),
    (
        "short row after an empty line",
        rewrite("train_images.csv", ["", small.header(), _ZEROS, "", _ZEROS, "1,2"]),
        "{}/train_images.csv: row 6: found 2 columns, expected 16",
    ),
    (
        "negative",
        spoil("train_images.csv", 7, 3, "-1"),
        "{}/train_images.csv: row 7, column 3: found '-1', " + _INTEGER,
    ),
    (
        "too large",
        spoil("test_images.csv", 2, 16, "256"),
        "{}/test_images.csv: row 2, column 16: found '256', " + _INTEGER,
    ),
    (
        "decimal",
        spoil("train_images.csv", 31, 1, "3.5"),
        "{}/train_images.csv: row 31, column 1: found '3.5', " + _INTEGER,
    ),
    (
        "text",
        spoil("train_images.csv", 4, 2, "grey"),
        "{}/train_images.csv: row 4, column 2: found 'grey', " + _INTEGER,
    ),
    ("NaN", spoil("train_images.csv", 4, 2, "NaN"), "{}/train_images.csv: row 4, column 2: found 'NaN', " + _INTEGER),
    (
        "empty cell",
        spoil("train_images.csv", 4, 2, ""),
        "{}/train_images.csv: row 4, column 2: found an empty cell, " + _INTEGER,
    ),
    (
        "fault in the first row without header",
        rewrite("train_images.csv", [_ZEROS.replace("0", "0.5", 1), _ZEROS]),
        "{}/train_images.csv: row 1, column 1: found '0.5', " + _INTEGER,
    ),
    (
        "semicolons",
        rewrite("train_images.csv", [_ZEROS.replace(",", ";")] * 30),
        "{}/train_images.csv: row 1: found values separated by ';', expected commas",
    ),
    (
        "second header in the middle",
        rewrite("train_images.csv", [small.header(), _ZEROS, small.header(), _ZEROS]),
        "{}/train_images.csv: row 3, column 1: found 'pixel0', " + _INTEGER,
    ),
    (
        "empty file",
        put_bytes("train_images.csv", b""),
        "{}/train_images.csv: found an empty file, expected rows of images",
    ),
    (
        "empty labels",
        put_bytes("test_labels.csv", b"\n\n"),
        "{}/test_labels.csv: found an empty file, expected rows of labels",
    ),
    (
        "header only",
        rewrite("train_images.csv", [small.header()]),
        "{}/train_images.csv: found a header and no rows, expected rows below it",
    ),
    (
        "header only, no end of line",
        put_bytes("train_images.csv", small.header().encode()),
        "{}/train_images.csv: found a header and no rows, expected rows below it",
    ),
    (
        "header of labels only",
        rewrite("train_labels.csv", ["label"]),
        "{}/train_labels.csv: found a header and no rows, expected rows below it",
    ),
    (
        "gzip cut in the middle",
        compress_and_cut("train_images.csv", 0.5),
        "{}/train_images.csv.gz: found the end in the middle of the compressed data, expected a whole file",
    ),
    (
        "gzip cut at its very end",
        compress_and_cut("train_labels.csv", 0.99),
        "{}/train_labels.csv.gz: found the end in the middle of the compressed data, expected a whole file",
    ),
    (
        "not gzip",
        in_turn(put_bytes("test_images.csv.gz", b"0,0,0,0\n"), lambda folder: (folder / "test_images.csv").unlink()),
        "{}/test_images.csv.gz: not readable (Not a gzipped file (b'0,'))",
    ),
    (
        "gzip without its ending",
        put_bytes("test_images.csv", gzip.compress(b"0,0,0,0\n")),
        "{}/test_images.csv: row 1: found bytes that are not UTF-8 text, expected CSV in UTF-8",
    ),
    (
        "UTF-16",
        put_bytes("train_images.csv", f"{_ZEROS}\n".encode("utf-16")),
        "{}/train_images.csv: row 1: found bytes that are not UTF-8 text, expected CSV in UTF-8",
    ),
    (
        "UTF-16 without its mark",
        put_bytes("train_images.csv", f"{_ZEROS}\n".encode("utf-16-le")),
        "{}/train_images.csv: row 1: found bytes that are not UTF-8 text, expected CSV in UTF-8",
    ),
    (
        "Latin-1",
        put_bytes("train_labels.csv", "label\nbär\n".encode("latin-1")),
        "{}/train_labels.csv: row 2: found bytes that are not UTF-8 text, expected CSV in UTF-8",
    ),
    (
        "no square",
        two_files([f"{label},1,2,3" for label in small.labels(9)]),
        "{}/train.csv: found 3 columns of pixels, expected a square number of them, or data.shape",
    ),
    (
        "sizes that differ",
        two_files([f"{i},1,2,3,4" for i in small.labels(9)], [f"{i},1" for i in small.labels(9)]),
        "{}/test.csv: found images of 1 × 1 × 1, expected 2 × 2 × 1 as in train.csv",
    ),
    (
        "empty label",
        two_files(["a,1", "b,1", ",1", "a,1"]),
        "{}/train.csv: row 3, column 1: found an empty cell, expected a label, an integer or a word",
    ),
    (
        "decimal label",
        two_files(["label,pixel0", "1,1", "2.0,1"]),
        "{}/train.csv: row 3, column 1: found '2.0', expected a label, an integer or a word",
    ),
    (
        "label that is NaN",
        two_files(["pixel0,label", "1,1", "2,nan"]),
        "{}/train.csv: row 3, column 2: found 'nan', expected a label, an integer or a word",
    ),
    (
        "two columns of labels",
        two_files(["label,class,pixel0", "1,1,0"]),
        "{}/train.csv: row 1: found 2 columns that are called label or class, expected one",
    ),
    (
        "no column of labels",
        two_files(["pixel0,pixel1,pixel2,pixel3", "1,1,0,0"]),
        "{}/train.csv: row 1: found a header from 'pixel0' to 'pixel3', expected a column called label",
    ),
    ("no pixels", two_files(["1", "2"]), "{}/train.csv: row 1: found 1 column, expected a label and pixels"),
    (
        "labels in several columns",
        rewrite("train_labels.csv", ["0,1"] * 30),
        "{}/train_labels.csv: row 1: found 2 columns, expected one, or one that is called label",
    ),
    (
        "class with one sample",
        rewrite("train_labels.csv", ["label", *small.labels(20), "7", *small.labels(9)]),
        "{}/train_labels.csv: row 22: found the only training image of class '7', expected at least two of each",
    ),
    (
        "one class",
        rewrite("train_labels.csv", ["label", *["4"] * 30]),
        "{}/train_labels.csv: row 2: found only one class, '4', expected at least two",
    ),
    (
        "class that training lacks",
        rewrite("test_labels.csv", [*small.labels(11), "9"]),
        "{}/test_labels.csv: row 12: found an image of class '9', expected one of those in train_labels.csv "
        "or in data.holdout_classes (null: all that only test has)",
    ),
    (
        "two candidates",
        rewrite("train_images.csv.gz", [_ZEROS]),
        "{}: found train_images.csv and train_images.csv.gz, "
        "expected one file called train_images*.csv or train_images*.csv.gz",
    ),
    (
        "one file missing",
        lambda folder: (folder / "test_labels.csv").unlink(),
        "{}: found no test_labels*.csv or test_labels*.csv.gz; expected train_images*.csv[.gz], "
        "train_labels*.csv[.gz], test_images*.csv[.gz], test_labels*.csv[.gz], "
        "or *train*.csv[.gz] and *test*.csv[.gz] with labels and pixels; "
        "put them there, or set data.path to the folder where they are",
    ),
    (
        "a folder in place of a file",
        in_place_of("train_images.csv", Path.mkdir),
        "{}/train_images.csv: found a folder, expected a file",
    ),
    (
        "a pipe in place of a file, which nobody writes to",
        in_place_of("train_images.csv", os.mkfifo),
        "{}/train_images.csv: found no ordinary file, expected a file",
    ),
    (
        "a link to itself",
        in_place_of("test_labels.csv", link_to_itself),
        "{}/test_labels.csv: found a link that leads nowhere, expected a file",
    ),
    (
        "one image",
        in_turn(rewrite("train_images.csv", [_ZEROS]), rewrite("train_labels.csv", ["7"])),
        "{}/train_labels.csv: row 1: found only one class, '7', expected at least two",
    ),
    (
        "a number of 5,000 digits",
        rewrite("train_images.csv", [",".join(["1" * 5000] * 16)] * 30),
        f"{{}}/train_images.csv: row 1, column 1: found '{'1' * 40}', {_INTEGER}",
    ),
    (
        "a digit of another script",
        spoil("train_images.csv", 2, 1, "٣"),
        f"{{}}/train_images.csv: row 2, column 1: found '٣', {_INTEGER}",
    ),
    (
        "a quote that is not closed",
        rewrite("train_images.csv", [_ZEROS, f'"{_ZEROS}', *[_ZEROS] * 28]),
        "{}/train_images.csv: row 2: found a quote that is not closed, expected one behind it",
    ),
    (
        "labels with a quote that is not closed",
        rewrite("train_labels.csv", [*["ant"] * 14, '"bee', *["bee"] * 15]),
        "{}/train_labels.csv: row 15: found a quote that is not closed, expected one behind it",
    ),
    (
        "a cell of 200,000 letters in quotes",
        rewrite("train_images.csv", [f'"{200_000 * "0"}",{_ZEROS[2:]}', *[_ZEROS] * 29]),
        "{}/train_images.csv: row 1: not readable as CSV (field larger than field limit (131072))",
    ),
    (
        "gzip with a damaged byte",
        flip_a_byte("train_images.csv"),
        "{}/train_images.csv.gz: not readable (…)",
    ),
    (
        "gzip of nothing",
        compress("train_labels.csv", b""),
        "{}/train_labels.csv.gz: found an empty file, expected rows of labels",
    ),
    (
        "gzip bomb: 4 GB of rows in 4 MB",
        compress("train_images.csv", f"{_ZEROS}\n".encode() * (1 << 19), 256),
        "{}/train_images.csv.gz: found … bytes in the first … of compressed data, expected at most 200 times as many; "
        "unpack the file if that is meant",
    ),
    (
        "gzip bomb: 4 GB without an end of line",
        compress("train_images.csv", bytes(1 << 24), 256),
        "{}/train_images.csv.gz: found … bytes in the first … of compressed data, expected at most 200 times as many; "
        "unpack the file if that is meant",
    ),
    (
        "20 MB without an end of line",
        in_place_of("train_images.csv", lambda path: path.write_bytes(bytes(20 << 20))),
        "{}/train_images.csv: row 1: found 16,777,216 bytes without an end, expected shorter rows",
    ),
    (
        "gzip bomb: 4 GB of empty lines",
        compress("train_labels.csv", b"\n" * (1 << 24), 256),
        "{}/train_labels.csv.gz: found … bytes in the first … of compressed data, expected at most 200 times as many; "
        "unpack the file if that is meant",
    ),
]


def _of_csv(name: str, change: Callable[[Path], object], line: str, settings: Mapping[str, Any]) -> Refused:
    """A case whose `{}` is the folder of the CSV files."""
    return Refused(name, "prepare", line.replace("{}", "{}/in"), lambda folder: change(folder / "in"), settings)


CASES = [
    *(_of_csv(*case, settings={}) for case in _SPOILED),
    _of_csv(
        "another shape than the columns have",
        lambda folder: None,
        "{}/train_images.csv: found 16 columns of pixels, expected 15 by data.shape [3, 5]",
        {"data.shape": [3, 5]},
    ),
    Refused(
        "a share that gives no image",
        "prepare",
        "data.validation: found 0.01, which gives none of 30 training images; expected a share that gives at least one",
        settings={"data.validation": 0.01, "seed": 1},
    ),
    Refused(
        "a file in place of the folder",
        "prepare",
        "{}/in: found a file, expected a folder of images",
        in_place_of_the_folder(lambda path: path.write_text("words")),
    ),
    Refused(
        "a folder that links to itself",
        "prepare",
        "{}/in: not readable (Too many levels of symbolic links), expected a folder of images",
        in_place_of_the_folder(link_to_itself),
    ),
    *(
        Refused(
            f"MNIST that is not there, with {'an empty' if exists else 'no'} folder",
            "prepare",
            "{}/in: found no *train*.csv or *train*.csv.gz; expected train_images*.csv[.gz], …; `make mnist` or "
            "`python -m stages.prepare.download mnist` fetches them",
            in_place_of_the_folder(Path.mkdir if exists else lambda path: None),
            {"data.name": "mnist"},
        )
        for exists in (True, False)
    ),
]
