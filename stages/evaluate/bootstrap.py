"""95 % intervals of the verification measures, by a bootstrap over items.

Pairs that share an item are not independent, so items are drawn, not pairs: as many as there are, with replacement.
An item that is drawn w times weighs w, and a pair of items the product of their weights: so often it stands among the
drawn items. The pairs of an item with its own copies are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from stages.evaluate import roc
from stages.evaluate.metric import Metric
from stages.evaluate.pairs import FOLDS, Pairs, natural

COVERED = (2.5, 97.5)  # percentiles
TOGETHER = 8  # resamples whose weights are looked up together: 16 bytes an item, which one look-up fetches
PAIRS = 2**15  # pairs weighed at once: more leave the processor's cache


def intervals(
    metric: Metric,
    labels: np.ndarray,
    folded: Pairs | None,
    correct: np.ndarray | None,
    point: Mapping[str, float | None],
    fars: Sequence[float],
    sampled: int,
    resamples: int,
    seed: int,
    threads: int = 1,
) -> dict[str, tuple[float, float] | None]:
    """95 % percentile intervals of `auc`, `eer`, VAL at each FAR, and `verification_accuracy`.

    The measures of the curve go by all natural pairs, or by a seeded sample where there are more than `sampled`. What
    the sample itself measures differs a little from `point`: its percentiles are moved by that, and clipped to [0, 1].
    Of a sample, fewer pairs are accepted at a small FAR than of all, so the interval is too wide rather than too
    narrow. The accuracy is the mean over folds of the share of correct pairs, at thresholds that are held fixed.

    Args:
        metric: of N items.
        labels: int `[N]`.
        folded: the balanced pairs; None where there are none.
        correct: bool `[P]`, which of `folded` are told correctly; None where there are none.
        point: the measures themselves.
        fars: at which VAL is measured.
        sampled: the largest number of natural pairs that a resample goes by.
        resamples: how often items are drawn.
        seed: of the sample and the draws.
        threads: how many resamples are computed at once; the result is the same.

    Returns:
        Low and high of each measure. None where it is None in `point`, or the sample cannot show it.
    """
    names = ["auc", "eer", *map(roc.far_name, fars), "verification_accuracy"]
    if all(point.get(name) is None for name in names):
        return dict.fromkeys(names)
    sample = _Sample.of(metric, labels, sampled, seed)

    def measured(weights: np.ndarray) -> list[dict[str, float]]:
        found = sample.measured(weights, fars)
        return [{**curve, **_accuracy(row, folded, correct)} for curve, row in zip(found, weights, strict=True)]

    own = measured(np.ones((1, len(labels)), np.int16))[0]
    # Threads, for NumPy computes without Python's lock; blocks are drawn in one order and know nothing of each other.
    with ThreadPoolExecutor(threads) as pool:
        blocks = pool.map(measured, draws(len(labels), resamples, seed))
        resampled = [values for block in blocks for values in block]
    return {
        name: _interval(point.get(name), own.get(name), [values[name] for values in resampled if name in values])
        for name in names
    }


def draws(items: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each item is drawn in each resample: int16 `[B, N]`, N in sum in each row, in blocks of resamples."""
    rng = np.random.default_rng([seed, 7])
    rows = (np.bincount(rng.integers(items, size=items), minlength=items) for _ in range(resamples))
    while block := list(islice(rows, TOGETHER)):
        yield np.array(block, np.int16)


@dataclass(frozen=True)
class _Resample:
    """Natural pairs that weigh what a draw of items says: see `scores.Weighed`."""

    same: np.ndarray
    different: np.ndarray
    same_upto: np.ndarray
    different_upto: np.ndarray


@dataclass(frozen=True)
class _Sample:
    """Natural pairs, sorted once.

    Attributes:
        same, different: float32 `[S]` and `[D]`, distances, ascending.
        left, right: int64 `[S + D]`, the items of the same pairs and then of the different ones, in that order.
        below, within: int64 `[S]`, how many different pairs are nearer than each same pair, and how many no farther.
    """

    same: np.ndarray
    different: np.ndarray
    left: np.ndarray
    right: np.ndarray
    below: np.ndarray
    within: np.ndarray

    @classmethod
    def of(cls, metric: Metric, labels: np.ndarray, sampled: int, seed: int) -> "_Sample":
        chosen = natural(labels, sampled, seed)
        distances = metric.of_pairs(chosen.left, chosen.right).astype(np.float32)
        order = np.lexsort((distances, ~chosen.same))
        same, different = np.split(distances[order], [np.count_nonzero(chosen.same)])
        below, within = (np.searchsorted(different, same, side=side) for side in ("left", "right"))
        return cls(same, different, chosen.left[order], chosen.right[order], below, within)

    def measured(self, weights: np.ndarray, fars: Sequence[float]) -> list[dict[str, float]]:
        """The measures of the curve that pairs can show whose items have these weights, int16 `[B, N]`."""
        return [self._measured(row, fars) for row in self._products(weights)]

    def _products(self, weights: np.ndarray) -> np.ndarray:
        """What each pair weighs, int16 `[B, S + D]`: weights are small whole numbers, whose products fit easily."""
        table = np.ascontiguousarray(weights.T)
        products = np.empty((len(weights), len(self.left)), np.int16)
        for begin in range(0, len(self.left), PAIRS):
            block = slice(begin, begin + PAIRS)
            left, right = (np.take(table, side[block], axis=0, mode="clip") for side in (self.left, self.right))
            np.multiply(left.T, right.T, out=products[:, block])
        return products

    def _measured(self, products: np.ndarray, fars: Sequence[float]) -> dict[str, float]:
        same, different = np.split(products, [len(self.same)])
        drawn = _Resample(self.same, self.different, _upto(same), _upto(different))
        if not (drawn.same_upto[-1] and drawn.different_upto[-1]):
            return {}
        vals = {roc.far_name(far): roc.val_at_far(drawn, far) for far in fars if roc.showable(drawn, far)}
        return {"auc": self._auc(drawn, same), "eer": roc.eer(drawn), **vals}

    def _auc(self, drawn: _Resample, same_weights: np.ndarray) -> float:
        # What stands below each same pair weighs so much, ties counting half; in halves, whose sum is exact.
        halves = np.take(drawn.different_upto, self.below) + np.take(drawn.different_upto, self.within).astype(np.int64)
        halves *= same_weights
        return 1 - int(halves.sum()) / (2 * int(drawn.same_upto[-1]) * int(drawn.different_upto[-1]))


def _upto(weights: np.ndarray) -> np.ndarray:
    upto = np.zeros(len(weights) + 1, np.int32 if len(weights) < 2**27 else np.int64)
    np.cumsum(weights, dtype=upto.dtype, out=upto[1:])
    return upto


def _accuracy(weights: np.ndarray, folded: Pairs | None, correct: np.ndarray | None) -> dict[str, float]:
    """Mean over folds of the share of correct pairs by weight, of the folds that have any."""
    if folded is None or folded.folds is None or correct is None:
        return {}
    products = weights[folded.left].astype(np.float64) * weights[folded.right]
    total = np.bincount(folded.folds, products, FOLDS)
    right = np.bincount(folded.folds, products * correct, FOLDS)
    drawn = total > 0
    return {"verification_accuracy": float((right[drawn] / total[drawn]).mean())} if drawn.any() else {}


def _interval(point: float | None, own: float | None, resampled: Sequence[float]) -> tuple[float, float] | None:
    if point is None or own is None or not resampled:
        return None
    low, high = np.clip(np.percentile(resampled, COVERED) + (point - own), 0.0, 1.0)
    return float(low), float(high)
