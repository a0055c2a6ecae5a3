"""Held-out classes: no image of theirs is trained on or chosen by, all of their test images are kept."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.errors import UserError
from stages.prepare.classes import Classes, index_classes
from stages.prepare.labelled import Labelled
from stages.prepare.stage import run
from tests.prepare import small


def labelled(part: str, words: Sequence[str]) -> Labelled:
    """Images of one pixel, labelled as written."""
    names = sorted(set(words))
    codes = np.array([names.index(word) for word in words], np.int32)
    images = np.zeros((len(words), 1, 1, 1), np.uint8)
    return Labelled(images, codes, names, [f"{part}.csv"], lambda row: f"{part}.csv: row {row + 1}")


def index(train: str, test: str, holdout: Sequence[str | int] | None) -> Classes:
    return index_classes(labelled("train", train.split()), labelled("test", test.split()), holdout)


@pytest.mark.parametrize(
    ("train", "test", "holdout", "names", "held_out"),
    [
        ("0 0 1 1 6 6", "6 0", [6], ["0", "1", "6"], [2]),
        ("0 0 1 1 6 6", "6 0", ["6"], ["0", "1", "6"], [2]),
        ("0 0 1 1 6 6", "6 0", ["06"], ["0", "1", "6"], [2]),
        ("0 0 1 1 6 6", "6 0", [" +6 "], ["0", "1", "6"], [2]),
        ("0 0 1 1 006 6", "6 0", [6, "6", 6], ["0", "1", "6"], [2]),
        ("0 0 10 10 9 9 -1 -1", "10 -1 9 0", [10, -1], ["-1", "0", "9", "10"], [0, 3]),
        ("ant ant bee bee cat cat", "cat bee", ["bee"], ["ant", "bee", "cat"], [1]),
        ("ant ant bee bee 6 6", "6 ant", [6], ["6", "ant", "bee"], [0]),
        ("ant ant bee bee 06 06 6 6", "6 06", ["06"], ["06", "6", "ant", "bee"], [0]),
        ("0 0 1 1 2", "2", [2], ["0", "1", "2"], [2]),
        ("0 0 2 2", "1 0", [1], ["0", "1", "2"], [1]),
        ("0 0 2 2", "odd 0", ["odd"], ["0", "2", "odd"], [2]),
        ("ant ant cat cat", "bee", ["bee"], ["ant", "bee", "cat"], [1]),
        ("0 0 1 1", "1", [], ["0", "1"], []),
        ("0 0 2 2", "3 1 02 1", None, ["0", "1", "2", "3"], [1, 3]),
        ("ant ant cat cat", "bee dog", None, ["ant", "bee", "cat", "dog"], [1, 3]),
        ("0 0 1 1", "1", None, ["0", "1"], []),
    ],
    ids=[
        "number", "text", "zero in front", "sign and blanks", "twice", "several", "word", "number among words",
        "zero in front among words", "one training image", "in test only", "word in test only beside integers",
        "word in test only", "none", "all in test only", "all words in test only", "none in test only",
    ],
)  # fmt: skip
def test_a_class_is_named_as_it_is_written_or_meant(
    train: str, test: str, holdout: list[str | int] | None, names: list[str], held_out: list[int]
) -> None:
    classes = index(train, test, holdout)
    assert classes.names == names
    assert classes.held_out.tolist() == held_out


@pytest.mark.parametrize(
    ("train", "test", "holdout", "message"),
    [
        ("0 0 1 1 2 2", "2", [7], "data.holdout_classes: found 7, expected names of classes; the 3 are 0, 1, 2"),
        ("0 0 1 1 2 2", "2", [2, "x"], "data.holdout_classes: found 'x', expected names of classes; the 3 are 0, 1, 2"),
        ("a a b b 02 02", "02", [2], "data.holdout_classes: found 2, expected names of classes; the 3 are 02, a, b"),
        (
            " ".join(f"{number} {number}" for number in range(100)),
            "2 odd",
            ["od"],
            "data.holdout_classes: found 'od', expected names of classes; the 101 are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …",
        ),
        (
            "0 0 1 1 2 2",
            "0 1",
            [2],
            "data.holdout_classes: found 2, of which test.csv has no image; expected classes that can be tested",
        ),
        (
            "0 0 1 1 2 2",
            "0 1 2",
            ["0", 1],
            "data.holdout_classes: found [0, 1], which leaves 1 of the 3 classes in train.csv for training, "
            "expected at least 2",
        ),
        (
            "0 0 1 1",
            "0 1 5",
            [0, 1, 5],
            "data.holdout_classes: found [0, 1, 5], which leaves 0 of the 2 classes in train.csv for training, "
            "expected at least 2",
        ),
        ("0 0 0", "0 1", [1], "train.csv: row 1: found only one class, '0', expected at least two"),
        (
            "0 0 1 1 2 3",
            "2 3",
            [2],
            "train.csv: row 6: found the only training image of class '3', expected at least two of each",
        ),
        (
            "0 0 1 1",
            "0 2 3",
            [2],
            "test.csv: row 3: found an image of class '3', expected one of those in train.csv or in "
            "data.holdout_classes (null: all that only test has)",
        ),
        (
            "0 0 1 1",
            "0 4 2 3 4",
            [],
            "test.csv: row 2: found an image of class '4' and of 2 more classes (2, 3), expected one of those in "
            "train.csv or in data.holdout_classes (null: all that only test has)",
        ),
        (
            "0 0 1 1 2 3",
            "0",
            [],
            "train.csv: row 5: found the only training image of class '2' and of 1 more class (3), expected at least "
            "two of each",
        ),
    ],
    ids=[
        "unknown",
        "second of two unknown",
        "unknown among words",
        "unknown among many",
        "no test image",
        "one left",
        "none left",
        "one class in the file",
        "another with one training image",
        "another in test only",
        "several in test only",
        "several with one training image",
    ],
)
def test_what_cannot_be_held_out_is_refused_in_one_line(
    train: str, test: str, holdout: list[str | int], message: str
) -> None:
    with pytest.raises(UserError) as refused:
        index(train, test, holdout)
    assert str(refused.value) == message


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_each_image_keeps_its_class_and_is_held_out_with_it(data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(["0", "00", "1", "7", "-3", "+7", "12", "cat"]), max_size=25))
    train = data.draw(st.permutations([*words, *words, "50", "50", "51", "51"]))
    test = data.draw(st.permutations([*words, "50"]))
    holdout = data.draw(st.lists(st.sampled_from(words), max_size=4)) if words else []

    def meant(written: list[str]) -> list[str]:
        return written if "cat" in words else [str(int(word)) for word in written]

    classes = index_classes(labelled("train", train), labelled("test", test), holdout)
    assert {classes.names[label] for label in classes.held_out} == set(meant(holdout))
    assert [classes.names[label] for label in classes.train_labels] == meant(train)
    assert [classes.names[label] for label in classes.test_labels] == meant(test)
    assert classes.seen_rows.tolist() == [row for row, word in enumerate(meant(train)) if word not in meant(holdout)]


def prepare(folder: Path, out: Path, **changes: object) -> Path:
    paths = small.paths(out)
    run(small.data(folder, **changes), paths, seed=0, threads=2)
    return Path(paths.prepared)


def write_five_classes(folder: Path) -> None:
    """50 training and 20 test images of the classes 0 to 4 in turn."""
    for part, count in (("train", 50), ("test", 20)):
        small.write(folder / f"{part}_images.csv", small.lines(small.images(count), small.header()))
        small.write(folder / f"{part}_labels.csv", ["label", *small.labels(count, classes=5)])


def test_training_and_validation_have_no_image_of_theirs_and_test_has_all(tmp_path: Path) -> None:
    write_five_classes(tmp_path)
    prepared = prepare(tmp_path, tmp_path / "out", holdout_classes=[1, "03"])
    original = {image.tobytes(): row for row, image in enumerate(small.images(50))}
    seen: list[int] = []
    for split in ("train", "validation"):
        rows = [original[image.tobytes()] for image in np.load(prepared / f"{split}_images.npy")]
        assert np.load(prepared / f"{split}_labels.npy").tolist() == [row % 5 for row in rows]
        seen += rows
    assert sorted(seen) == [row for row in range(50) if row % 5 in (0, 2, 4)]
    np.testing.assert_array_equal(np.load(prepared / "test_images.npy").reshape(20, -1), small.images(20))
    assert np.load(prepared / "test_labels.npy").tolist() == [row % 5 for row in range(20)]


def test_what_they_are_has_no_part_in_what_is_trained_on(tmp_path: Path) -> None:
    write_five_classes(tmp_path / "in")
    before = prepare(tmp_path / "in", tmp_path / "before", holdout_classes=[1, 3])
    images = small.images(50)
    images[[row for row in range(50) if row % 5 in (1, 3)]] = 7
    small.write(tmp_path / "in" / "train_images.csv", small.lines(images, small.header()))
    after = prepare(tmp_path / "in", tmp_path / "after", holdout_classes=[1, 3])
    for file in before.iterdir():
        assert file.read_bytes() == (after / file.name).read_bytes()


def test_summary_and_line_say_which_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_five_classes(tmp_path)
    prepared = prepare(tmp_path, tmp_path / "out", holdout_classes=[3, 1])
    summary = json.loads((prepared / "summary.json").read_text())
    assert json.loads((prepared / "classes.json").read_text()) == ["0", "1", "2", "3", "4"]
    assert summary["held_out"] == {"classes": ["1", "3"], "training_images_left_out": 20, "test_images": 8}
    assert summary["classes"] == 5
    assert summary["images"] == {"train": 24, "validation": 6, "test": 20}
    assert summary["per_class"] == {
        "train": {"0": 8, "1": 0, "2": 8, "3": 0, "4": 8},
        "validation": {"0": 2, "1": 0, "2": 2, "3": 0, "4": 2},
        "test": {"0": 4, "1": 4, "2": 4, "3": 4, "4": 4},
    }
    assert capsys.readouterr().out == (
        "small: 24 train, 6 validation, 20 test images of 4 × 4 × 1 in 5 classes, "
        f"2 of them held out from training (1, 3) → {prepared}\n"
    )


def test_a_refusal_leaves_nothing_behind(tmp_path: Path) -> None:
    write_five_classes(tmp_path / "in")
    with pytest.raises(UserError, match="data.holdout_classes: found '5', expected names of classes"):
        prepare(tmp_path / "in", tmp_path / "out", holdout_classes=[5])
    assert not (tmp_path / "out").exists()


def test_too_small_a_share_for_the_classes_that_are_left(tmp_path: Path) -> None:
    write_five_classes(tmp_path)
    with pytest.raises(UserError, match="data.validation: found 0.01, which gives none of 30 training images"):
        prepare(tmp_path, tmp_path / "out", holdout_classes=[1, 3], validation=0.01)


def test_spellings_that_are_one_class_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert index("1 01 2 2 +2", "1", []).names == ["1", "2"]
    assert capsys.readouterr().out == "train.csv: took for one class each: +2 and 2, 01 and 1\n"
