"""What evaluate and render read of a split: its images, labels and embeddings, checked against each other."""

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
            "raw": np.asarray(self.images).reshape(len(self.images), -1),
            "untrained": self.untrained,
            "trained": self.trained,
        }


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
