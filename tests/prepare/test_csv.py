from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.prepare.classes import index_classes
from stages.prepare.readers import csv
from tests.prepare import small

TRAIN, TEST = small.images(30), small.images(12)
Writer = Callable[[Path, str, np.ndarray, list[str]], None]


def four_files(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    small.write(folder / f"{part}_images_mnist.csv.gz", small.lines(images, small.header()))
    small.write(folder / f"{part}_labels_mnist.csv.gz", ["label", *labels])


def four_plain_files_without_header(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    small.write(folder / f"{part}_images.csv", small.lines(images, None))
    small.write(folder / f"{part}_labels.csv", labels)


def four_files_as_from_a_data_frame(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    small.write(folder / f"{part}_images.csv", small.lines(images, ",".join(map(str, range(16)))))
    small.write(folder / f"{part}_labels.csv", ["digit", *labels])


def four_files_with_numbered_labels(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    small.write(folder / f"{part}_images.csv", small.lines(images, small.header()))
    small.write(folder / f"{part}_labels.csv", ["id,label", *(f"{i},{label}" for i, label in enumerate(labels))])


def label_first_without_header(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    rows = [[label, *image] for label, image in zip(labels, images, strict=True)]
    small.write(folder / f"mnist_{part}.csv", small.lines(rows, None))


def label_first_with_header(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    rows = [[label, *image] for label, image in zip(labels, images, strict=True)]
    small.write(folder / f"{part}.csv.gz", small.lines(rows, f"label,{small.header()}"))


def label_last_and_called_class(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    rows = [[*image, label] for label, image in zip(labels, images, strict=True)]
    small.write(folder / f"mnist_{part}.csv", small.lines(rows, f'{small.header()},"Class"'))


def label_amid_pixels(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    rows = [[*image[:5], label, *image[5:]] for label, image in zip(labels, images, strict=True)]
    names = small.header().split(",")
    small.write(folder / f"{part}.csv", small.lines(rows, ",".join([*names[:5], "label", *names[5:]])))


def first_column_of_any_name(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    rows = [[label, *image] for label, image in zip(labels, images, strict=True)]
    small.write(folder / f"{part}.csv", small.lines(rows, f"digit,{small.header()}"))


def numbered_columns(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    rows = [[label, *image] for label, image in zip(labels, images, strict=True)]
    small.write(folder / f"{part}.csv", small.lines(rows, ",".join(map(str, range(17)))))


def carriage_returns(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    small.write(folder / f"{part}_images.csv", small.lines(images, small.header()), end="\r\n")
    small.write(folder / f"{part}_labels.csv.gz", ["label", *labels], end="\r\n")


def old_macintosh(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    small.write(folder / f"{part}_images.csv", small.lines(images, small.header()), end="\r")
    small.write(folder / f"{part}_labels.csv", ["label", *labels], end="\r")


def byte_order_marks(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    small.write(folder / f"{part}_images.csv.gz", small.lines(images, None), mark=b"\xef\xbb\xbf")
    small.write(folder / f"{part}_labels.csv", ["label", *labels], mark=b"\xef\xbb\xbf")


def byte_order_mark_before_a_label(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    rows = [[label, *image] for label, image in zip(labels, images, strict=True)]
    small.write(folder / f"{part}.csv", small.lines(rows, None), mark=b"\xef\xbb\xbf")


def quotes_blanks_and_empty_lines(folder: Path, part: str, images: np.ndarray, labels: list[str]) -> None:
    rows = [", ".join([f'"{label}"', *map(str, image)]) for label, image in zip(labels, images, strict=True)]
    small.write(folder / f"{part}.csv", ["", rows[0], "", *rows[1:], "", ""])


WRITERS: list[Writer] = [
    four_files,
    four_plain_files_without_header,
    four_files_as_from_a_data_frame,
    four_files_with_numbered_labels,
    label_first_without_header,
    label_first_with_header,
    label_last_and_called_class,
    label_amid_pixels,
    first_column_of_any_name,
    numbered_columns,
    carriage_returns,
    old_macintosh,
    byte_order_marks,
    byte_order_mark_before_a_label,
    quotes_blanks_and_empty_lines,
]


@pytest.mark.parametrize("write", WRITERS)
def test_every_layout_gives_the_same_arrays(tmp_path: Path, write: Writer) -> None:
    write(tmp_path, "train", TRAIN, small.labels(30))
    write(tmp_path, "test", TEST, small.labels(12))
    train, test = csv.read(tmp_path, "small")
    classes = index_classes(train, test)
    np.testing.assert_array_equal(train.images, TRAIN.reshape(30, 4, 4, 1))
    np.testing.assert_array_equal(test.images, TEST.reshape(12, 4, 4, 1))
    assert train.images.dtype == np.uint8
    assert classes.train_labels.dtype == classes.test_labels.dtype == np.int32
    np.testing.assert_array_equal(classes.train_labels, np.arange(30) % 3)
    np.testing.assert_array_equal(classes.test_labels, np.arange(12) % 3)
    assert classes.names == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("written", "classes", "indices"),
    [
        (["cat", "ant", "bee"], ["ant", "bee", "cat"], [2, 0, 1]),
        (["10", "9", "2147483648"], ["9", "10", "2147483648"], [1, 0, 2]),
        (["-1", "07", "+3"], ["-1", "3", "7"], [0, 2, 1]),
        (["A", "9", "10"], ["10", "9", "A"], [2, 1, 0]),
        (["Zürich", "Ålesund", "Łódź"], ["Zürich", "Ålesund", "Łódź"], [0, 1, 2]),
        ([" cat", "dog ", "cat"], ["cat", "dog"], [0, 1, 0]),
    ],
    ids=["words", "large integers", "signs and zeros", "mixed", "beyond ASCII", "blanks"],
)
@pytest.mark.parametrize("header", ["label", None])
def test_labels_are_read_as_they_are_meant(
    tmp_path: Path, written: list[str], classes: list[str], indices: list[int], header: str | None
) -> None:
    for part in ("train", "test"):
        small.write(tmp_path / f"{part}_images.csv", small.lines(small.images(6), None))
        small.write(tmp_path / f"{part}_labels.csv", [*([header] if header else []), *written, *written])
    read = index_classes(*csv.read(tmp_path, "small"))
    assert read.names == classes
    assert read.train_labels.tolist() == read.test_labels.tolist() == indices * 2


def test_a_quoted_label_may_have_a_comma(tmp_path: Path) -> None:
    rows = [
        f'"{label}",{small.lines([image], None)[0]}' for label, image in zip(["a, b", "c"] * 3, TRAIN, strict=False)
    ]
    for part in ("train", "test"):
        small.write(tmp_path / f"{part}.csv", rows)
    assert index_classes(*csv.read(tmp_path, "small")).names == ["a, b", "c"]


def test_classes_are_those_of_training_however_test_writes_them(tmp_path: Path) -> None:
    small.write_four(tmp_path)
    small.write(tmp_path / "test_labels.csv", ["label", "01", "+2", *["0"] * 10])
    classes = index_classes(*csv.read(tmp_path, "small"))
    assert classes.names == ["0", "1", "2"]
    assert classes.test_labels[:2].tolist() == [1, 2]


@pytest.mark.parametrize(("shape", "expected"), [([2, 8], (2, 8, 1)), ([8, 2, 1], (8, 2, 1)), (None, (4, 4, 1))])
def test_shape_is_given_or_square(tmp_path: Path, shape: list[int] | None, expected: tuple[int, ...]) -> None:
    small.write_four(tmp_path)
    train, _ = csv.read(tmp_path, "small", shape)
    assert train.images.shape == (30, *expected)
    np.testing.assert_array_equal(train.images.reshape(30, -1), TRAIN)


def test_colours_lie_side_by_side(tmp_path: Path) -> None:
    images = small.images(6, columns=12)
    for part in ("train", "test"):
        rows = [[label, *image] for label, image in zip(small.labels(6), images, strict=True)]
        small.write(tmp_path / f"{part}.csv", small.lines(rows, None))
    train, _ = csv.read(tmp_path, "small", [2, 2, 3])
    assert train.images[1, 0, 1].tolist() == images[1, 3:6].tolist()


def test_rows_beyond_one_block_of_arrow_keep_their_order(tmp_path: Path) -> None:
    images = small.images(4000, columns=400)
    words = [f"class {index % 7}" for index in range(4000)]
    for part in ("train", "test"):
        rows = [[label, *image] for label, image in zip(words, images, strict=True)]
        small.write(tmp_path / f"{part}.csv", small.lines(rows, None))
    assert (tmp_path / "train.csv").stat().st_size > 3 << 20
    train, _ = csv.read(tmp_path, "small")
    np.testing.assert_array_equal(train.images.reshape(4000, 400), images)
    assert [train.names[code] for code in train.codes] == words


def test_files_that_begin_with_a_dot_are_no_candidates(tmp_path: Path) -> None:
    small.write_four(tmp_path)
    small.write(tmp_path / ".train_images-k2f.csv", ["unfinished"])
    assert csv.read(tmp_path, "small")[0].files == ["train_images.csv", "train_labels.csv"]


MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"


@pytest.mark.skipif(not MNIST.is_dir(), reason="the real MNIST is not here; test_digits.py does the same on the digits")
def test_mnist_is_as_its_readme_says() -> None:
    train, test = csv.read(MNIST, "mnist")
    labels = index_classes(train, test).train_labels
    assert train.images.shape == (60_000, 28, 28, 1)
    assert test.images.shape == (10_000, 28, 28, 1)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert round(train.images.mean() / 255, 4) == 0.1307
