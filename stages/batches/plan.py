"""Which images each step sees: plans of indices, computed before training.

A plan is a pure function of its arguments, and a plan of more steps begins with that of fewer: any step can be
replayed, and a resumed training sees what an unbroken one would have seen.
"""

import numpy as np

from stages.batches.rotation import rotation
from stages.errors import UserError

# Classes, samples and shuffled batches each draw from random numbers of their own.
_CLASSES, _SAMPLES, _SHUFFLED = 1, 2, 3


def class_balanced(
    labels: np.ndarray, classes_per_batch: int, samples_per_class: int, steps: int, seed: int
) -> np.ndarray:
    """P×K batches: P classes with K samples of each (Schroff et al. 2015, Hermans et al. 2017).

    Classes take turns until all were seen, and so do the samples of a class. A class with fewer than K samples repeats
    its own. What a class contributes does not depend on the other classes.

    Args:
        labels: int `[N]`.
        classes_per_batch: P.
        samples_per_class: K.
        steps: number of batches.
        seed: of all random orders.

    Returns:
        int32 `[steps, P * K]`, indices into `labels`, the K samples of a class side by side.

    Raises:
        UserError: there are fewer than P classes.

    >>> labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    >>> labels[class_balanced(labels, classes_per_batch=3, samples_per_class=2, steps=2, seed=0)]
    array([[2, 2, 0, 0, 1, 1],
           [1, 1, 2, 2, 0, 0]])
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < classes_per_batch:
        raise UserError(
            f"batches.classes_per_batch: found {classes_per_batch}, expected at most {len(classes)}, "
            "the number of classes in the training images"
        )
    turns = rotation(len(classes), classes_per_batch, steps, np.random.default_rng([seed, _CLASSES])).ravel()
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    plan = np.empty((len(turns), samples_per_class), np.int32)
    order = np.argsort(turns, kind="stable")
    seen, starts = np.unique(turns[order], return_index=True)
    for index, places in zip(seen, np.split(order, starts[1:]), strict=True):
        random = np.random.default_rng([seed, _SAMPLES, classes[index]])
        plan[places] = members[index][rotation(counts[index], samples_per_class, len(places), random)]
    return plan.reshape(steps, classes_per_batch * samples_per_class)


def shuffled(count: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """Plain random batches: every image once, in random order, then again in another; no batch has one twice.

    Args:
        count: number of images.
        batch_size: at most `count`.
        steps: number of batches.
        seed: of the random orders.

    Returns:
        int32 `[steps, batch_size]`.

    Raises:
        UserError: there are fewer images than a batch takes.
    """
    if batch_size > count:
        raise UserError(
            f"batches.batch_size: found {batch_size}, expected at most {count}, the number of training images"
        )
    return rotation(count, batch_size, steps, np.random.default_rng([seed, _SHUFFLED]))
