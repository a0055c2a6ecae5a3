"""What the prepare stage refuses, and how it says so: one line, nothing written."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.errors import UserError
from stages.prepare.stage import run
from tests.prepare import small

ZEROS = ",".join(["0"] * 16)


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


def put_bytes(file: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: void((folder / file).write_bytes(content))


def void(_: object) -> None:
    return None


def compress_and_cut(file: str, keep: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = gzip.compress((folder / file).read_bytes())
        (folder / f"{file}.gz").write_bytes(content[: int(len(content) * keep)])
        (folder / file).unlink()

    return change


def in_all_files(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def two_files(train: list[str], test: list[str] | None = None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for file in list(folder.iterdir()):
            file.unlink()
        small.write(folder / "train.csv", train)
        small.write(folder / "test.csv", test or train)

    return change


INTEGER = "expected an integer from 0 to 255"
REFUSALS: list[tuple[str, Callable[[Path], None], str]] = [
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
        rewrite("train_images.csv", [small.header(), ZEROS, ZEROS[:-2], ZEROS]),
        "{}/train_images.csv: row 3: found 15 columns, expected 16",
    ),
    (
        "long row, no header",
        rewrite("train_images.csv", [ZEROS, ZEROS, ZEROS + ",0"]),
        "{}/train_images.csv: row 3: found 17 columns, expected 16",
    ),
    (
        "short row after an empty line",
        rewrite("train_images.csv", ["", small.header(), ZEROS, "", ZEROS, "1,2"]),
        "{}/train_images.csv: row 6: found 2 columns, expected 16",
    ),
    ("negative", spoil("train_images.csv", 7, 3, "-1"), "{}/train_images.csv: row 7, column 3: found '-1', " + INTEGER),
    (
        "too large",
        spoil("test_images.csv", 2, 16, "256"),
        "{}/test_images.csv: row 2, column 16: found '256', " + INTEGER,
    ),
    (
        "decimal",
        spoil("train_images.csv", 31, 1, "3.5"),
        "{}/train_images.csv: row 31, column 1: found '3.5', " + INTEGER,
    ),
    ("text", spoil("train_images.csv", 4, 2, "grey"), "{}/train_images.csv: row 4, column 2: found 'grey', " + INTEGER),
    ("NaN", spoil("train_images.csv", 4, 2, "NaN"), "{}/train_images.csv: row 4, column 2: found 'NaN', " + INTEGER),
    (
        "empty cell",
        spoil("train_images.csv", 4, 2, ""),
        "{}/train_images.csv: row 4, column 2: found an empty cell, " + INTEGER,
    ),
    (
        "fault in the first row without header",
        rewrite("train_images.csv", [ZEROS.replace("0", "0.5", 1), ZEROS]),
        "{}/train_images.csv: row 1, column 1: found '0.5', " + INTEGER,
    ),
    (
        "semicolons",
        rewrite("train_images.csv", [ZEROS.replace(",", ";")] * 30),
        "{}/train_images.csv: row 1: found values separated by ';', expected commas",
    ),
    (
        "second header in the middle",
        rewrite("train_images.csv", [small.header(), ZEROS, small.header(), ZEROS]),
        "{}/train_images.csv: row 3, column 1: found 'pixel0', " + INTEGER,
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
        in_all_files(
            put_bytes("test_images.csv.gz", b"0,0,0,0\n"), lambda folder: (folder / "test_images.csv").unlink()
        ),
        "{}/test_images.csv.gz: not readable (Not a gzipped file (b'0,'))",
    ),
    (
        "gzip without its ending",
        put_bytes("test_images.csv", gzip.compress(b"0,0,0,0\n")),
        "{}/test_images.csv: row 1: found bytes that are not UTF-8 text, expected CSV in UTF-8",
    ),
    (
        "UTF-16",
        put_bytes("train_images.csv", f"{ZEROS}\n".encode("utf-16")),
        "{}/train_images.csv: row 1: found bytes that are not UTF-8 text, expected CSV in UTF-8",
    ),
    (
        "UTF-16 without its mark",
        put_bytes("train_images.csv", f"{ZEROS}\n".encode("utf-16-le")),
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
        "{}/test_labels.csv: row 12: found class '9', expected one of those in train_labels.csv "
        "or in data.holdout_classes",
    ),
    (
        "two candidates",
        rewrite("train_images.csv.gz", [ZEROS]),
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
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_refused_in_one_line_with_nothing_left_behind(
    tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    small.write_four(folder)
    change(folder)
    with pytest.raises(UserError) as refused:
        run(small.data(folder), small.paths(out), seed=0, threads=2)
    assert str(refused.value) == message.format(folder)
    assert not out.exists()


def test_the_table_above_would_pass_unspoiled(tmp_path: Path) -> None:
    small.write_four(tmp_path / "in")
    run(small.data(tmp_path / "in"), small.paths(tmp_path / "out"), seed=0, threads=2)
    assert (tmp_path / "out" / "prepared" / "summary.json").is_file()


@pytest.mark.parametrize("exists", [True, False])
def test_missing_mnist_names_the_folder_the_files_and_the_command(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "mnist"
    if exists:
        folder.mkdir()
    with pytest.raises(UserError) as refused:
        run(small.data(folder, name="mnist"), small.paths(tmp_path / "out"), seed=0, threads=2)
    message = str(refused.value)
    assert message.startswith(f"{folder}: found no *train*.csv or *train*.csv.gz; expected train_images*.csv[.gz]")
    assert message.endswith("`make mnist` or `python -m stages.prepare.download mnist` fetches them")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"shape": [3, 5]},
            "{}/train_images.csv: found 16 columns of pixels, expected 15 by data.shape [3, 5]",
        ),
        (
            {"validation": 0.01},
            "data.validation: found 0.01, which gives none of 30 training images; "
            "expected a share that gives at least one",
        ),
    ],
)
def test_settings_that_do_not_fit_the_files(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    small.write_four(tmp_path / "in")
    with pytest.raises(UserError) as refused:
        run(small.data(tmp_path / "in", **changes), small.paths(tmp_path / "out"), seed=1, threads=2)
    assert str(refused.value) == message.format(tmp_path / "in")
    assert not (tmp_path / "out").exists()
