"""IDX files that are whole, and in every way that they may not be."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.errors import UserError
from stages.prepare.readers import idx
from tests.prepare import small

IMAGES = small.images(6, columns=12).reshape(6, 3, 4)
LABELS = [7, 0, 7, 26, 0, 26]


def write(folder: Path, ending: str = "") -> None:
    small.write_idx(folder, "train", IMAGES, LABELS, ending)
    small.write_idx(folder, "t10k", IMAGES[:2], LABELS[:2], ending)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_images_and_labels_are_read(tmp_path: Path, ending: str) -> None:
    write(tmp_path, ending)
    train, test = idx.read(tmp_path)
    np.testing.assert_array_equal(train.images, IMAGES[..., None])
    assert [train.names[code] for code in train.codes] == [str(label) for label in LABELS]
    assert train.codes.dtype == np.int32
    assert test.images.shape == (2, 3, 4, 1)
    assert test.files == [f"t10k-images-idx3-ubyte{ending}", f"t10k-labels-idx1-ubyte{ending}"]
    assert train.place(3) == f"{tmp_path}/train-labels-idx1-ubyte{ending}: label 4"


def test_what_is_not_compressed_stays_on_the_disk(tmp_path: Path) -> None:
    write(tmp_path)
    assert isinstance(idx.read(tmp_path)[0].images, np.memmap)


@pytest.mark.parametrize(
    "names",
    [
        ("emnist-letters-train-{}-{}-ubyte", "emnist-letters-test-{}-{}-ubyte"),
        ("train-{}.{}-ubyte", "t10k-{}.{}-ubyte"),
        ("TRAIN-{}-{}-UBYTE", "T10K-{}-{}-UBYTE"),
    ],
)
def test_files_may_be_called_as_emnist_calls_them_or_as_they_are_unpacked(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    write(tmp_path)
    for part, name in zip(("train", "t10k"), names, strict=True):
        for content, kind in (("images", "idx3"), ("labels", "idx1")):
            (tmp_path / f"{part}-{content}-{kind}-ubyte").rename(tmp_path / name.format(content, kind))
    np.testing.assert_array_equal(idx.read(tmp_path)[0].images, IMAGES[..., None])


def test_a_file_is_read_and_not_its_packed_twin_or_a_folder_of_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    small.write_idx(tmp_path, "train", 255 - IMAGES, LABELS, ".gz")
    (tmp_path / "train-images.idx3-ubyte").mkdir()
    train, _ = idx.read(tmp_path)
    np.testing.assert_array_equal(train.images, IMAGES[..., None])
    assert (
        f"{tmp_path}: ignored train-images-idx3-ubyte.gz, for the same is there unpacked\n" in capsys.readouterr().out
    )


def replace(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def compress(name: str, content: bytes, share: float = 1.0) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        packed = gzip.compress(content)
        (folder / name).unlink()
        (folder / f"{name}.gz").write_bytes(packed[: int(share * len(packed))])

    return change


TRAIN = "train-images-idx3-ubyte"
WHOLE = small.idx(IMAGES)
REFUSALS: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "labels for images",
        replace(TRAIN, small.idx(np.array(LABELS))),
        f"{{}}/{TRAIN}: found 00000801 in the first four bytes, expected 00000803, that of IDX images of uint8",
    ),
    (
        "floats",
        replace("t10k-labels-idx1-ubyte", small.idx(np.array(LABELS), kind=0x0D)),
        "{}/t10k-labels-idx1-ubyte: found 00000d01 in the first four bytes, expected 00000801, that of IDX labels",
    ),
    ("empty", replace(TRAIN, b""), f"{{}}/{TRAIN}: found nothing in the first four bytes, expected 00000803"),
    ("cut in the header", replace(TRAIN, WHOLE[:9]), f"{{}}/{TRAIN}: found the end in the header, expected 3 sizes"),
    (
        "cut off",
        replace(TRAIN, WHOLE[:-1]),
        f"{{}}/{TRAIN}: found 71 bytes behind the header, expected 6 × 3 × 4 as it says",
    ),
    ("too long", replace(TRAIN, WHOLE + b"..."), f"{{}}/{TRAIN}: found 75 bytes behind the header, expected 6 × 3 × 4"),
    (
        "cut off, then compressed",
        compress(TRAIN, WHOLE[:-1]),
        f"{{}}/{TRAIN}.gz: found 71 bytes behind the header, expected 6 × 3 × 4 as it says",
    ),
    (
        "too long, compressed",
        compress(TRAIN, WHOLE + bytes(10**6)),
        f"{{}}/{TRAIN}.gz: found 73 or more bytes behind the header, expected 6 × 3 × 4 as it says",
    ),
    (
        "compressed, then cut off",
        compress(TRAIN, WHOLE, 0.7),
        f"{{}}/{TRAIN}.gz: found the end in the middle of the compressed data, expected a whole file",
    ),
    (
        "not compressed",
        lambda folder: (folder / TRAIN).rename(folder / f"{TRAIN}.gz"),
        f"{{}}/{TRAIN}.gz: not readable (Not a gzipped file (b'\\x00\\x00'))",
    ),
    (
        "sizes that no file has",
        replace(TRAIN, WHOLE[:4] + b"\xff" * 12 + WHOLE[16:]),
        f"{{}}/{TRAIN}: found 72 bytes behind the header, expected 4294967295 × 4294967295 × 4294967295 as it says",
    ),
    (
        "sizes that no file has, compressed",
        compress(TRAIN, WHOLE[:4] + b"\xff" * 12 + WHOLE[16:]),
        f"{{}}/{TRAIN}.gz: found 72 bytes behind the header, expected 4294967295 × 4294967295",
    ),
    (
        "no image",
        replace(TRAIN, small.idx(IMAGES[:0])),
        f"{{}}/{TRAIN}: found 0 × 3 × 4 in the header, expected sizes of at least 1",
    ),
    (
        "another number of labels",
        replace("train-labels-idx1-ubyte", small.idx(np.array(LABELS[:5]))),
        f"{{}}/train-labels-idx1-ubyte: found 5 labels, expected 6, one for each image of {TRAIN}",
    ),
    (
        "another size",
        replace("t10k-images-idx3-ubyte", small.idx(IMAGES[:2, :2])),
        f"{{}}/t10k-images-idx3-ubyte: found images of 2 × 4, expected 3 × 4 as in {TRAIN}",
    ),
    (
        "missing",
        lambda folder: (folder / "t10k-labels-idx1-ubyte").unlink(),
        "{}: found no *t10k*|*test*labels*idx1*ubyte[.gz]; expected images and labels of train and of t10k or test, "
        "such as train-images-idx3-ubyte.gz",
    ),
    (
        "two data sets",
        replace("emnist-train-images-idx3-ubyte", WHOLE),
        f"{{}}: found 2 files such as emnist-train-images-idx3-ubyte and {TRAIN}, expected one called "
        "*train*images*idx3*ubyte[.gz]; put each data set into a folder of its own",
    ),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_refused_in_one_line(tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    write(tmp_path)
    change(tmp_path)
    with pytest.raises(UserError) as refused:
        idx.read(tmp_path)
    assert str(refused.value).startswith(message.format(tmp_path))
    assert "\n" not in str(refused.value)
