"""Which items are drawn where not all are."""

import numpy as np


def stratified(labels: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Indices, ascending, of at most `limit` items: of every class one, and about the same share.

    >>> labels = np.repeat([0, 1, 2], [60, 30, 1])
    >>> np.bincount(labels[stratified(labels, 31, seed=0)]).tolist()
    [20, 10, 1]
    """
    if len(labels) <= limit:
        return np.arange(len(labels))
    rng = np.random.default_rng([seed, 11])
    # An item's place in its shuffled class, as a share of it: those with the smallest are taken.
    place = np.empty(len(labels))
    for label in np.unique(labels):
        items = rng.permutation(np.flatnonzero(labels == label))
        place[items] = np.arange(len(items)) / len(items)
    return np.sort(np.lexsort((rng.random(len(labels)), place))[:limit])
