"""From the names of classes to their indices: integers in order of value, words alphabetically."""

import re

import numpy as np

from stages.errors import UserError
from stages.prepare.labelled import Labelled

_INTEGER = re.compile(r"[+-]?\d+")


def index_classes(train: Labelled, test: Labelled) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Number the classes of the training images.

    Returns:
        The names of the C classes, integers without leading zeros; then the class indices 0..C-1 of the training and
        of the test images, int32 `[N]` each.

    Raises:
        UserError: only one class, a class with one training image, a test image of a class that training lacks.
    """
    integers = all(_INTEGER.fullmatch(name) for name in train.names)
    keys = [_key(name, integers) for name in train.names]
    classes = sorted(set(keys))
    position = {key: index for index, key in enumerate(classes)}
    train_labels = np.array([position[key] for key in keys], np.int32)[train.codes]
    if len(classes) < 2:
        raise UserError(f"{train.place(0)}: found only one class, {str(classes[0])!r}, expected at least two")
    single = np.flatnonzero(np.bincount(train_labels) == 1)
    if len(single):
        row = int(np.flatnonzero(train_labels == single[0])[0])
        raise UserError(
            f"{train.place(row)}: found the only training image of class {str(classes[single[0]])!r}, "
            "expected at least two of each"
        )
    lookup = np.array([position.get(_key(name, integers), -1) for name in test.names], np.int32)
    test_labels = lookup[test.codes]
    if len(test_labels) and test_labels.min() < 0:
        row = int(np.flatnonzero(test_labels < 0)[0])
        name = test.names[test.codes[row]]
        raise UserError(f"{test.place(row)}: found class {name!r}, expected one of those in {train.files[-1]}")
    return [str(key) for key in classes], train_labels, test_labels


def _key(name: str, integers: bool) -> int | str:
    return int(name) if integers and _INTEGER.fullmatch(name) else name
