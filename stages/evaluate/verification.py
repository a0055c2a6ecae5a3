"""Same class or not, told by the distance or by the loss's head: the measures that are reported, by their names."""

from collections.abc import Sequence

from stages.evaluate.bootstrap import intervals
from stages.evaluate.folds import fold_accuracies
from stages.evaluate.metric import Euclidean, Head, Metric
from stages.evaluate.roc import (
    auc,
    defined,
    eer,
    eer_threshold,
    far_name,
    far_threshold,
    operating_curve,
    rates,
    showable,
    val_at_far,
)
from stages.evaluate.scores import Scores, histogram, natural_scores

__all__ = [
    "Euclidean",
    "Head",
    "Metric",
    "Scores",
    "calibrate",
    "chance_curve_measures",
    "curve_measures",
    "defined",
    "far_name",
    "fold_accuracies",
    "histogram",
    "intervals",
    "natural_scores",
    "operating_curve",
    "rates",
]


def curve_measures(scores: Scores, fars: Sequence[float]) -> dict[str, float | None]:
    """`auc`, `eer` and VAL at each FAR; None where the pairs cannot show it.

    >>> import numpy as np
    >>> curve_measures(Scores(np.float32([0.1, 0.3]), np.float32([0.2, 0.4]), 4), [0.01])
    {'auc': 0.75, 'eer': 0.5, 'val_at_far_1e-2': None}
    """
    measures = {"auc": auc(scores), "eer": eer(scores)} if defined(scores) else {"auc": None, "eer": None}
    return measures | {far_name(far): val_at_far(scores, far) if showable(scores, far) else None for far in fars}


def chance_curve_measures(scores: Scores, fars: Sequence[float]) -> dict[str, float | None]:
    """What a blind guess reaches, which accepts both kinds of pairs alike; None where these pairs cannot show it."""
    half = 0.5 if defined(scores) else None
    return {"auc": half, "eer": half, **{far_name(far): far if showable(scores, far) else None for far in fars}}


def calibrate(scores: Scores, far: float | None) -> float | None:
    """The threshold with FAR = 1 - VAL, or the loosest with FAR at most `far`: a number that float32 holds.

    None where the pairs cannot show it, or it would accept nothing.
    """
    if far is None:
        return eer_threshold(scores) if defined(scores) else None
    return far_threshold(scores, far) if showable(scores, far) else None
