"""Measures of the ROC: AUC, EER, VAL at a FAR, and thresholds by the EER or by a FAR.

A pair is accepted when its distance is at most the threshold. FAR is the share of different pairs that are accepted,
VAL that of same pairs (FaceNet, Schroff et al. 2015, §4). No curve is stored: what a threshold accepts is searched for
in the sorted distances, and thresholds are found by bisection, so that 50 million pairs need no more than themselves.

Every function wants pairs of both kinds, unless it says what it does without.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import numpy as np

from stages.evaluate.scores import Scores, Weighed

CHUNK = 4096  # distances searched for at once: those they may stand among stay in the processor's cache
INFINITY = np.float32(np.inf)


def defined(scores: Weighed) -> bool:
    """There are pairs of both kinds, so there is a curve."""
    return len(scores.same) > 0 and len(scores.different) > 0


def auc(scores: Scores) -> float:
    """Area under VAL against FAR by trapezoids: a same pair is nearer than a different one, a tie counting half.

    >>> auc(Scores(np.float32([0.1, 0.3]), np.float32([0.2, 0.4]), 4))
    0.75
    """
    fewer, more = sorted((scores.same, scores.different), key=len)
    # Below each of the fewer stand so many of the others, ties counting half. In whole halves the sum is exact.
    halves = sum(int(low.sum()) + int(high.sum()) for low, high in _positions(fewer, more))
    share = halves / (2 * len(fewer) * len(more))
    return 1 - share if fewer is scores.same else share


def eer(scores: Weighed) -> float:
    """Where FAR = 1 - VAL, linear between the two nearest points of the curve.

    >>> eer(Scores(np.float32([0.0]), np.float32([0.0]), 1))
    0.5
    """
    before, after = _crossing(scores)
    low, high = _excess(scores, before), _excess(scores, after)
    start, end = _accepted(scores, before)[1], _accepted(scores, after)[1]
    return (start + low / (low - high) * (end - start)) / int(scores.different_upto[-1])


def showable(scores: Weighed, far: float) -> bool:
    """There are pairs of both kinds, and at least 10 / far different ones: fewer cannot show so small a FAR."""
    return defined(scores) and len(scores.different) >= 10 / far


def val_at_far(scores: Weighed, far: float) -> float:
    """VAL at the loosest threshold with FAR at most `far`, no interpolation; to be trusted where `showable`."""
    nearer = int(np.searchsorted(scores.same, _limit(scores, far)))
    return int(scores.same_upto[nearer]) / int(scores.same_upto[-1])


def far_name(far: float) -> str:
    """What VAL at this FAR is called.

    >>> far_name(0.001), far_name(0.05)
    ('val_at_far_1e-3', 'val_at_far_5e-2')
    """
    return f"val_at_far_{np.format_float_scientific(far, trim='-', exp_digits=1)}"


def operating_curve(scores: Scores, fars: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """VAL at the loosest threshold with FAR at most each of `fars`, and that threshold: float64 `[F]` each.

    The threshold is the largest distance that it accepts; minus infinity where nothing is accepted.
    """
    vals = np.array([val_at_far(scores, far) for far in fars])
    return vals, np.array([_largest_below(scores, _limit(scores, far)) for far in fars], np.float64)


def eer_threshold(scores: Scores) -> float:
    """Of the thresholds that accept something, the one with FAR nearest to 1 - VAL, as `between` gives it."""
    before, after = _crossing(scores)
    nearest = before if before > -INFINITY and -_excess(scores, before) <= _excess(scores, after) else after
    return between(nearest, _smallest_above(scores, nearest))


def far_threshold(scores: Scores, far: float) -> float | None:
    """The loosest threshold with FAR at most `far`, as `between` gives it; None where it accepts nothing."""
    limit = _limit(scores, far)
    loosest = _largest_below(scores, limit)
    return None if loosest == -INFINITY else between(loosest, limit)


def between(threshold: np.float32, following: np.float32) -> float:
    """Midway from one distance to the next in float32: accepts the same pairs, and forgives rounding.

    >>> between(np.float32(1), np.float32(2)), between(np.float32(1), INFINITY)
    (1.5, 1.0)
    """
    if np.isinf(threshold) or np.isinf(following):
        return float(threshold)
    middle = np.float32((float(threshold) + float(following)) / 2)
    # Between two neighbours in float32 there is nothing: then the middle may round to the next distance.
    return float(min(middle, np.nextafter(following, -INFINITY)))


def rates(scores: Scores, threshold: float) -> dict[str, float | None]:
    """`far`, `val` and `balanced_accuracy` (both kinds of pairs weigh the same) of a threshold; None without pairs.

    The threshold is rounded to float32, as distances are.
    """
    same, different = _accepted(scores, np.float32(threshold))
    far = different / len(scores.different) if len(scores.different) else None
    val = same / len(scores.same) if len(scores.same) else None
    return {"far": far, "val": val, "balanced_accuracy": None if far is None or val is None else (val + 1 - far) / 2}


def _positions(few: np.ndarray, many: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How many of `many` are below each of `few`, and how many are at most as large; both ascend. In chunks."""
    for begin in range(0, len(few), CHUNK):
        chunk = few[begin : begin + CHUNK]
        start = int(np.searchsorted(many, chunk[0], side="left"))
        end = int(np.searchsorted(many, chunk[-1], side="right"))
        near = many[start:end]
        yield start + np.searchsorted(near, chunk, side="left"), start + np.searchsorted(near, chunk, side="right")


