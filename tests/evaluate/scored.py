"""Scores for the tests of verification, and their ROC as a plain loop over thresholds."""

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from stages.evaluate.scores import Scores


def scores_of(distance, same):
    """Scores of pairs in any order."""
    distance, same = np.array(distance, np.float32), np.array(same, bool)
    return Scores(np.sort(distance[same]), np.sort(distance[~same]), len(same))


@st.composite
def scored_pairs(draw):
    """Distances on a coarse grid, with many ties, and both kinds of pairs."""
    n = draw(st.integers(2, 30))
    distance = draw(st.lists(st.integers(-3, 8), min_size=n, max_size=n))
    same = draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda kinds: len(set(kinds)) == 2))
    return np.array(distance) / 4, np.array(same)


def points_of(distance, same, weights=None):
    """Threshold, FAR and VAL, from accepting nothing on, at each distance that a pair with any weight has."""
    weights = np.ones(len(distance)) if weights is None else weights
    points = [(-np.inf, 0.0, 0.0)]
    for threshold in sorted({d for d, w in zip(distance, weights, strict=True) if w}):
        accepted = {True: 0, False: 0}
        total = {True: 0, False: 0}
        for d, s, w in zip(distance, same, weights, strict=True):
            accepted[bool(s)] += w * (d <= threshold)
            total[bool(s)] += w
        points.append((threshold, accepted[False] / total[False], accepted[True] / total[True]))
    return points


def area(points):
    """By trapezoids."""
    return sum((far - before) * (val + val_before) / 2 for (_, before, val_before), (_, far, val) in pairwise(points))


def crossing(points):
    """Where FAR = 1 - VAL on the segments between the points."""
    for (_, x0, y0), (_, x1, y1) in pairwise(points):
        share = (1 - x0 - y0) / (x1 - x0 + y1 - y0)
        if -1e-12 <= share <= 1 + 1e-12:
            return x0 + share * (x1 - x0)
    raise AssertionError("the curve ends at (1, 1)")
