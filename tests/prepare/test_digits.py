from pathlib import Path

import numpy as np

from stages.prepare import digits, mnist_layout
from stages.prepare.readers import csv


def test_committed_files_hold_what_the_script_yields() -> None:
    for part, read in zip(("train", "test"), csv.read(digits.FOLDER, "digits"), strict=True):
        images, labels = digits.split_digits()[part]
        np.testing.assert_array_equal(read.images, images)
        assert [read.names[code] for code in read.codes] == labels


def test_grey_values_can_be_had_back() -> None:
    from sklearn.datasets import load_digits

    parts = digits.split_digits()
    images = np.concatenate([images for images, _ in parts.values()])
    assert len(np.unique(images)) == 17
    original = np.sort(np.round(images.reshape(-1, 64) * (16 / 255)), axis=0)
    np.testing.assert_array_equal(original, np.sort(load_digits().data, axis=0))


def test_split_is_stratified() -> None:
    parts = digits.split_digits()
    train, test = (np.bincount(np.array(parts[part][1], int)) for part in ("train", "test"))
    assert (len(parts["train"][1]), len(parts["test"][1])) == (1437, 360)
    assert np.abs(test - 0.2 * (train + test)).max() < 1


def test_written_bytes_do_not_depend_on_time_or_place(tmp_path: Path) -> None:
    parts = {"train": (np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1), ["a, b", 'c "d"'])}
    first = mnist_layout.write(tmp_path / "a", parts)
    second = mnist_layout.write(tmp_path / "b" / "c", parts)
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    assert first[0].read_bytes()[4:8] == b"\0\0\0\0"  # gzip's time


def test_a_failure_in_the_last_file_leaves_none(tmp_path: Path) -> None:
    image = np.zeros((1, 4, 4, 1), np.uint8)
    try:
        mnist_layout.write(tmp_path, {"train": (image, ["a"]), "test": (image, ["\ud800"])})
    except UnicodeEncodeError:
        assert list(tmp_path.iterdir()) == []
    else:
        raise AssertionError("half a surrogate pair was written")
