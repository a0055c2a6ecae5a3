"""What evaluate and render read of a split: its images, labels and embeddings, checked against each other."""

import math
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages import config, prepared, store
from stages.errors import UserError

SPLITS = ("train", "validation", "test")
_ROWS = 2**16  # looked at together
_LARGEST = 1e15  # of an embedding: a sum of squares of larger ones may leave float32


@dataclass(frozen=True)
class Split:
    """The rows of one split, in one order.

    Attributes:
        images: uint8 `[N, H, W, C]`, read from the disk as it is used.
        labels: int32 `[N]`, class indices.
        trained: float32 `[N, D]`, finite, read from the disk as it is used.
        untrained: float32 `[N, D]`, finite, likewise.
    """

    images: np.ndarray
    labels: np.ndarray
    trained: np.ndarray
    untrained: np.ndarray

    def systems(self) -> dict[str, np.ndarray]:
        """The rows as each system sees them: flat pixels (uint8), untrained and trained embeddings."""
        return {
            "raw": np.asarray(self.images).reshape(len(self.images), math.prod(self.images.shape[1:])),
            "untrained": self.untrained,
            "trained": self.trained,
        }

    def rows(self, rows: np.ndarray) -> "Split":
        """Some rows as a split of their own.

        A run of rows without gaps is a view, which stays on the disk; other rows are copied into memory.

        Args:
            rows: int `[M]`, ascending, none twice.
        """
        consecutive = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
        chosen = slice(int(rows[0]), int(rows[-1]) + 1) if consecutive else rows
        return Split(self.images[chosen], self.labels[chosen], self.trained[chosen], self.untrained[chosen])


def release(array: np.ndarray) -> None:
    """Take what was read of a file out of memory; it is read again when it is used. Does nothing for other arrays."""
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def groups(train_labels: np.ndarray, test_labels: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of the test split by whether training knows their class: what is reported apart where classes are held out.

    Only one group, `test`, where training knows all. Else also `test_seen` and `test_unseen`, of which `test_seen` is
    missing where the test split has held-out classes only: no group is empty, unless the test split is.

    Args:
        train_labels: int `[N]`, of the training split.
        test_labels: int `[M]`.

    Returns:
        int64 rows of the test split by the group's name, ascending.

    >>> groups(np.array([0, 3, 3]), np.array([3, 1, 0]))
    {'test': array([0, 1, 2]), 'test_seen': array([0, 2]), 'test_unseen': array([1])}
    """
    everything = {"test": np.arange(len(test_labels))}
    seen = np.isin(test_labels, train_labels)
    if seen.all():
        return everything
    parts = {"test_seen": np.flatnonzero(seen), "test_unseen": np.flatnonzero(~seen)}
    return everything | {name: rows for name, rows in parts.items() if len(rows)}


def load_split(paths: config.Paths, name: str, training: Split | None = None) -> Split:
    """Read one of `SPLITS`.

    Args:
        paths: where they are.
        name: of the split.
        training: the training split, to which images and embeddings must be alike in shape.

    Raises:
        UserError: a file is missing or malformed, two of them disagree, or an embedding is not finite.
    """
    loaded, embeddings = prepared.load(paths.prepared, name), Path(paths.embeddings)
    files = {
        **prepared.files(paths.prepared, name),
        "embedded_labels": embeddings / f"{name}_labels.npy",
        "trained": embeddings / f"{name}_embeddings.npy",
        "untrained": embeddings / f"{name}_untrained.npy",
    }
    images, labels = loaded.images, loaded.labels
    embedded_labels = store.load_labels(files["embedded_labels"])
    trained = store.load_array(files["trained"], np.float32, 2, memory_map=True)
    untrained = store.load_array(files["untrained"], np.float32, 2, memory_map=True)
    for key, array in (("images", images), ("trained", trained), ("untrained", untrained)):
        if not all(array.shape):
            raise UserError(f"{files[key]}: found an empty array of shape {list(array.shape)}, expected some in it")
    for key, array in (("embedded_labels", embedded_labels), ("trained", trained), ("untrained", untrained)):
        if len(array) != len(images):
            raise UserError(f"{files[key]}: found {len(array)} rows, expected {len(images)} as in {files['images']}")
    if not np.array_equal(labels, embedded_labels):
        row = int(np.flatnonzero(labels != embedded_labels)[0])
        raise UserError(
            f"{files['embedded_labels']}: row {row} is {embedded_labels[row]}, expected {labels[row]} as in "
            f"{files['labels']} (run `dvc repro embed`)"
        )
    for key, array in (("trained", trained), ("untrained", untrained)):
        broken = _first_broken(array)
        release(array)
        if broken is not None:
            found = "numbers beyond 1e15" if np.isfinite(array[broken]).all() else "NaN or infinity"
            raise UserError(
                f"{files[key]}: row {broken} holds {found}, expected finite numbers "
                "(training may have diverged: lower the learning rate)"
            )
    split = Split(images, labels, trained, untrained)
    if training is not None:
        _check_like(split, training, files)
    return split


def _first_broken(array: np.ndarray) -> int | None:
    """The first row with a number that is not finite, or too large."""
    for begin in range(0, len(array), _ROWS):
        broken = np.flatnonzero(~(np.abs(array[begin : begin + _ROWS]) < _LARGEST).all(axis=1))
        if len(broken):
            return begin + int(broken[0])
    return None


def _check_like(split: Split, other: Split, files: Mapping[str, Path]) -> None:
    """Check that images and embeddings are of the shapes of another split: those of an earlier run need not be."""
    for key, stage in (("images", "prepare"), ("trained", "embed"), ("untrained", "embed")):
        found, expected = getattr(split, key).shape[1:], getattr(other, key).shape[1:]
        if found != expected:
            raise UserError(
                f"{files[key]}: found rows of shape {list(found)}, expected {list(expected)} as in the training split "
                f"(run `dvc repro {stage}`)"
            )


def load_classes(paths: config.Paths, splits: Sequence[Split]) -> list[str]:
    """The names of all classes, held-out ones too, by class index.

    Raises:
        UserError: no list of names, one that UTF-8 lacks, or fewer names than the labels of the splits need.
    """
    source = Path(paths.prepared) / "classes.json"
    classes = store.load_json(source)
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise UserError(f"{source}: found other content, expected a list of names")
    for name in classes:
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise UserError(f"{source}: found the name {name!a}, expected names in UTF-8")
    needed = 1 + max(int(split.labels.max(initial=-1)) for split in splits)
    if len(classes) < needed:
        raise UserError(
            f"{source}: found {len(classes)} names, expected {needed} as the labels of {paths.prepared} need"
        )
    return classes
