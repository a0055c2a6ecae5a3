"""Same class or not, told by the distance or by the loss's head: ROC, AUC, EER, VAL@FAR and the 10-fold accuracy.

A pair is accepted when its distance is at most the threshold. FAR is the share of different pairs that are accepted,
VAL that of same pairs (FaceNet, Schroff et al. 2015, §4).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stages.evaluate.pairs import FOLDS, Pairs

BLOCK = 2**20  # coordinates of pairs held at once


@dataclass(frozen=True)
class Roc:
    """FAR and VAL at every threshold that makes a difference.

    Attributes:
        thresholds: float64 `[T]`, ascending: minus infinity (nothing accepted), then each distance that occurs.
        far, val: float64 `[T]`, from 0 to 1.
        same, different: how many pairs of either kind.
    """

    thresholds: np.ndarray
    far: np.ndarray
    val: np.ndarray
    same: int
    different: int


def distances(embeddings: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Euclidean distance of each pair, float64 `[P]`, from differences of coordinates: exactly 0 for equal rows."""
    return np.sqrt(_of_differences(embeddings, pairs, lambda rows: np.einsum("ij,ij->i", rows, rows)))


def head_distances(embeddings: np.ndarray, pairs: Pairs, head: np.ndarray) -> np.ndarray:
    """How far apart the siamese head says each pair is: its logit of being the same, negated.

    Args:
        embeddings: float `[N, D]`.
        pairs: P pairs of them.
        head: float `[D + 1]`, w then b.

    Returns:
        float64 `[P]`, -(w·|left - right| + b), of either sign.
    """
    weights = head.astype(np.float64)
    return _of_differences(
        embeddings, pairs, lambda rows: -np.einsum("ij,j->i", np.abs(rows), weights[:-1]) - weights[-1]
    )


def roc(distance: np.ndarray, same: np.ndarray) -> Roc | None:
    """The receiver operating characteristic; None unless there are same and different pairs.

    Args:
        distance: float `[P]`.
        same: bool `[P]`.
    """
    total = int(same.sum())
    if not 0 < total < len(same):
        return None
    order = np.argsort(distance, kind="stable")
    ascending = distance[order]
    last = np.append(np.flatnonzero(ascending[1:] != ascending[:-1]), len(ascending) - 1)
    accepted_same = np.cumsum(same[order])[last]
    accepted_different = last + 1 - accepted_same
    return Roc(
        thresholds=np.append(-np.inf, ascending[last]),
        far=np.append(0.0, accepted_different / (len(same) - total)),
        val=np.append(0.0, accepted_same / total),
        same=total,
        different=len(same) - total,
    )


def auc(curve: Roc) -> float:
    """Area under VAL against FAR, by trapezoids.

    >>> auc(roc(np.array([0.1, 0.2, 0.3, 0.4]), np.array([True, False, True, False])))
    0.75
    """
    return float(np.trapezoid(curve.val, curve.far))


def eer(curve: Roc) -> float:
    """Where FAR = 1 - VAL, linear between the two nearest points of the curve.

    >>> eer(roc(np.array([0.0, 0.0]), np.array([True, False])))
    0.5
    """
    excess = curve.far + curve.val - 1  # ascends from -1 to 1
    after = int(np.argmax(excess >= 0))
    share = -excess[after - 1] / (excess[after] - excess[after - 1])
    return float(curve.far[after - 1] + share * (curve.far[after] - curve.far[after - 1]))


def val_at_far(curve: Roc, far: float) -> float | None:
    """VAL at the loosest threshold with FAR at most `far`; None unless there are at least 10 / far different pairs."""
    if curve.different < 10 / far:
        return None
    return float(curve.val[np.searchsorted(curve.far, far, side="right") - 1])


def eer_threshold(curve: Roc) -> float:
    """Of the thresholds that accept something, the one with FAR nearest to 1 - VAL, as `between` gives it."""
    nearest = 1 + int(np.argmin(np.abs(curve.far + curve.val - 1)[1:]))
    return between(curve.thresholds, nearest)


def between(thresholds: np.ndarray, index: int) -> float:
    """Midway from `thresholds[index]` to the next: accepts the same pairs, and forgives rounding."""
    if np.isinf(thresholds[index]) or index + 1 == len(thresholds):
        return float(thresholds[index])
    return float((thresholds[index] + thresholds[index + 1]) / 2)


def rates(distance: np.ndarray, same: np.ndarray, threshold: float) -> dict[str, float | None]:
    """`far`, `val` and `balanced_accuracy` (both kinds of pairs weigh the same) of a threshold; None without pairs."""
    accepted = distance <= threshold
    far = float(accepted[~same].mean()) if not same.all() else None
    val = float(accepted[same].mean()) if same.any() else None
    return {"far": far, "val": val, "balanced_accuracy": None if far is None or val is None else (val + 1 - far) / 2}


def fold_accuracies(distance: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Accuracy on each fold, float64 `[10]`, at the threshold that has the highest accuracy on the other nine.

    Of several such thresholds the lowest is taken, midway to the next distance.
    """
    if pairs.folds is None:
        raise ValueError("fold_accuracies wants pairs with folds. Received: pairs.folds=None")
    accuracies = np.empty(FOLDS)
    for fold in range(FOLDS):
        held = pairs.folds == fold
        curve = roc(distance[~held], pairs.same[~held])
        if curve is None:
            raise ValueError(f"each fold has same and different pairs. Received: only one kind beside fold {fold}")
        correct = curve.val * curve.same + (1 - curve.far) * curve.different
        threshold = between(curve.thresholds, int(np.argmax(np.round(correct))))
        accuracies[fold] = np.mean((distance[held] <= threshold) == pairs.same[held])
    return accuracies


def _of_differences(embeddings: np.ndarray, pairs: Pairs, distance: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """What `distance` makes of left minus right, float64 `[rows, D]` to `[rows]`, a block of pairs at a time."""
    result = np.empty(len(pairs))
    rows = max(1, BLOCK // max(embeddings.shape[1], 1))
    for begin in range(0, len(pairs), rows):
        block = slice(begin, begin + rows)
        left, right = embeddings[pairs.left[block]], embeddings[pairs.right[block]]
        result[block] = distance(np.subtract(left, right, dtype=np.float64))
    return result
