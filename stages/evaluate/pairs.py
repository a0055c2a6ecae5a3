"""Which pairs of items are compared: all, a sample of all, or balanced ones within folds."""

import math
from dataclasses import dataclass

import numpy as np

FOLDS = 10
SAME = 0.1  # of a sample of natural pairs


@dataclass(frozen=True)
class Pairs:
    """Pairs of items, `left[p]` with `right[p]`, no pair twice.

    Attributes:
        left, right: int64 `[P]`, indices of items.
        same: bool `[P]`, equal labels.
        folds: int64 `[P]`, 0..9, of each pair; None where they are not folded.
        available: how many pairs there are to choose from.
        disjoint: no item stands in two folds.
    """

    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    folds: np.ndarray | None
    available: int
    disjoint: bool = False

    def __len__(self) -> int:
        return len(self.left)


def natural(labels: np.ndarray, limit: int, seed: int) -> Pairs:
    """All pairs of items, or a seeded sample of `limit` of them: mostly different, as in use.

    Of a sample a tenth are same pairs, or all that there are: FAR and VAL are shares of one kind each, and of many
    classes hardly any pair would be a same one.

    Args:
        labels: int `[N]`.
        limit: the largest number of pairs.
        seed: of the sample.
    """
    n, rng = len(labels), np.random.default_rng([seed, 1])
    ordered, ends = by_class(np.arange(n), labels)
    same_partners, different_partners = ends - np.arange(n) - 1, n - ends
    alike, available = int(same_partners.sum()), n * (n - 1) // 2
    count = min(alike, max(math.ceil(limit * SAME), limit - (available - alike)))
    same = _draw(ends - same_partners, same_partners, count, rng)
    different = _draw(ends, different_partners, limit - count, rng)
    first, second = (ordered[np.concatenate(side)] for side in zip(same, different, strict=True))
    # In ascending order rows are read nearly in sequence.
    left, right = np.divmod(np.sort(np.minimum(first, second) * n + np.maximum(first, second)), n)
    return Pairs(left, right, labels[left] == labels[right], None, available)


def balanced_folds(labels: np.ndarray, limit: int, seed: int) -> Pairs | None:
    """As many same as different pairs in each of ten folds, at most `limit` together.

    The items are dealt into ten folds and the pairs drawn within each, so that no item stands in two of them. Where a
    fold would have no same or no different pair, the pairs themselves are dealt and `disjoint` is False; None where
    there are fewer than ten of either kind.

    Args:
        labels: int `[N]`.
        limit: the largest number of pairs; a tenth of it in each fold.
        seed: of the folds and the pairs.
    """
    rng = np.random.default_rng([seed, 2])
    items = deal(labels, rng)
    drawn = [_balanced(np.flatnonzero(items == fold), labels, limit // (2 * FOLDS), rng) for fold in range(FOLDS)]
    folds = np.repeat(np.arange(FOLDS), [len(left) for left, _ in drawn])
    disjoint = all(len(left) for left, _ in drawn)
    if disjoint:
        left, right = (np.concatenate(side) for side in zip(*drawn, strict=True))
    else:
        left, right = _balanced(np.arange(len(labels)), labels, limit // 2, rng)
        if len(left) < 2 * FOLDS:
            return None
        # The first half are the same pairs, the second the different ones: deal each half evenly.
        half = np.arange(len(left) // 2) % FOLDS
        folds = np.concatenate([rng.permutation(half), rng.permutation(half)])
    available = sum(_balanced_count(np.flatnonzero(items == fold), labels) for fold in range(FOLDS))
    if not disjoint:
        available = _balanced_count(np.arange(len(labels)), labels)
    return Pairs(left, right, labels[left] == labels[right], folds, available, disjoint)


def deal(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fold 0..9 for each item, int64 `[N]`: every class over all folds, or as many as get two of its items.

    A class of one goes to one fold. The folds differ by few items in size.
    """
    folds = np.empty(len(labels), np.int64)
    following = 0
    classes, counts = np.unique(labels, return_counts=True)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    for chosen in rng.permutation(len(classes)):
        items = rng.permutation(members[chosen])
        parts = min(FOLDS, max(1, len(items) // 2))
        for part in np.array_split(items, parts):
            folds[part] = following % FOLDS
            following += 1
    return folds


def by_class(items: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items with equal labels side by side, and for each the position at which its class ends."""
    ordered = items[np.argsort(labels[items], kind="stable")]
    return ordered, np.searchsorted(labels[ordered], labels[ordered], side="right")


def _balanced(
    items: np.ndarray, labels: np.ndarray, limit: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """As many same as different pairs of these items, at most `limit` of each: first the same ones."""
    ordered, ends = by_class(items, labels)
    position = np.arange(len(ordered))
    count = min(limit, _balanced_count(items, labels) // 2)
    same = _draw(position + 1, ends - position - 1, count, rng)
    different = _draw(ends, len(ordered) - ends, count, rng)
    left, right = (np.concatenate(side) for side in zip(same, different, strict=True))
    return ordered[left], ordered[right]


def _balanced_count(items: np.ndarray, labels: np.ndarray) -> int:
    _, counts = np.unique(labels[items], return_counts=True)
    same = int((counts * (counts - 1) // 2).sum())
    return 2 * min(same, len(items) * (len(items) - 1) // 2 - same)


def _draw(
    first: np.ndarray, partners: np.ndarray, limit: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """At most `limit` of the pairs (p, first[p] + 0..partners[p] - 1), none twice, in ascending order: positions."""
    upto = np.cumsum(partners)
    total = int(upto[-1]) if len(upto) else 0
    # In ascending order rows are read nearly in sequence, and the result does not depend on the drawing's order.
    chosen = np.arange(total) if total <= limit else np.sort(rng.choice(total, limit, replace=False, shuffle=False))
    left = np.searchsorted(upto, chosen, side="right")
    return left, first[left] + chosen - (upto[left] - partners[left])
