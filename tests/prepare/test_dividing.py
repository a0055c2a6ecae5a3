"""Test images where the files have none: a share of each class, and all of the classes that are held out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stages import store
from stages.errors import UserError
from stages.prepare.dividing import divide
from stages.prepare.images import Images
from stages.prepare.labelled import Labelled
from stages.prepare.splits import TEST, stratified
from stages.prepare.stage import run
from tests.prepare import small


def labelled(words: Sequence[str]) -> Labelled[Images]:
    """Image i has one pixel, i."""
    names = sorted(set(words))
    codes = np.array([names.index(word) for word in words], np.int32)
    images = np.arange(len(words), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Labelled(images, codes, names, ["all/"], lambda row: f"all/{words[row]}/{row}.png")


def rows(part: Labelled[Images]) -> list[int]:
    return part.images[np.arange(len(part.images))].ravel().tolist()


WORDS = ["a", "b", "c", "d"] * 10


@pytest.mark.parametrize(
    ("share", "holdout"), [(0.2, []), (0.2, ["b"]), (0.2, ["b", "d"]), (None, ["b"]), (None, ["b", "d"])]
)
def test_held_out_classes_are_tested_whole_and_of_others_a_share(share: float | None, holdout: list[str]) -> None:
    train, test = divide(labelled(WORDS), share, holdout, seed=0)
    assert sorted(rows(train) + rows(test)) == list(range(40))
    assert rows(train) == sorted(rows(train))
    assert rows(test) == sorted(rows(test))
    for part in (train, test):
        assert [part.names[code] for code in part.codes] == [WORDS[row] for row in rows(part)]
        assert [part.place(place) for place in range(len(part.codes))] == [
            f"all/{WORDS[row]}/{row}.png" for row in rows(part)
        ]
    expected = {word: 10 if word in holdout else 10 * (share or 0) for word in "abcd"}
    assert {word: [WORDS[row] for row in rows(test)].count(word) for word in "abcd"} == expected


def test_another_seed_draws_other_images() -> None:
    first, again, other = (rows(divide(labelled(WORDS), 0.2, [], seed)[1]) for seed in (0, 0, 1))
    assert first == again != other


def test_test_images_are_drawn_apart_from_validation() -> None:
    whole = labelled(WORDS)
    assert rows(divide(whole, 0.2, [], seed=0)[1]) == stratified(whole.codes, 0.2, 0, TEST)[1].tolist()


def test_no_image_is_in_two_splits(tmp_path: Path) -> None:
    small.write_folders(tmp_path / "in", small.images(40).reshape(40, 4, 4), ["a", "b"] * 20)
    run(small.folder_data(tmp_path / "in", test=0.5, validation=0.5), small.paths(tmp_path), seed=0, threads=1)
    splits = [store.load_array(tmp_path / "prepared" / f"{name}_images.npy", np.uint8, 4) for name in
              ("train", "validation", "test")]  # fmt: skip
    assert [len(split) for split in splits] == [10, 10, 20]
    assert len({image.tobytes() for split in splits for image in split}) == 40


def test_held_out_classes_of_a_divided_folder_are_reported(tmp_path: Path) -> None:
    labels = [f"{index % 4:02}" for index in range(40)]
    small.write_folders(tmp_path / "in", small.images(40).reshape(40, 4, 4), labels)
    run(small.folder_data(tmp_path / "in", holdout_classes=[3]), small.paths(tmp_path), seed=0, threads=1)
    summary = store.load_json(tmp_path / "prepared" / "summary.json")
    assert summary["held_out"] == {"classes": ["3"], "training_images_left_out": 0, "test_images": 10}
    assert summary["files"] == ["in/"]
    assert summary["per_class"]["train"]["3"] == summary["per_class"]["validation"]["3"] == 0


@pytest.mark.parametrize(
    ("words", "share", "holdout", "message"),
    [
        (
            "a a b b",
            None,
            [],
            "data.test: found null, which gives none of 4 images; expected a folder test, a share that gives at least "
            "one, or data.holdout_classes",
        ),
        ("a a b b", 0.01, [], "data.test: found 0.01, which gives none of 4 images; expected a folder test"),
        (
            "a a b b c",
            0.2,
            [],
            "all/c/4.png: found the only image of class 'c', expected at least two of each",
        ),
        (
            "a a b b",
            None,
            None,
            "data.holdout_classes: found null and no folder test in all/, expected names of classes",
        ),
        (
            "a a b b",
            0.5,
            [],
            "data.test: found 0.5, which leaves one of the 2 images of class 'a' for training, expected at least two; "
            "give each class more images, or name it in data.holdout_classes",
        ),
        (
            "a a b b",
            0.2,
            ["a"],
            "data.holdout_classes: found [a], which leaves 1 of the 2 classes in all/ for training, expected at least "
            "2",
        ),
        (
            "1 1 02 02",
            0.2,
            [1, 2],
            "data.holdout_classes: found [1, 2], which leaves 0 of the 2 classes in all/ for training, expected at "
            "least 2",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_in_one_line(
    words: str, share: float | None, holdout: list[str | int] | None, message: str
) -> None:
    with pytest.raises(UserError) as refused:
        divide(labelled(words.split()), share, holdout, seed=0)
    assert str(refused.value).startswith(message)


def test_a_held_out_class_may_have_a_single_image() -> None:
    train, test = divide(labelled(["a", "a", "a", "b", "b", "b", "c"]), None, ["c"], seed=0)
    assert (rows(train), rows(test)) == ([0, 1, 2, 3, 4, 5], [6])
