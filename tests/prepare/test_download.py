"""`python -m stages.prepare.download` against TFDS's fakes, against a server of our own, and without a network."""

import gzip
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.errors import UserError
from stages.prepare import download as module
from stages.prepare.download import download
from stages.prepare.readers import csv

ROOT = Path(__file__).parents[2]
FOUR = [
    "test_images_mnist.csv.gz",
    "test_labels_mnist.csv.gz",
    "train_images_mnist.csv.gz",
    "train_labels_mnist.csv.gz",
]
pytestmark = pytest.mark.filterwarnings("ignore")  # TFDS and TensorFlow warn of one another


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    return tmp_path / "root" / ".tfds"


@pytest.fixture(scope="module")
def tfds() -> Any:
    return pytest.importorskip("tensorflow_datasets")


def read_back(folder: Path) -> dict[str, tuple[np.ndarray, list[str]]]:
    parts = zip(("train", "test"), csv.read(folder, "downloaded"), strict=True)
    return {part: (read.images, [read.names[code] for code in read.codes]) for part, read in parts}


def write_metadata(tfds: Any, name: str, folder: Path, counts: dict[str, int]) -> None:
    """What TFDS keeps beside a prepared data set, from which it knows how many examples there are."""
    builder = tfds.builder(name, data_dir=folder)
    files = tfds.core.naming.ShardedFileTemplate(
        dataset_name=name, data_dir=Path(builder.data_dir), filetype_suffix="tfrecord"
    )
    splits = [
        tfds.core.SplitInfo(name=part, shard_lengths=[count], num_bytes=0, filename_template=files)
        for part, count in counts.items()
    ]
    builder.info.set_splits(tfds.core.splits.SplitDict(splits))
    Path(builder.data_dir).mkdir(parents=True)
    builder.info.write_to_directory(builder.data_dir)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_csv_files_hold_the_images_and_names_that_tfds_gives(tmp_path: Path, tfds: Any, name: str) -> None:
    write_metadata(tfds, name, tmp_path / "metadata", {"train": 40, "test": 40})
    with tfds.testing.mock_data(num_examples=40, data_dir=str(tmp_path / "metadata")):
        download(name, tmp_path / "data")
        builder = tfds.builder(name)
        examples = list(tfds.as_numpy(builder.as_dataset(split="train")))
    names = builder.info.features["label"].names
    for images, labels in read_back(tmp_path / "data").values():
        np.testing.assert_array_equal(images, [example["image"] for example in examples])
        assert labels == [names[example["label"]] for example in examples]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == FOUR


