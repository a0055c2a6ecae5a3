"""The Embedding Projector's files agree with each other, row by row and thumbnail by thumbnail."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages import config
from stages.errors import UserError
from stages.render import projector

ROOT = Path(__file__).parents[2]


def numbered(n, height=8, width=8, channels=1):
    """Images of which each is one value of its own."""
    return np.broadcast_to(np.arange(1, n + 1, dtype=np.uint8)[:, None, None, None], (n, height, width, channels))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.sampled_from([(8, 8), (28, 28), (5, 9), (64, 40)]), st.sampled_from([1, 3]))
def test_thumbnails_stand_row_by_row(n, shape, channels):
    sprite, (height, width) = projector.mosaic(numbered(n, shape[0], shape[1], channels))
    side = sprite.shape[0] // height
    assert sprite.shape == (side * height, side * width, channels)
    assert (side - 1) ** 2 < n <= side**2
    cells = sprite.reshape(side, height, side, width, channels).swapaxes(1, 2).reshape(side * side, -1)
    assert (cells[:n] == np.arange(1, n + 1)[:, None]).all()
    assert not cells[n:].any()


@pytest.mark.parametrize(("side", "shown"), [(8, 32), (14, 28), (28, 28), (32, 32), (2, 28)])
def test_small_images_are_enlarged_to_be_legible(side, shown):
    _, size = projector.mosaic(numbered(4, side, side))
    assert size == (shown, shown)


@pytest.mark.parametrize(("n", "side"), [(4, 5000), (90, 1000), (5, 2800), (90_000, 8)])
def test_sprite_is_never_larger_than_tensorboard_shows(n, side):
    images = np.broadcast_to(np.uint8(7), (n, side, 8, 1))
    sprite, (height, width) = projector.mosaic(images)
    assert max(sprite.shape) <= projector.SPRITE_SIDE
    assert sprite.shape[0] // height == int(np.ceil(np.sqrt(n)))
    assert width >= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_in_one_order(tmp_path, channels):
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(30, 6)).astype(np.float32)
    labels, index = rng.integers(0, 3, 30), rng.permutation(500)[:30]
    classes = ["zero", "a\tb\nc", "é"]
    files = projector.write(
        tmp_path, embeddings, numbered(30, channels=channels), labels, index, classes, "digits test"
    )
    assert tuple(file.name for file in files) == projector.FILES
    np.testing.assert_allclose(np.loadtxt(tmp_path / "vecs.tsv", delimiter="\t"), embeddings, rtol=1e-5)
    metadata = (tmp_path / "meta.tsv").read_text(encoding="utf-8").splitlines()
    assert metadata[0] == "class\tindex"
    names = ["zero", "a b c", "é"]
    assert metadata[1:] == [f"{names[label]}\t{i}" for i, label in zip(index, labels, strict=True)]
    settings_text = (tmp_path / "projector_config.pbtxt").read_text()
    width, height = map(int, re.findall(r"single_image_dim: (\d+)", settings_text))
    with Image.open(tmp_path / "sprite.png") as picture:
        assert picture.mode == ("L" if channels == 1 else "RGB")
        sprite = np.asarray(picture.convert("L"))
    for row in range(30):
        y, x = divmod(row, sprite.shape[1] // width)
        assert (sprite[y * height : (y + 1) * height, x * width : (x + 1) * width] == row + 1).all()


def test_settings_name_the_files_in_tensorboards_format(tmp_path):
    projector.write(tmp_path, np.ones((4, 2)), numbered(4, 8, 14), np.zeros(4, int), np.arange(4), ["a"], 'the "best"')
    expected = r"""embeddings {
  tensor_name: "the \"best\""
  tensor_path: "vecs.tsv"
  metadata_path: "meta.tsv"
  sprite {
    image_path: "sprite.png"
    single_image_dim: 28
    single_image_dim: 16
  }
}
"""
    assert (tmp_path / "projector_config.pbtxt").read_text() == expected


@pytest.fixture
def tensorboard(tmp_path):
    """The folder of the files and the address of a TensorBoard on it, started as `make projector` does."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "projector"
    embeddings, labels = rng.normal(size=(30, 6)).astype(np.float32), rng.integers(0, 3, 30)
    projector.write(folder, embeddings, numbered(30), labels, np.arange(30), ["a", "b", "c"], "digits test")
    (tmp_path / "params.yaml").write_text(config.compose([f"paths.projector={folder}"]))
    server = subprocess.Popen(
        [sys.executable, "-m", "stages.render.projector", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run that a shell has put into the background ignores Ctrl+C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert server.stdout
    yield folder, server.stdout.readline(), server
    server.kill()
    server.communicate()


def test_tensorboard_serves_the_files_and_ends_at_ctrl_c(tensorboard):
    folder, line, server = tensorboard
    found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)#projector shows .*projector; Ctrl\+C ends it\n", line)
    assert found, server.communicate()[1]

    def fetch(route, **query):
        address = f"{found[1]}data/plugin/projector/{route}?{urllib.parse.urlencode(query)}"
        return urllib.request.urlopen(address, timeout=20).read()

    assert json.loads(fetch("runs")) == ["."]
    [embedding] = json.loads(fetch("info", run="."))["embeddings"]
    assert embedding["tensorName"] == "digits test"
    assert embedding["tensorShape"] == [30, 6]
    assert embedding["sprite"]["singleImageDim"] == [32, 32]
    asked = {"run": ".", "name": "digits test"}
    vectors = np.frombuffer(fetch("tensor", **asked), np.float32).reshape(30, 6)
    np.testing.assert_allclose(vectors, np.loadtxt(folder / "vecs.tsv", delimiter="\t"), rtol=1e-6)
    assert fetch("metadata", **asked) == (folder / "meta.tsv").read_bytes()
    assert fetch("sprite_image", **asked) == (folder / "sprite.png").read_bytes()
    server.send_signal(signal.SIGINT)
    _, errors = server.communicate(timeout=20)
    assert (server.returncode, errors) == (0, "")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"vecs\.tsv: no such file; expected the output of the render stage"):
        projector.show(tmp_path, port=6006)
