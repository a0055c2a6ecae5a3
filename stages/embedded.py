"""What evaluate and render read of a split: its images, labels and embeddings, checked against each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages import config, store
from stages.errors import UserError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """The rows of one split, in one order.

    Attributes:
        images: uint8 `[N, H, W, C]`, read from the disk as it is used.
        labels: int32 `[N]`, class indices.
        trained: float32 `[N, D]`, finite.
        untrained: float32 `[N, D]`, finite.
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

        A run of rows without gaps is a view, and images stay on the disk; other rows are copied into memory.

        Args:
            rows: int `[M]`, ascending, none twice.
        """
        consecutive = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
        chosen = slice(int(rows[0]), int(rows[-1]) + 1) if consecutive else rows
        return Split(self.images[chosen], self.labels[chosen], self.trained[chosen], self.untrained[chosen])


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


def load_split(paths: config.Paths, name: str) -> Split:
    """Read one of `SPLITS`.

    Raises:
        UserError: a file is missing or malformed, two of them disagree, or an embedding is not finite.
    """
    prepared, embeddings = Path(paths.prepared), Path(paths.embeddings)
    files = {
        "images": prepared / f"{name}_images.npy",
        "labels": prepared / f"{name}_labels.npy",
        "embedded_labels": embeddings / f"{name}_labels.npy",
        "trained": embeddings / f"{name}_embeddings.npy",
        "untrained": embeddings / f"{name}_untrained.npy",
    }
    images = store.load_array(files["images"], np.uint8, 4, memory_map=True)
    labels = store.load_array(files["labels"], np.int32, 1)
    embedded_labels = store.load_array(files["embedded_labels"], np.int32, 1)
    trained = store.load_array(files["trained"], np.float32, 2)
    untrained = store.load_array(files["untrained"], np.float32, 2)
    for key, array in (
        ("labels", labels),
        ("embedded_labels", embedded_labels),
        ("trained", trained),
        ("untrained", untrained),
    ):
        if len(array) != len(images):
            raise UserError(f"{files[key]}: found {len(array)} rows, expected {len(images)} as in {files['images']}")
    if not np.array_equal(labels, embedded_labels):
        row = int(np.flatnonzero(labels != embedded_labels)[0])
        raise UserError(
            f"{files['embedded_labels']}: row {row} is {embedded_labels[row]}, expected {labels[row]} as in "
            f"{files['labels']} (run `dvc repro embed`)"
        )
    for key, array in (("trained", trained), ("untrained", untrained)):
        broken = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if len(broken):
            raise UserError(
                f"{files[key]}: row {broken[0]} holds NaN or infinity, expected finite numbers "
                "(training may have diverged: lower the learning rate)"
            )
    return Split(images, labels, trained, untrained)


def load_classes(paths: config.Paths, splits: Sequence[Split]) -> list[str]:
    """The names of all classes, held-out ones too, by class index.

    Raises:
        UserError: no list of names, or fewer names than the labels of the splits need.
    """
    source = Path(paths.prepared) / "classes.json"
    classes = store.load_json(source)
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise UserError(f"{source}: found other content, expected a list of names")
    needed = 1 + max(int(split.labels.max(initial=-1)) for split in splits)
    if len(classes) < needed:
        raise UserError(
            f"{source}: found {len(classes)} names, expected {needed} as the labels of {paths.prepared} need"
        )
    return classes