def test_a_count_that_is_wrong_leaves_no_file(tmp_path: Path, tfds: Any) -> None:
    write_metadata(tfds, "mnist", tmp_path / "metadata", {"train": 40, "test": 50})
    with (
        tfds.testing.mock_data(num_examples=40, data_dir=str(tmp_path / "metadata")),
        pytest.raises(UserError, match=re.escape("mnist: found 40 test images, expected 50")),
    ):
        download("mnist", tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "mnits: no such data set, expected one of TensorFlow Datasets"),
        ("iris", "iris: found no image, expected a data set for image classification"),
        ("emnist/leters", "emnist/leters: no such configuration or version, expected emnist/byclass or emnist/bymerge"),
        ("mnist/leters", "mnist/leters: no such configuration or version, expected mnist"),
        ("i_naturalist2021", "i_naturalist2021: Failed to construct dataset"),
        ("stanford_online_products", "found no class called label, expected --label class_id or super_class_id"),
        ("lfw", "lfw: found no class called label, expected a data set for image classification"),
    ],
)
def test_data_sets_that_do_not_fit_are_refused(tmp_path: Path, tfds: Any, name: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        download(name, tmp_path / "data")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_feature_that_is_the_class_can_be_chosen(tmp_path: Path, tfds: Any) -> None:
    name = "stanford_online_products"
    write_metadata(tfds, name, tmp_path / "metadata", {"train": 6, "test": 6})
    with tfds.testing.mock_data(num_examples=6, data_dir=str(tmp_path / "metadata")):
        download(name, tmp_path / "data", label="super_class_id")
        builder = tfds.builder(name)
        mocked = list(tfds.as_numpy(builder.as_dataset(split="test")))
    names = builder.info.features["super_class_id"].names
    assert [label for label, _ in read_folders(tmp_path / "data")["test"]] == [
        names[example["super_class_id"]] for example in mocked
    ]


def read_folders(folder: Path) -> dict[str, list[tuple[str, list[Any]]]]:
    """For each part the class and the pixels of each image, in the order of the files' names."""
    parts: dict[str, list[tuple[str, list[Any]]]] = {}
    for path in sorted(folder.glob("*/*/*.png"), key=lambda path: path.name):
        with Image.open(path) as image:
            part = parts.setdefault(path.parts[-3], [])
            part.append((path.parent.name, np.asarray(image).tolist()))
    return parts


@pytest.mark.parametrize(
    ("name", "splits", "expected"),
    [
        ("cifar10", [], {"train": "train", "test": "test"}),
        ("cats_vs_dogs", [], {"train": "train"}),  # of all sizes
        ("cifar10", ["test", "train"], {"train": "test", "test": "train"}),
        ("mnist", ["train"], {"train": "train"}),  # no test: CSV files would not tell how to split it off
    ],
)
def test_folders_hold_what_does_not_fit_into_csv_files(
    tmp_path: Path, tfds: Any, name: str, splits: list[str], expected: dict[str, str]
) -> None:
    there = ["train"] if name == "cats_vs_dogs" else ["train", "test"]
    write_metadata(tfds, name, tmp_path / "metadata", dict.fromkeys(there, 12))
    with tfds.testing.mock_data(num_examples=12, data_dir=str(tmp_path / "metadata")):
        download(name, tmp_path / "data", splits)
        builder = tfds.builder(name)
        mocked = {part: list(tfds.as_numpy(builder.as_dataset(split=split))) for part, split in expected.items()}
    names = builder.info.features["label"].names
    assert read_folders(tmp_path / "data") == {
        part: [(names[example["label"]], np.squeeze(example["image"]).tolist()) for example in examples]
        for part, examples in mocked.items()
    }
    assert {path.name for path in (tmp_path / "data").iterdir()} == set(expected)


def test_a_wrong_count_in_the_second_part_leaves_no_folder(tmp_path: Path, tfds: Any) -> None:
    write_metadata(tfds, "cifar10", tmp_path / "metadata", {"train": 12, "test": 13})
    with (
        tfds.testing.mock_data(num_examples=12, data_dir=str(tmp_path / "metadata")),
        pytest.raises(UserError, match=re.escape("cifar10: found 12 test images, expected 13; delete .tfds")),
    ):
        download("cifar10", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_images_without_a_label_are_refused(tmp_path: Path, tfds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_metadata(tfds, "cifar10", tmp_path / "metadata", {"train": 3, "test": 3})
    unlabelled = [{"image": np.zeros((2, 2, 3), np.uint8), "label": label} for label in (0, 1, -1)]
    monkeypatch.setattr(tfds, "as_numpy", lambda _: unlabelled)
    with (
        tfds.testing.mock_data(num_examples=3, data_dir=str(tmp_path / "metadata")),
        pytest.raises(UserError, match="cifar10: found train images without a label, expected one for each"),
    ):
        download("cifar10", tmp_path / "data")


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["train", "valid"], "mnist: found no split valid, expected some of test, train"),
        (["train[:x%]"], "mnist: found no split train[:x%], expected some of test, train"),
        (["train", "train"], "mnist: found images that are in train and in train, expected splits that share none"),
        (["train[:75%]", "train[50%:]"], "mnist: found images that are in train[:75%] and in train[50%:], expected"),
    ],
)
def test_splits_that_are_not_there_or_share_images_are_refused(
    tmp_path: Path, tfds: Any, splits: list[str], message: str
) -> None:
    write_metadata(tfds, "mnist", tmp_path / "metadata", {"train": 4, "test": 4})
    with (
        tfds.testing.mock_data(num_examples=4, data_dir=str(tmp_path / "metadata")),
        pytest.raises(UserError, match=re.escape(message)),
    ):
        download("mnist", tmp_path / "data", splits)


