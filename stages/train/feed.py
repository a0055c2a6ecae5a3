"""Batches for Keras, from the plan."""

from typing import Any

import keras
import numpy as np


class PlannedBatches(keras.utils.PyDataset):
    """The images and labels of the plan's rows, one row a batch.

    Args:
        images: uint8 `[N, H, W, C]`; None: the model has them, and is given the plan's rows themselves.
        labels: int32 `[N]`.
        plan: int32 `[steps, batch]`, indices into both; a resumed training passes those that are left.
    """

    def __init__(self, images: np.ndarray | None, labels: np.ndarray, plan: np.ndarray) -> None:
        super().__init__()
        self.images, self.labels, self.plan = images, labels, plan

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.plan)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Images uint8 `[batch, H, W, C]`, or their rows int32 `[batch]`, and labels int32 `[batch]` of one step."""
        rows = self.plan[index]
        return rows if self.images is None else self.images[rows], self.labels[rows]
