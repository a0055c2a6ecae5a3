import json
import random
from pathlib import Path

import numpy as np
import pytest

from stages import store
from stages.prepare.stage import run
from tests.prepare import small

DIGITS = Path(__file__).parents[2] / "data" / "digits"


def prepare(folder: Path, out: Path, seed: int = 0, **changes: object) -> Path:
    paths = small.paths(out)
    run(small.data(folder, **changes), paths, seed, threads=2)
    return Path(paths.prepared)


def test_images_keep_their_labels_and_their_order(tmp_path: Path) -> None:
    small.write_four(tmp_path)
    prepared = prepare(tmp_path, tmp_path / "out")
    original = {image.tobytes(): (index, index % 3) for index, image in enumerate(small.images(30))}
    seen: list[int] = []
    for split, count in (("train", 24), ("validation", 6)):
        images = store.load_array(prepared / f"{split}_images.npy", np.uint8, 4)
        labels = store.load_array(prepared / f"{split}_labels.npy", np.int32, 1)
        assert images.shape == (count, 4, 4, 1)
        indices, expected = zip(*(original[image.tobytes()] for image in images), strict=True)
        assert labels.tolist() == list(expected)
        assert list(indices) == sorted(indices)
        seen += indices
    assert sorted(seen) == list(range(30))
    np.testing.assert_array_equal(
        store.load_array(prepared / "test_images.npy", np.uint8, 4), small.images(12).reshape(12, 4, 4, 1)
    )


def test_summary_tells_what_was_prepared(tmp_path: Path) -> None:
    small.write_four(tmp_path, ".csv.gz")
    prepared = prepare(tmp_path, tmp_path / "out")
    assert json.loads((prepared / "classes.json").read_text()) == ["0", "1", "2"]
    assert json.loads((prepared / "summary.json").read_text()) == {
        "name": "small",
        "files": ["train_images.csv.gz", "train_labels.csv.gz", "test_images.csv.gz", "test_labels.csv.gz"],
        "image_shape": [4, 4, 1],
        "skipped": {},
        "classes": 3,
        "images": {"train": 24, "validation": 6, "test": 12},
        "per_class": {
            "train": {"0": 8, "1": 8, "2": 8},
            "validation": {"0": 2, "1": 2, "2": 2},
            "test": {"0": 4, "1": 4, "2": 4},
        },
        "held_out": {"classes": [], "training_images_left_out": 0, "test_images": 0},
    }


def test_two_runs_are_equal_byte_for_byte_and_another_seed_splits_otherwise(tmp_path: Path) -> None:
    first, second, other = (prepare(DIGITS, tmp_path / str(i), seed) for i, seed in enumerate([0, 0, 1]))
    files = sorted(path.name for path in first.iterdir())
    assert len(files) == 8
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)
    assert (first / "validation_images.npy").read_bytes() != (other / "validation_images.npy").read_bytes()


def test_test_labels_change_nothing_that_training_or_selection_sees(tmp_path: Path) -> None:
    small.write_four(tmp_path / "in")
    before = prepare(tmp_path / "in", tmp_path / "before")
    labels = [*["0"] * 7, *["2"] * 5]
    random.Random(0).shuffle(labels)
    small.write(tmp_path / "in" / "test_labels.csv", ["label", *labels])
    after = prepare(tmp_path / "in", tmp_path / "after")
    assert (before / "test_labels.npy").read_bytes() != (after / "test_labels.npy").read_bytes()
    for file in before.iterdir():
        if file.name.startswith(("train_", "validation_", "classes")):
            assert file.read_bytes() == (after / file.name).read_bytes()


def test_images_are_resized(tmp_path: Path) -> None:
    small.write_four(tmp_path)
    prepared = prepare(tmp_path, tmp_path / "out", image_size=2)
    assert store.load_array(prepared / "validation_images.npy", np.uint8, 4).shape == (6, 2, 2, 1)
    assert json.loads((prepared / "summary.json").read_text())["image_shape"] == [2, 2, 1]


def test_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared = prepare(DIGITS, tmp_path, name="digits", validation=0.1)
    assert capsys.readouterr().out == (
        f"digits: 1293 train, 144 validation, 360 test images of 8 × 8 × 1 in 10 classes "
        f"(0, 1, 2, 3, 4, 5, 6, 7, 8, 9) → {prepared}\n"
    )
