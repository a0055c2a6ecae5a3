"""What stages read of a split as prepare left it: its images and their labels, as many of one as of the other."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages import store
from stages.errors import UserError


@dataclass(frozen=True)
class Images:
    """Images of one split, with labels.

    Attributes:
        images: uint8 `[N, H, W, C]`, read from the disk as it is used.
        labels: int32 `[N]`, class indices from 0.
    """

    images: np.ndarray
    labels: np.ndarray


def files(folder: str | Path, split: str) -> dict[str, Path]:
    """Where they lie in `paths.prepared`, by their kind: images and labels."""
    return {kind: Path(folder) / f"{split}_{kind}.npy" for kind in ("images", "labels")}


def load(folder: str | Path, split: str) -> Images:
    """Read a split's images and labels.

    Args:
        folder: `paths.prepared`.
        split: train, validation or test.

    Raises:
        UserError: a file is missing or malformed, or the two disagree.
    """
    found = files(folder, split)
    images = store.load_array(found["images"], np.uint8, 4, memory_map=True)
    labels = store.load_labels(found["labels"])
    if len(images) != len(labels):
        raise UserError(f"{found['labels']}: found {len(labels)} rows, expected {len(images)} as in {found['images']}")
    return Images(images, labels)
