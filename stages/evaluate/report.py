"""All measures of all systems on test and validation, as plain numbers: no file is read or written here."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages import config
from stages.embedded import Split
from stages.errors import UserError
from stages.evaluate import pairs, retrieval, verification

REPORTED = ("test", "validation")
FAR = 1e-3  # at which VAL is reported
VAL_AT_FAR = "val_at_far_1e-3"


@dataclass(frozen=True)
class Report:
    """What evaluate finds.

    Attributes:
        metrics: for each split and system the measures; under `counts` what they were measured on.
        threshold: the trained network's threshold, calibrated on validation, what it is of (`scored_by`: the
            distance, or the head's negated logit), and what it does on test.
        curves: the ROC on test of each system that has one.
    """

    metrics: dict[str, Any]
    threshold: dict[str, Any]
    curves: dict[str, verification.Roc]


def measure(
    splits: Mapping[str, Split], settings: config.Evaluate, seed: int, head: np.ndarray | None = None
) -> Report:
    """Measure raw pixels, the untrained and the trained network, and state the chance level.

    Args:
        splits: `train`, `validation` and `test`.
        settings: what to measure.
        seed: of folds and sampled pairs, which are the same for all systems.
        head: float `[D + 1]`, w and b of the trained network's head, which then tells its pairs apart; retrieval goes
            by the distance all the same.

    Raises:
        UserError: more neighbours are to vote than there are training images.
    """
    train = splits["train"]
    if settings.knn > len(train.labels):
        raise UserError(
            f"evaluate.knn: found {settings.knn}, expected at most {len(train.labels)}, the training images"
        )
    metrics: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    scored: dict[str, dict[str, _Scored]] = {}
    for name in REPORTED:
        labels = splits[name].labels
        natural = pairs.natural(labels, settings.roc_pairs, seed)
        folded = pairs.balanced_folds(labels, settings.pairs, seed)
        metrics[name], scored[name] = {}, {}
        for system, embeddings in splits[name].systems().items():
            _show_progress(name, system)
            distances = _Distances(system, embeddings, head if system == "trained" else None)
            score = _score(distances, natural)
            scored[name][system] = score
            # k-NN takes float32, by which scikit-learn's fast path goes; pixels remain exact.
            gallery = train.systems()[system].astype(np.float32, copy=False)
            queries = embeddings.astype(np.float32, copy=False)
            metrics[name][system] = {
                **retrieval.leave_one_out_report(embeddings, labels, settings.recall_at),
                "knn_accuracy": retrieval.knn_accuracy(queries, labels, gallery, train.labels, settings.knn),
                **_fold_measures(distances, folded),
                **_curve_measures(score.curve),
            }
        metrics[name]["chance"] = {
            **retrieval.leave_one_out_chance(labels, settings.recall_at),
            "knn_accuracy": retrieval.knn_chance(labels, train.labels, settings.knn, seed),
            "verification_accuracy": 0.5,
            "auc": 0.5,
            "eer": 0.5,
            # A blind guess accepts both kinds alike; not stated where the pairs cannot show it.
            VAL_AT_FAR: None if metrics[name]["trained"][VAL_AT_FAR] is None else FAR,
        }
        counts[name] = _counts(labels, natural, folded)
    scored_by = "distance" if head is None else "head"
    threshold = _calibrate(scored["validation"]["trained"], scored["test"]["trained"], scored_by)
    curves = {system: score.curve for system, score in scored["test"].items() if score.curve is not None}
    return Report(rounded({**metrics, "counts": counts}), threshold, curves)


def rounded(content: Any) -> Any:
    """Floats in nested dictionaries at six digits behind the point."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    return round(content, 6) if isinstance(content, float) else content


@dataclass(frozen=True)
class _Scored:
    distance: np.ndarray
    same: np.ndarray
    curve: verification.Roc | None


@dataclass(frozen=True)
class _Distances:
    """Of a system's pairs, by its head if it has one."""

    system: str
    embeddings: np.ndarray
    head: np.ndarray | None

    def __call__(self, compared: pairs.Pairs) -> np.ndarray:
        if self.head is not None:
            return verification.head_distances(self.embeddings, compared, self.head)
        distance = verification.distances(self.embeddings, compared)
        return distance / 255 if self.system == "raw" else distance


def _score(distances: _Distances, natural: pairs.Pairs) -> _Scored:
    distance = distances(natural)
    return _Scored(distance, natural.same, verification.roc(distance, natural.same))


def _fold_measures(distances: _Distances, folded: pairs.Pairs | None) -> dict[str, float | None]:
    if folded is None:
        return {"verification_accuracy": None, "verification_accuracy_sd": None}
    accuracies = verification.fold_accuracies(distances(folded), folded)
    return {
        "verification_accuracy": float(accuracies.mean()),
        "verification_accuracy_sd": float(accuracies.std(ddof=1)),
    }


def _curve_measures(curve: verification.Roc | None) -> dict[str, float | None]:
    if curve is None:
        return {"auc": None, "eer": None, VAL_AT_FAR: None}
    return {
        "auc": verification.auc(curve),
        "eer": verification.eer(curve),
        VAL_AT_FAR: verification.val_at_far(curve, FAR),
    }


def _counts(labels: np.ndarray, natural: pairs.Pairs, folded: pairs.Pairs | None) -> dict[str, Any]:
    left_out = retrieval.queries_left_out(labels)
    return {
        "items": len(labels),
        "queries": len(labels) - left_out,
        "queries_left_out": left_out,
        "verification_pairs": 0 if folded is None else len(folded),
        "verification_folds_disjoint_in": None if folded is None else "items" if folded.disjoint else "pairs",
        "roc_pairs": len(natural),
        "roc_pairs_same": int(natural.same.sum()),
        "roc_pairs_available": natural.available,
    }


def _calibrate(validation: _Scored, test: _Scored, scored_by: str) -> dict[str, Any]:
    found: dict[str, Any] = {"system": "trained", "scored_by": scored_by, "calibrated_on": "validation", "by": "eer"}
    found["threshold"] = None
    if validation.curve is None:
        return found
    # Nine significant digits, not six behind the point: an embedding may have any scale.
    threshold = float(f"{verification.eer_threshold(validation.curve):.9g}")
    for name, scored in (("validation", validation), ("test", test)):
        found[name] = {"pairs": len(scored.same), **verification.rates(scored.distance, scored.same, threshold)}
    return {**rounded(found), "threshold": threshold}


def _show_progress(split: str, system: str) -> None:
    if sys.stderr.isatty():
        print(f"evaluate: {split}, {system} …", file=sys.stderr)
