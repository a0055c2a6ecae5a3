"""Points around class centres, as an embedding has them. Needs NumPy alone, for a peer's environment lacks the rest."""

import numpy as np


def clustered(items: int, dimensions: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of length 1, float32 `[items, dimensions]`, and their labels, int32; as many in each class, or one more.

    They lie so far apart that the nearest is often of another class.
    """
    rng = np.random.default_rng(0)
    labels = (np.arange(items) % classes).astype(np.int32)
    points = rng.normal(size=(classes, dimensions)).astype(np.float32)[labels]
    points += 3 * rng.normal(size=points.shape).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True), labels
