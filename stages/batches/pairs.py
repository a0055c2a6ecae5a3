"""Batches of pairs: two images of one class, or of two."""

import numpy as np

from stages.batches.partners import Partners, partners
from stages.batches.rotation import turns

_PAIRS = 4  # the layout's own random numbers, as 1 to 3 are those of the layouts in plan.py


def paired(labels: np.ndarray, pairs_per_batch: int, steps: int, seed: int) -> np.ndarray:
    """Pairs of a left image and its partner (Chopra et al. 2005), half of them of the same class.

    Of an odd number of pairs one more is of two classes in the first batch, of one class in the second, and so on.
    Which pairs of a batch are of one class is random. Images take turns as left. One that is alone in its class can
    only be left of pairs of two classes: where these have too little room for all such images, each is left as often as
    there is room. The partner is any of the others of the class, or any image of another class, all equally probable.

    Args:
        labels: int `[N]`.
        pairs_per_batch: at least 2.
        steps: number of batches.
        seed: of all random choices.

    Returns:
        int32 `[steps, 2 * pairs_per_batch]`, indices into `labels`: left, right, left, right, …

    Raises:
        UserError: there are fewer than two classes, or no class has two images.

    >>> labels = np.array([0, 0, 0, 1, 1, 1])
    >>> labels[paired(labels, pairs_per_batch=4, steps=2, seed=0)]
    array([[1, 0, 0, 0, 0, 0, 0, 1],
           [1, 1, 1, 0, 0, 0, 0, 1]])
    """
    order = partners(labels, "pairs")
    for_lefts, for_alone, for_positions, for_same, for_partners = np.random.default_rng([seed, _PAIRS]).spawn(5)
    same_per_batch = (pairs_per_batch + np.arange(steps) % 2) // 2
    alone_per_batch = _alone_per_batch(order, pairs_per_batch - same_per_batch, pairs_per_batch)
    is_alone = _marked(alone_per_batch, np.ones((steps, pairs_per_batch), bool), for_positions)
    left = _lefts(order, is_alone, for_lefts, for_alone)
    is_same = _marked(same_per_batch, ~is_alone, for_same)
    number = for_partners.integers(np.where(is_same, order.number_of_same(left), order.number_of_different(left)))
    right = np.where(is_same, order.same(left, number), order.different(left, number))
    plan = order.images[np.stack([left, right], axis=2)]
    return plan.reshape(steps, 2 * pairs_per_batch).astype(np.int32)


def _alone_per_batch(order: Partners, room: np.ndarray, pairs_per_batch: int) -> np.ndarray:
    """How many lefts of each batch are images alone in their class: their share, at most `room`, int `[steps]`.

    What finds no room in a batch waits for the next that has some.
    """
    due = np.arange(1, len(room) + 1) * pairs_per_batch * np.count_nonzero(order.alone) // len(order.images)
    rooms = np.cumsum(room)
    # A queue: after a batch, as many have left as were due, or as had left before plus the room of this one.
    left = rooms + np.minimum(np.minimum.accumulate(due - rooms), 0)
    return np.diff(left, prepend=0)


def _marked(counts: np.ndarray, allowed: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mark `counts[row]` random ones of the allowed positions of each row: bool of the shape of `allowed`."""
    keys = np.where(allowed, random.random(allowed.shape), 1)
    return keys.argsort(axis=1).argsort(axis=1) < counts[:, np.newaxis]


def _lefts(
    order: Partners, is_alone: np.ndarray, random: np.random.Generator, random_alone: np.random.Generator
) -> np.ndarray:
    """Places of the lefts, int `[steps, pairs_per_batch]`: images alone in their class where marked, else others."""
    left = np.empty(is_alone.shape, np.int64)
    for mark, here, generator in ((order.alone, is_alone, random_alone), (~order.alone, ~is_alone, random)):
        places = np.flatnonzero(mark)
        left[here] = places[turns(len(places), np.cumsum(np.count_nonzero(here, axis=1)), generator)]
    return left