def test_a_set_without_a_training_split_asks_for_one(tmp_path: Path, tfds: Any) -> None:
    write_metadata(tfds, "mnist", tmp_path / "metadata", {"test": 4})
    with (
        tfds.testing.mock_data(num_examples=4, data_dir=str(tmp_path / "metadata")),
        pytest.raises(UserError, match="mnist: found splits test, expected train; choose by --split"),
    ):
        download("mnist", tmp_path / "data")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server of MNIST in its original format: 20 training and 10 test images, image i of pixels i."""
    files = tmp_path / "served"
    files.mkdir()
    for part, count in (("train", 20), ("t10k", 10)):
        images = np.repeat(np.arange(count, dtype=np.uint8), 28 * 28)
        labels = np.arange(count, dtype=np.uint8) % 10
        content = struct.pack(">4i", 0x803, count, 28, 28) + images.tobytes()
        (files / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
        (files / f"{part}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">2i", 0x801, count) + labels.tobytes())
        )
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(files))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ([], {"train": range(20), "test": range(10)}),
        (["train[:75%]", "train[75%:]"], {"train": range(15), "test": range(15, 20)}),
    ],
)
def test_a_real_download_from_a_local_server(
    tmp_path: Path,
    tfds: Any,
    server: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    splits: list[str],
    expected: dict[str, range],
) -> None:
    from tensorflow_datasets.image_classification import mnist

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(mnist.MNIST, "URL", server)
    monkeypatch.setattr(mnist.MNIST, "url_infos", {server: None})
    monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", 20)
    monkeypatch.setattr(mnist, "_TEST_EXAMPLES", 10)
    download("mnist", tmp_path / "data", splits)
    read = read_back(tmp_path / "data")
    assert {part: len(images) for part, (images, _) in read.items()} == {part: len(expected[part]) for part in read}
    values = {part: sorted(images[:, 3, 4, 0].tolist()) for part, (images, _) in read.items()}
    if splits:  # TFDS shuffles when it prepares: the slices share no image
        values = {"train": sorted(values["train"] + values["test"])}
        expected = {"train": range(20)}
    assert values == {part: list(rows) for part, rows in expected.items()}
    for images, labels in read.values():
        assert labels == [str(index % 10) for index in images[:, 0, 0, 0]]
    assert (cache / "mnist").is_dir()


def test_files_that_are_there_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mnist_train.csv").write_text("mine")
    download("mnist", tmp_path)
    assert [path.name for path in tmp_path.glob("*.csv*")] == ["mnist_train.csv"]
    assert "found mnist_train.csv; nothing downloaded" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["train", "test"])
def test_class_folders_that_are_there_are_kept(tmp_path: Path, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / part / "ant").mkdir(parents=True)
    download("cifar10", tmp_path)
    assert capsys.readouterr().out.startswith(f"{tmp_path}: found {part}; nothing downloaded\n")


def test_refused_connection_ends_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        proxy = f"http://127.0.0.1:{unused.getsockname()[1]}"
        ended = subprocess.run(
            [sys.executable, "-m", "stages.prepare.download", "mnist", "--to", str(tmp_path / "data")],
            cwd=ROOT,
            env=os.environ | {"HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": "", "no_proxy": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        "download: https://storage.googleapis.com/cvdf-datasets/mnist/t10k-images-idx3-ubyte.gz: not reachable "
        "(ProxyError); connect this machine to the network, or put train_images_mnist.csv.gz, "
        "train_labels_mnist.csv.gz, test_images_mnist.csv.gz, test_labels_mnist.csv.gz "
        f"into {tmp_path / 'data'} by hand\n"
    )
    assert not (tmp_path / "data").exists()


def test_the_files_are_added_to_dvc_though_git_ignores_them(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    folder = repository / "data" / "mnist"
    folder.mkdir(parents=True)
    (repository / ".gitignore").write_text("/data/mnist/*.csv\n")
    (folder / "README.md").write_text("kept by git")
    for name in ("mnist_train.csv", "mnist_test.csv", "train/ant/0.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("0,1\n")
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=repository, check=True, capture_output=True)
    for _ in range(2):  # and again, where the .dvc files are there already
        download("mnist", folder)
        subprocess.run(["git", "add", "--all"], cwd=repository, check=True)
        listed = subprocess.run(["git", "ls-files", "data"], cwd=repository, check=True, capture_output=True, text=True)
        assert listed.stdout.split() == [
            f"data/mnist/{name}"
            for name in (".gitignore", "README.md", "mnist_test.csv.dvc", "mnist_train.csv.dvc", "train.dvc")
        ]


def test_a_failing_dvc_says_why(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train.csv").write_text("mine")
    with pytest.raises(UserError, match="`dvc add` failed: ERROR: "):
        download("mnist", tmp_path / "mnist")


@pytest.mark.parametrize("name", ["../up", "a/b/c", "mnist;ls", ""])
def test_names_that_are_paths_are_refused(name: str) -> None:
    with pytest.raises(Exception, match="expected a name such as mnist"):
        module._name(name)
