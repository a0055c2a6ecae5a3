"""The same images as CSV files, class folders and IDX files; and what all sources have in common."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages import config, store
from stages.errors import UserError
from stages.prepare import digits
from stages.prepare.classes import index_classes
from stages.prepare.sources import read
from stages.prepare.stage import run
from tests.prepare import small

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed digits as class folders, as IDX files and as compressed ones, each in a folder of its own."""
    root = tmp_path_factory.mktemp("digits")
    for part, (images, labels) in digits.split_digits().items():
        small.write_folders(root / "folder" / part, images, labels)
        for ending, name in (("", "train" if part == "train" else "t10k"), (".gz", f"emnist-letters-{part}")):
            small.write_idx(root / f"idx{ending}", name, images, [int(label) for label in labels], ending)
    return root


def prepare(out: Path, data: config.Data, threads: int = 2) -> Path:
    paths = small.paths(out)
    run(data, paths, seed=0, threads=threads)
    return Path(paths.prepared)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_give_byte_for_byte_what_csv_files_give(folders: Path, tmp_path: Path, ending: str) -> None:
    expected = prepare(tmp_path / "csv", small.data(digits.FOLDER))
    prepared = prepare(tmp_path / "idx", small.data(folders / f"idx{ending}", source="idx"))
    for file in expected.glob("*.npy"):
        assert file.read_bytes() == (prepared / file.name).read_bytes()
    assert store.load_json(prepared / "classes.json") == store.load_json(expected / "classes.json")


def test_class_folders_give_the_images_of_csv_files_class_by_class(folders: Path) -> None:
    expected = read(small.data(digits.FOLDER), seed=0, workers=2)
    found = read(small.folder_data(folders / "folder"), seed=0, workers=2)
    classes, expected_classes = index_classes(*found), index_classes(*expected)
    assert classes.names == expected_classes.names
    for part, reference, labels in zip(
        found, expected, (expected_classes.train_labels, expected_classes.test_labels), strict=True
    ):
        order = np.argsort(labels, kind="stable")
        np.testing.assert_array_equal(part.images[np.arange(len(order))], reference.images[order])
        np.testing.assert_array_equal(classes.train_labels if part is found[0] else classes.test_labels, labels[order])


def test_any_number_of_threads_gives_the_same_bytes(folders: Path, tmp_path: Path) -> None:
    data = small.folder_data(folders / "folder", image_size=6)
    one, five = prepare(tmp_path / "1", data, threads=1), prepare(tmp_path / "5", data, threads=5)
    files = sorted(file.name for file in one.iterdir())
    assert len(files) == 8
    for file in files:
        assert (one / file).read_bytes() == (five / file).read_bytes()


def test_summary_names_the_folders_and_not_their_thousand_files(folders: Path, tmp_path: Path) -> None:
    prepared = prepare(tmp_path, small.folder_data(folders / "folder"))
    assert store.load_json(prepared / "summary.json")["files"] == ["train/", "test/"]


@pytest.mark.parametrize("side", [None, 2])
def test_transposed_images_are_turned_back(tmp_path: Path, side: int | None) -> None:
    images, labels = small.images(12).reshape(12, 4, 4)[:, :3], [index % 3 for index in range(12)]
    for name, stored in (("upright", images), ("transposed", images.swapaxes(1, 2))):
        for part in ("train", "test"):
            small.write_idx(tmp_path / name, part, stored, labels)
    upright = prepare(tmp_path / "1", small.data(tmp_path / "upright", source="idx", image_size=side))
    turned = prepare(tmp_path / "2", small.data(tmp_path / "transposed", source="idx", image_size=side, transpose=True))
    for split in SPLITS:
        found = store.load_array(turned / f"{split}_images.npy", np.uint8, 4)
        np.testing.assert_array_equal(found, store.load_array(upright / f"{split}_images.npy", np.uint8, 4))
        assert found.shape[1:] == (3, 4, 1) if side is None else (2, 2, 1)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    for number in range(240):
        path = tmp_path / "in" / "train" / str(number % 3) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (500, 500), (number, 0, 0)).save(path, compress_level=1)
    tracemalloc.start()
    prepared = prepare(tmp_path / "out", small.folder_data(tmp_path / "in"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    written = sum(file.stat().st_size for file in prepared.glob("*_images.npy"))
    assert written > 170e6
    assert peak < 60e6


@pytest.mark.parametrize(
    ("source", "other"), [("csv", "folder"), ("csv", "idx"), ("folder", "idx"), ("folder", "csv"), ("idx", "folder")]
)
def test_a_wrong_source_names_the_right_one(folders: Path, source: str, other: str) -> None:
    folder = digits.FOLDER if other == "csv" else folders / other
    data = small.folder_data(folder) if source == "folder" else small.data(folder, source=source)
    with pytest.raises(UserError, match=f"; data.source={other} reads what is there$"):
        read(data, seed=0, workers=1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=digits", "+data.test=0.2"], "conf: data: test is a key of source folder, and source is csv"),
        (["data=idx", "data.shape=[8,8]"], "conf: data: shape is a key of source csv, and source is idx"),
        (["data=folder", "data.channels=2"], "conf: data.channels: found 2, expected 1 or 3"),
        (["data=folder", "data.source=tar"], "conf: data.source: found 'tar', expected 'csv', 'folder' or 'idx'"),
        (["data=folder", "data.test=0.7"], "conf: data.test: found 0.7, expected less than or equal to 0.5"),
    ],
)
def test_keys_that_a_source_does_not_have_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        config.compose(overrides)
    assert str(refused.value) == message


def test_a_folder_needs_its_limits(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^data: found source folder and no max_pixels .* as in conf/data/folder.yaml$"
    ):
        read(small.data(tmp_path, source="folder"), seed=0, workers=1)
