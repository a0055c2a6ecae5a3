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
        ("cifar10", "cifar10: found images of shape [32, 32, 3], expected grey ones of one size"),
        ("cats_vs_dogs", "cats_vs_dogs: found images of shape [None, None, 3], expected grey ones of one size"),
        ("iris", "iris: found no image with a label"),
    ],
)
def test_data_sets_that_do_not_fit_are_refused(tmp_path: Path, tfds: Any, name: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        download(name, tmp_path / "data")
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


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


def test_a_real_download_from_a_local_server(
    tmp_path: Path, tfds: Any, server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorflow_datasets.image_classification import mnist

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(mnist.MNIST, "URL", server)
    monkeypatch.setattr(mnist.MNIST, "url_infos", {server: None})
    monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", 20)
    monkeypatch.setattr(mnist, "_TEST_EXAMPLES", 10)
    download("mnist", tmp_path / "data")
    for part, count in (("train", 20), ("test", 10)):
        images, labels = read_back(tmp_path / "data")[part]
        assert sorted(images[:, 3, 4, 0].tolist()) == list(range(count))
        assert labels == [str(index % 10) for index in images[:, 0, 0, 0]]
    assert (cache / "mnist").is_dir()


def test_files_that_are_there_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mnist_train.csv").write_text("mine")
    download("mnist", tmp_path)
    assert [path.name for path in tmp_path.glob("*.csv*")] == ["mnist_train.csv"]
    assert "found mnist_train.csv; nothing downloaded" in capsys.readouterr().out


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
    for name in ("mnist_train.csv", "mnist_test.csv"):
        (folder / name).write_text("0,1\n")
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=repository, check=True, capture_output=True)
    for _ in range(2):  # and again, where the .dvc files are there already
        download("mnist", folder)
        subprocess.run(["git", "add", "--all"], cwd=repository, check=True)
        listed = subprocess.run(["git", "ls-files", "data"], cwd=repository, check=True, capture_output=True, text=True)
        assert listed.stdout.split() == [
            f"data/mnist/{name}" for name in ("README.md", "mnist_test.csv.dvc", "mnist_train.csv.dvc")
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