def _crossing(scores: Weighed) -> tuple[np.float32, np.float32]:
    """The first distance at which FAR + VAL >= 1, after the one before it, which is minus infinity for the first."""
    firsts = []
    for distances in (scores.same, scores.different):
        first = bisect_left(distances, 0, key=lambda distance: _excess(scores, distance))
        firsts.append(distances[first])
    after = min(firsts)
    return _largest_below(scores, after), after


def _excess(scores: Weighed, threshold: np.float32) -> int:
    """FAR + VAL - 1 as a whole number, in units of 1 / (S · D): it ascends with the threshold."""
    same, different = _accepted(scores, threshold)
    all_same, all_different = int(scores.same_upto[-1]), int(scores.different_upto[-1])
    return different * all_same + same * all_different - all_same * all_different


def _accepted(scores: Weighed, threshold: np.float32) -> tuple[int, int]:
    """What the accepted pairs weigh, same and different ones."""
    same = int(np.searchsorted(scores.same, threshold, side="right"))
    different = int(np.searchsorted(scores.different, threshold, side="right"))
    return int(scores.same_upto[same]), int(scores.different_upto[different])


def _limit(scores: Weighed, far: float) -> np.float32:
    """The smallest distance that must be rejected for FAR to be at most `far`; infinity where none must."""
    total = int(scores.different_upto[-1])
    allowed = int(far * total)
    # The product is rounded; the quotient is what FAR is compared by.
    allowed += int((allowed + 1) / total <= far) - int(allowed / total > far)
    kept = bisect_right(scores.different_upto, allowed) - 1
    return scores.different[kept] if kept < len(scores.different) else INFINITY


def _largest_below(scores: Weighed, limit: np.float32) -> np.float32:
    """The largest distance below the limit; minus infinity if there is none."""
    found = -INFINITY
    for distances in (scores.same, scores.different):
        below = int(np.searchsorted(distances, limit, side="left"))
        found = max(found, distances[below - 1]) if below else found
    return found


def _smallest_above(scores: Weighed, threshold: np.float32) -> np.float32:
    """The smallest distance above the threshold; infinity if there is none."""
    found = INFINITY
    for distances in (scores.same, scores.different):
        within = int(np.searchsorted(distances, threshold, side="right"))
        found = min(found, distances[within]) if within < len(distances) else found
    return found
