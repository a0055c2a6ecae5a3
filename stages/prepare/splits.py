"""Splits off a share of the images, the same share of every class."""

from fractions import Fraction

import numpy as np

VALIDATION, TEST = 4, 13  # draws of one seed that have nothing to do with one another


def stratified(labels: np.ndarray, share: float, seed: int, draw: int = VALIDATION) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into those that stay and those that are split off.

    Each class gives the floor or the ceiling of its share, and so does the whole, however many classes there are
    (scikit-learn's stratified splits refuse to split off fewer rows than there are classes). The rows lie in a random
    order, class after class, and every (1 / share)-th is taken: systematic sampling.

    Args:
        labels: int `[N]`, at least two of each class, so that none is taken whole.
        share: of the rows that are split off, above 0 and at most 0.5.
        seed: of the random order.
        draw: what is split off, `VALIDATION` or `TEST`.

    Returns:
        The rows that stay and those that are split off, int64, each in ascending order.

    Raises:
        ValueError: the share is out of range, or a class has one row.

    >>> train, validation = stratified(np.array([0, 0, 0, 0, 1, 1, 1, 1]), share=0.25, seed=0)
    >>> len(train), len(validation)
    (6, 2)
    """
    if not 0 < share <= 0.5:
        raise ValueError(f"share must be above 0 and at most 0.5. Received: {share}")
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(counts) and counts.min() < 2:
        raise ValueError(f"every class needs two rows. Received one of class {classes[np.argmin(counts)]}")
    random = np.random.default_rng([seed, draw])
    rows = random.permutation(len(labels))
    order = rows[np.argsort(random.permutation(len(classes))[codes[rows]], kind="stable")]
    # Whole numbers, so that a class of 10 gives exactly 1 at 0.1.
    exact = Fraction(str(share)).limit_denominator(10**6)
    start = int(random.integers(exact.denominator))
    reached = (start + np.arange(len(labels) + 1, dtype=np.int64) * exact.numerator) // exact.denominator
    taken = np.zeros(len(labels), bool)
    taken[order[np.diff(reached) == 1]] = True
    return np.flatnonzero(~taken), np.flatnonzero(taken)
