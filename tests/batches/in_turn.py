"""Whether a P×K plan takes turns, told of plans of any size without a loop over classes."""

import numpy as np


def classes_out_of_turn(labels: np.ndarray, plan: np.ndarray, samples: int) -> int:
    """How often a class comes again before all classes have come.

    Args:
        labels: int `[N]`.
        plan: int `[steps, P * K]`, the K samples of a class side by side.
        samples: K.

    Returns:
        Of each turn of all classes the number that came before in it, summed; each K rows of two classes count as one.

    >>> classes_out_of_turn(np.array([5, 5, 7, 7, 9, 9]), np.array([[0, 1, 2, 3], [5, 4, 0, 1], [4, 5, 3, 2]]), 2)
    0
    >>> classes_out_of_turn(np.array([5, 5, 7, 7, 9, 9]), np.array([[0, 1, 2, 3], [1, 0, 5, 4]]), 2)
    1
    """
    of_rows = labels[plan.reshape(-1, samples)]
    mixed = int(np.count_nonzero((of_rows != of_rows[:, :1]).any(axis=1)))
    _, sequence = np.unique(of_rows[:, 0], return_inverse=True)
    return mixed + _repeated(sequence, np.arange(len(sequence)) // len(np.unique(labels)))


def samples_out_of_turn(labels: np.ndarray, plan: np.ndarray) -> int:
    """How often a sample comes again before all samples of its class have come. Arguments as above.

    >>> samples_out_of_turn(np.array([5, 5, 5, 7]), np.array([[0, 2], [1, 1], [0, 2], [3, 3]]))
    0
    >>> samples_out_of_turn(np.array([5, 5, 5, 7]), np.array([[0, 2], [2, 1]]))
    1
    """
    images = plan.ravel()
    classes, of_images, members = np.unique(labels, return_inverse=True, return_counts=True)
    of_rows = of_images[images]
    order = np.argsort(of_rows, kind="stable")  # the rows of each class, as they come
    counts = np.bincount(of_rows, minlength=len(classes))
    come_before = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return _repeated(images[order], come_before // np.repeat(members, counts))


def _repeated(things: np.ndarray, turns: np.ndarray) -> int:
    """How many things come again in the same turn."""
    keys = turns * (int(things.max(initial=0)) + 1) + things
    return len(keys) - len(np.unique(keys))
