"""Time and memory of verification on all pairs of MNIST's test set, beside scikit-learn's on the same distances."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import auc, roc_curve

from stages.evaluate import pairs, verification
from tests.benchmarks import peak_memory

ITEMS, CLASSES = 10_000, 10
FARS = (1e-2, 1e-3, 1e-4)
SAMPLED, RESAMPLES = 1_000_000, 500
# What tells pairs apart; seconds and gigabytes allowed for all pairs and their measures.
CASES = [("embedding 64", 30, 2.0), ("pixels 784", 30, 2.0), ("head 64", 30, 2.0)]


def main() -> None:
    print(f"{ITEMS:,} items, all {ITEMS * (ITEMS - 1) // 2:,} pairs; {RESAMPLES} resamples of {SAMPLED:,} pairs")
    print(
        f"{'seconds:':<14} {'pairs':>8} {'measures':>9} {'allowed':>8} {'intervals':>10} {'peak GB':>8} {'allowed':>8}"
    )
    for name, seconds_allowed, gigabytes_allowed in CASES:
        metric, labels = _case(name, ITEMS)
        scores, collecting = _timed(partial(_scores, metric, labels))
        measures, measuring = _timed(partial(verification.curve_measures, scores, FARS))
        _, resampling = _timed(partial(_intervals, metric, labels, measures, RESAMPLES))
        gigabytes = peak_memory.extra(_prepared, name)
        peak = "killed" if gigabytes is None else f"{gigabytes:.2f}"
        print(
            f"{name:<14} {collecting:8.2f} {measuring:9.2f} {seconds_allowed:8d} {resampling:10.2f} {peak:>8} "
            f"{gigabytes_allowed:8.1f}"
        )
    _compare_with_scikit_learn(*_case(CASES[0][0], ITEMS))


def _compare_with_scikit_learn(metric: verification.Metric, labels: np.ndarray) -> None:
    scores = _scores(metric, labels)
    measures = verification.curve_measures(scores, FARS)
    distances = np.concatenate([scores.same, scores.different])
    same = np.arange(len(distances)) < len(scores.same)
    (fars, vals, _), seconds = _timed(partial(roc_curve, same, -distances, drop_intermediate=False))
    expected = {"auc": auc(fars, vals)}
    for far in FARS:
        expected[verification.far_name(far)] = vals[np.searchsorted(fars, far, side="right") - 1]
    print(f"{CASES[0][0]}: scikit-learn's roc_curve takes {seconds:.2f} s on these distances, and says")
    for name, value in expected.items():
        print(f"{name:<16} {value:.9f}, here {measures[name]:.9f}")


def _case(name: str, items: int) -> tuple[verification.Metric, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=items)
    if name.startswith("pixels"):
        centres = rng.integers(0, 256, (CLASSES, 784))
        pixels = ((centres[labels] + rng.integers(0, 256, (items, 784))) // 2).astype(np.uint8)
        return verification.Euclidean(pixels, 255.0), labels
    embeddings = (rng.normal(size=(CLASSES, 64))[labels] + rng.normal(size=(items, 64))).astype(np.float32)
    if name.startswith("head"):
        return verification.Head(embeddings, rng.normal(-0.5, 0.5, size=65).astype(np.float32)), labels
    return verification.Euclidean(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)), labels


def _prepared(name: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """All measures of few items, and those to weigh."""
    return partial(_everything, *_case(name, 100)), partial(_everything, *_case(name, ITEMS))


def _everything(metric: verification.Metric, labels: np.ndarray) -> None:
    _intervals(metric, labels, verification.curve_measures(_scores(metric, labels), FARS), 40)


def _scores(metric: verification.Metric, labels: np.ndarray) -> verification.Scores:
    return verification.natural_scores(metric, labels, 60_000_000, SAMPLED, seed=0)


def _intervals(
    metric: verification.Metric, labels: np.ndarray, measures: dict[str, float | None], resamples: int
) -> None:
    folded = pairs.balanced_folds(labels, 20_000, seed=0)
    assert folded is not None
    judged = verification.fold_accuracies(metric.of_pairs(folded.left, folded.right), folded)
    point = {**measures, "verification_accuracy": float(judged.accuracies.mean())}
    verification.intervals(metric, labels, folded, judged.correct, point, FARS, SAMPLED, resamples, seed=0)


def _timed(step: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = step()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
