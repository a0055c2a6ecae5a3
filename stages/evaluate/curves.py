"""What the pictures show of a system's pairs: the ROC on a grid of FARs, and how distances are distributed."""

from dataclasses import dataclass

import numpy as np

from stages.evaluate import verification

POINTS = 200
BINS = 80


@dataclass(frozen=True)
class Curves:
    """Of one system's natural pairs, some of either kind.

    Attributes:
        fars: float64 `[F]`, evenly in log scale, from the smallest that ten accepted pairs stand for to 1.
        vals: float64 `[F]`, VAL at the loosest threshold with a FAR of at most `fars`.
        thresholds: float64 `[F]`, these thresholds; minus infinity where nothing is accepted.
        edges: float64 `[B + 1]`, of the distances' bins.
        same: float64 `[B]`, share of the same pairs whose distance lies in the bin.
        different: float64 `[B]`, share of the different pairs.
    """

    fars: np.ndarray
    vals: np.ndarray
    thresholds: np.ndarray
    edges: np.ndarray
    same: np.ndarray
    different: np.ndarray

    @classmethod
    def of(cls, scores: verification.Scores) -> "Curves":
        """The curves of pairs of both kinds."""
        fars = np.geomspace(min(0.1, 10 / len(scores.different)), 1, POINTS)
        vals, thresholds = verification.operating_curve(scores, fars)
        # From 0 on: a distance has a natural end there, the head's negated logit has not.
        lowest = min(float(scores.same[0]), float(scores.different[0]), 0.0)
        highest = max(float(scores.same[-1]), float(scores.different[-1]))
        edges = np.linspace(lowest, highest if highest > lowest else lowest + 1.0, BINS + 1)
        same, different = verification.histogram(scores, edges)
        return cls(fars, vals, thresholds, edges, same / len(scores.same), different / len(scores.different))
