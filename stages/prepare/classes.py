"""From the names of classes to their indices: integers in order of value, words alphabetically."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.errors import UserError
from stages.prepare.images import Images
from stages.prepare.labelled import Labelled

Key = int | str

_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}")  # Python turns no more than 4,300 digits into a number
_LISTED = 10  # names in a message or a printed line, at most


@dataclass(frozen=True)
class Classes:
    """All classes, numbered, those that are held out from training among them.

    Attributes:
        names: of the C classes, integers without leading zeros.
        train_labels: int32 `[N]`, class indices 0..C-1 of the images in the training files, held-out ones too.
        test_labels: int32 `[M]`, those of the test images.
        held_out: int64 `[H]`, indices of the classes that training does not see, ascending.
    """

    names: list[str]
    train_labels: np.ndarray
    test_labels: np.ndarray
    held_out: np.ndarray

    @property
    def held_out_names(self) -> list[str]:
        """Names of the held-out classes."""
        return [self.names[index] for index in self.held_out]

    @property
    def seen_rows(self) -> np.ndarray:
        """Rows of the training files whose class is not held out: int64, ascending."""
        return np.flatnonzero(~np.isin(self.train_labels, self.held_out))


def index_classes(train: Labelled[Images], test: Labelled[Images], holdout: Sequence[str | int] | None = ()) -> Classes:
    """Number the classes of the training images and those that are held out, which the test images alone may have.

    Args:
        train: what the training files hold.
        test: what the test files hold.
        holdout: names of the classes to hold out, compared as classes are: 6, "6" and "06" are one where the training
            files name classes by integers. A name given twice counts once. None: the classes that only test has.

    Raises:
        UserError: only one class in the training files, or less than two left; a held-out class that is not there or
            has no test image; another class that has a single training image, or that only test has.
    """
    integers = all(_INTEGER.fullmatch(name) for name in train.names)
    train_keys, test_keys = ([_key(name, integers) for name in part.names] for part in (train, test))
    if len(set(train_keys)) < 2:
        raise UserError(f"{train.place(0)}: found only one class, {str(train_keys[0])!r}, expected at least two")
    if holdout is None:
        seen = {*train_keys}
        holdout = [name for name, key in zip(test.names, test_keys, strict=True) if key not in seen]
    held_out = {_key(str(name).strip(), integers): name for name in holdout}
    _check_held_out(held_out, train_keys, test_keys, train.files[-1], test.files[-1])
    classes = _in_order({*train_keys, *held_out})
    position = {key: index for index, key in enumerate(classes)}
    indexed = Classes(
        [str(key) for key in classes],
        np.array([position[key] for key in train_keys], np.int32)[train.codes],
        np.array([position.get(key, -1) for key in test_keys], np.int32)[test.codes],
        np.array(sorted(position[key] for key in held_out), np.int64),
    )
    _check_training_images(indexed, train)
    _check_test_images(indexed, test, train.files[-1])
    _tell_of_merged(train, train_keys)
    return indexed


def matching(names: Sequence[str], holdout: Sequence[str | int]) -> list[int]:
    """Indices of the names that a list of held-out classes means.

    >>> matching(["5", "06", "7"], [6, "7"])
    [1, 2]
    >>> matching(["ant", "06"], [6, "ant"])
    [0]
    """
    integers = all(_INTEGER.fullmatch(name) for name in names)
    meant = {_key(str(name).strip(), integers) for name in holdout}
    return [index for index, name in enumerate(names) if _key(name, integers) in meant]


def listed(names: Sequence[str]) -> str:
    """Names for a line of text, the first of them where they are many.

    >>> listed(["ant", "bee"])
    'ant, bee'
    >>> listed([str(number) for number in range(200)])
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …'
    """
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def and_more(names: Sequence[str]) -> str:
    """What follows the first of the classes that are found wanting.

    >>> and_more(["ant"]), and_more(["ant", "bee", "cat"])
    ('', ' and of 2 more classes (bee, cat)')
    """
    if len(names) == 1:
        return ""
    return f" and of {len(names) - 1} more class{'es' if len(names) > 2 else ''} ({listed(names[1:])})"


def _key(name: str, integers: bool) -> Key:
    return int(name) if integers and _INTEGER.fullmatch(name) else name


def _in_order(keys: set[Key]) -> list[Key]:
    # Beside integers there may be words: names that only the test files have.
    return sorted(keys, key=lambda key: (isinstance(key, str), key))


def _check_held_out(
    held_out: dict[Key, str | int], train_keys: list[Key], test_keys: list[Key], train_file: str, test_file: str
) -> None:
    for key, written in held_out.items():
        found = f"data.holdout_classes: found {written!r}"
        if key not in train_keys and key not in test_keys:
            names = [str(key) for key in _in_order({*train_keys, *test_keys})]
            raise UserError(f"{found}, expected names of classes; the {len(names)} are {listed(names)}")
        if key not in test_keys:
            raise UserError(f"{found}, of which {test_file} has no image; expected classes that can be tested")
    there, left = {*train_keys}, {*train_keys} - {*held_out}
    if len(left) < 2:
        raise UserError(
            f"data.holdout_classes: found [{listed([str(key) for key in held_out])}], which leaves {len(left)} of the "
            f"{len(there)} classes in {train_file} for training, expected at least 2"
        )


def _check_training_images(classes: Classes, train: Labelled[Images]) -> None:
    counts = np.bincount(classes.train_labels[classes.seen_rows])
    single = np.flatnonzero(counts == 1)
    if len(single):
        row = int(np.flatnonzero(classes.train_labels == single[0])[0])
        raise UserError(
            f"{train.place(row)}: found the only training image of class {classes.names[single[0]]!r}"
            f"{and_more([classes.names[code] for code in single])}, expected at least two of each"
        )


def _check_test_images(classes: Classes, test: Labelled[Images], train_file: str) -> None:
    unknown = np.flatnonzero(classes.test_labels < 0)
    if len(unknown):
        row = int(unknown[0])
        names = [test.names[code] for code in dict.fromkeys(test.codes[unknown].tolist())]
        unlabelled = "; images without labels are no test images" if len(test.names) == 1 else ""
        raise UserError(
            f"{test.place(row)}: found an image of class {names[0]!r}{and_more(names)}, expected one of those in "
            f"{train_file} or in data.holdout_classes (null: all that only test has){unlabelled}"
        )


def _tell_of_merged(train: Labelled[Images], keys: list[Key]) -> None:
    """Say where two spellings are one class, which of folders may not be meant."""
    written: dict[Key, list[str]] = {}
    for key, name in zip(keys, train.names, strict=True):
        written.setdefault(key, []).append(name)
    merged = [" and ".join(names) for names in written.values() if len(names) > 1]
    if merged:
        print(f"{train.files[-1]}: took for one class each: {listed(merged)}")
