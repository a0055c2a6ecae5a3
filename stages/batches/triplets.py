"""Batches of triplets: an anchor, another image of its class, an image of another class."""

import numpy as np

from stages.batches.partners import partners
from stages.batches.rotation import rotation

_TRIPLETS = 5  # the layout's own random numbers
_AT_ONCE = 2**22  # combinations that are put in order at a time, to bound the memory


def triplets(
    labels: np.ndarray, triplets_per_batch: int, num_same: int, num_diff: int, steps: int, seed: int
) -> np.ndarray:
    """Triplets whose anchors take turns, each with partners that it has drawn.

    An anchor draws `num_same` random others of its class and `num_diff` random images of other classes, distinct as
    far as there are as many. Each of its turns takes one of their `num_same * num_diff` combinations, in random order;
    when all were taken it draws anew. With 1 and 1 these are plain random triplets. An image alone in its class is no
    anchor.

    Time grows with the number of draws times `num_same * num_diff`, memory does not.

    Args:
        labels: int `[N]`.
        triplets_per_batch: of different anchors, as far as there are as many.
        num_same: positives that an anchor draws at once.
        num_diff: negatives that it draws with them.
        steps: number of batches.
        seed: of all random choices.

    Returns:
        int32 `[steps, 3 * triplets_per_batch]`, indices into `labels`: anchor, positive, negative, anchor, …

    Raises:
        UserError: there are fewer than two classes, or no class has two images.

    >>> labels = np.array([0, 0, 0, 1, 1, 1])
    >>> labels[triplets(labels, triplets_per_batch=2, num_same=1, num_diff=1, steps=2, seed=0)]
    array([[1, 1, 0, 1, 1, 0],
           [0, 0, 1, 0, 0, 1]])
    """
    order = partners(labels, "triplets")
    for_anchors, for_partners = np.random.default_rng([seed, _TRIPLETS]).spawn(2)
    anchors = np.flatnonzero(~order.alone)
    sequence = rotation(len(anchors), triplets_per_batch, steps, for_anchors).ravel()
    draw, turn = _draws(sequence, len(anchors), num_same * num_diff)
    anchor = anchors[sequence]
    drawing = anchor[turn == 0]
    available = np.stack([order.number_of_same(drawing), order.number_of_different(drawing)])
    positive, negative = _numbers(draw, turn, available, num_same, num_diff, for_partners)
    plan = order.images[np.stack([anchor, order.same(anchor, positive), order.different(anchor, negative)], axis=1)]
    return plan.astype(np.int32).reshape(steps, 3 * triplets_per_batch)


def _draws(sequence: np.ndarray, anchors: int, combinations: int) -> tuple[np.ndarray, np.ndarray]:
    """For each turn: the number of the draw that it belongs to, and how many turns of that draw were before it.

    Draws are numbered in the order of their first turns, so that those of a longer plan have the same numbers.
    """
    turns_before = np.arange(len(sequence)) // anchors  # of the same anchor: each run of `anchors` turns has all once
    draws_before, turn = np.divmod(turns_before, combinations)
    key = draws_before * anchors + sequence
    first = key[turn == 0]
    number = np.empty((draws_before[-1] + 1) * anchors, np.int64)
    number[first] = np.arange(len(first))
    return number[key], turn


def _numbers(
    draw: np.ndarray, turn: np.ndarray, available: np.ndarray, num_same: int, num_diff: int, random: np.random.Generator
) -> np.ndarray:
    """For each turn the numbers of its positive and of its negative among those `available` `[2, draws]` to its draw.

    Returns:
        int `[2, turns]`.
    """
    for_positives, for_negatives, for_order = random.spawn(3)
    numbers = np.empty((2, len(draw)), np.int64)
    by_draw = np.argsort(draw, kind="stable")
    draws, combinations = available.shape[1], num_same * num_diff
    at_once = max(1, _AT_ONCE // combinations)
    for start in range(0, draws, at_once):
        stop = min(start + at_once, draws)
        turns = by_draw[slice(*np.searchsorted(draw, (start, stop), sorter=by_draw))]
        positives = _distinct(num_same, available[0, start:stop], for_positives)
        negatives = _distinct(num_diff, available[1, start:stop], for_negatives)
        unordered = np.broadcast_to(np.arange(combinations, dtype=np.int32), (stop - start, combinations))
        row = draw[turns] - start
        same, different = np.divmod(for_order.permuted(unordered, axis=1)[row, turn[turns]], num_diff)
        numbers[:, turns] = positives[row, same], negatives[row, different]
    return numbers


def _distinct(count: int, available: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw `count` random numbers below `available[row]` for each row, each as often as the next or once more.

    Whole rounds of all numbers need no chance. The rest are drawn by Floyd's method (Bentley and Floyd 1987): each next
    draw is from one number more, and gives the number that has come in if it hits one that was drawn before.

    Returns:
        int `[rows, count]`.
    """
    chance = random.random((len(available), count))  # at once, so that a row's draws do not depend on later rows
    whole = count - count % available
    drawn = np.full((len(available), count), -1)
    for column in range(count):
        highest = available - count + column
        hit = (chance[:, column] * (highest + 1)).astype(np.int64)
        is_drawn = (drawn[:, :column] == hit[:, np.newaxis]).any(axis=1)
        number = np.where(is_drawn, highest, hit)
        drawn[:, column] = np.where(column < whole, -1, number)
    columns = np.arange(count)
    return np.where(columns < whole[:, np.newaxis], columns % available[:, np.newaxis], drawn)
