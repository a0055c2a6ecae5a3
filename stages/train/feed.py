"""Batches for Keras, from the plan."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

THREAD = "read a batch ahead"


class PlannedBatches(keras.utils.PyDataset):
    """The images and labels of the plan's rows, one row a batch.

    Images are read a batch ahead, in a thread, while the device computes; on TensorFlow Keras does so itself.

    Args:
        images: uint8 `[N, H, W, C]`; None: the model has them, and is given the plan's rows themselves.
        labels: int32 `[N]`.
        plan: int32 `[steps, batch]`, indices into both; a resumed training passes those that are left.
    """

    def __init__(self, images: np.ndarray | None, labels: np.ndarray, plan: np.ndarray) -> None:
        super().__init__()
        self.images, self.labels, self.plan = images, labels, plan
        reads_ahead = images is not None and keras.backend.backend() != "tensorflow"
        self._reader = ThreadPoolExecutor(1, THREAD) if reads_ahead else None
        self._ahead: dict[int, Future[tuple[Any, Any]]] = {}

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.plan)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Images uint8 `[batch, H, W, C]`, or their rows int32 `[batch]`, and labels int32 `[batch]` of one step."""
        if self._reader is None:
            return self._read(index)
        ahead, self._ahead = self._ahead, {}
        batch = ahead[index].result() if index in ahead else self._read(index)
        if index + 1 < len(self):
            self._ahead[index + 1] = self._reader.submit(self._read, index + 1)
        return batch

    def close(self) -> None:
        """End the thread, if there is one."""
        if self._reader is not None:
            self._reader.shutdown()

    def _read(self, index: int) -> tuple[Any, Any]:
        rows = self.plan[index]
        return rows if self.images is None else self.images[rows], self.labels[rows]
