"""All measures of all systems on validation and test, as plain numbers: no file is read or written here."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages import config, progress
from stages.embedded import Split, release
from stages.errors import UserError
from stages.evaluate import found, pairs, retrieval, verification
from stages.evaluate.curves import Curves
from stages.ranking import ranks

CALIBRATED_ON = "validation"
TRAINED = "trained"
SYSTEMS = ("raw", "untrained", TRAINED)
"""Of `Split.systems`; the last one is calibrated."""

Measures = dict[str, Any]
"""By name a number or None; beside them `interval`, `macro` and `in_training`, which hold such names again."""


@dataclass(frozen=True)
class View:
    """What is found about rows that are measured together: validation, test, or the seen or unseen classes of test.

    Attributes:
        measures: by system.
        counts: what they were measured on.
        curves: by system, of those that have pairs of both kinds.
        classes: by system and label, the means over the label's queries.
        labels: int32 `[Q]`, of the queries: all rows, or a sample of them.
        nearest: int32 `[Q]`, the label of each query's nearest other in the trained embedding, of equally near ones the
            first; empty if there is none.
        rates: FAR, VAL and balanced accuracy of the trained network at the calibrated threshold; empty without one.
    """

    measures: dict[str, Measures]
    counts: dict[str, Any]
    curves: dict[str, Curves]
    classes: dict[str, dict[int, dict[str, float]]]
    labels: np.ndarray
    nearest: np.ndarray
    rates: dict[str, float | None]


@dataclass(frozen=True)
class Report:
    """What evaluate finds.

    Attributes:
        views: by name, validation first.
        threshold: the trained network's threshold, how it was calibrated on validation, what it is of (`scored_by`: the
            distance, or the head's negated logit), and what it does in each view; where it is None, `because`.
    """

    views: dict[str, View]
    threshold: dict[str, Any]

    @property
    def metrics(self) -> dict[str, Any]:
        """What `evaluate.json` holds: the measures of each view, test first, and `counts`."""
        names = sorted(self.views, key=lambda name: name == CALIBRATED_ON)
        measures = {name: self.views[name].measures for name in names}
        return rounded({**measures, "counts": {name: self.views[name].counts for name in names}})


def measure(
    views: Mapping[str, Split],
    train: Split,
    settings: config.Evaluate,
    seed: int,
    head: np.ndarray | None = None,
    threads: int = 1,
) -> Report:
    """Measure raw pixels, the untrained and the trained network, and state the chance level.

    Args:
        views: rows that are measured together, by name; `validation` is one of them.
        train: the training images, in which test images are looked up.
        settings: what to measure.
        seed: of folds, sampled queries and pairs, and resamples, which are the same for all systems.
        head: float `[D + 1]`, w and b of the trained network's head, which then tells its pairs apart; retrieval goes
            by the distance all the same.
        threads: how many resamples are computed at once; the result is the same.

    Raises:
        UserError: more neighbours are to vote than there are training images.
    """
    if settings.knn > len(train.labels):
        raise UserError(
            f"evaluate.knn: found {settings.knn}, expected at most {len(train.labels)}, the training images"
        )
    names = sorted(views, key=lambda name: name != CALIBRATED_ON)
    given = {name: _Given.of(views[name], train, settings, seed, head, threads) for name in names}
    measured: dict[str, dict[str, _Measured]] = {name: {} for name in names}
    calibrated: dict[str, Any] = {}
    finished: dict[str, View] = {}
    with progress.bar("evaluate", total=len(names) * len(SYSTEMS), unit="systems") as bar:
        for system in SYSTEMS:
            asked = {name: given[name].queries for name in names}
            searched = found.find(asked, train, system, settings, seed, with_nearest=system == TRAINED)
            for name in names:
                measured[name][system], scores = _measure(given[name], system, searched[name])
                if system == TRAINED and name == CALIBRATED_ON:
                    calibrated = _calibrate(scores, settings.threshold_far, "distance" if head is None else "head")
                if system == TRAINED:
                    finished[name] = _view(given[name], measured[name], scores, calibrated["threshold"])
                bar.update()
            for split in (train, *views.values()):
                release(split.systems()[system])  # else, of large data, the files of all systems pile up in memory
    rates = {name: rounded(dict(view.rates)) for name, view in finished.items() if view.rates}
    return Report(finished, {**calibrated, **rates})


def rounded(content: Any) -> Any:
    """Floats in nested dictionaries at six digits behind the point."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    return round(content, 6) if isinstance(content, float) else content


@dataclass(frozen=True)
class _Given:
    """What the systems are measured on, the same for each of them."""

    split: Split
    train: Split
    settings: config.Evaluate
    seed: int
    head: np.ndarray | None
    threads: int
    folded: pairs.Pairs | None
    queries: found.Queries

    @classmethod
    def of(
        cls,
        split: Split,
        train: Split,
        settings: config.Evaluate,
        seed: int,
        head: np.ndarray | None,
        threads: int,
    ) -> "_Given":
        folded = pairs.balanced_folds(split.labels, settings.balanced_pairs, seed)
        queries = found.Queries.of(split, settings, seed)
        return cls(split, train, settings, seed, head, threads, folded, queries)

    @property
    def labels(self) -> np.ndarray:
        return self.split.labels

    @functools.cached_property
    def class_sizes(self) -> np.ndarray:
        """How many rows have the label of each row, int64 `[N]`."""
        return ranks.same_label_counts(self.labels, self.labels)


@dataclass(frozen=True)
class _Measured:
    """One system. Without the scores of its pairs, which are large."""

    measures: Measures
    curves: Curves | None
    found: found.Found


def _measure(given: _Given, system: str, searched: found.Found) -> tuple[_Measured, verification.Scores]:
    ranked, voted, looked_up = searched.ranked, searched.voted, searched.looked_up
    verified, interval, scores = _verify(given, _metric(system, given.split.systems()[system], given.head))
    interval = {name: bounds for f in (ranked, voted) for name, bounds in _intervals(f, given).items()} | interval
    measures = {
        **retrieval.means(ranked),
        **retrieval.means(voted),
        **verified,
        "interval": _low_and_high(interval),
        "macro": {
            **retrieval.macro_means(ranked, given.class_sizes),
            **retrieval.macro_means(voted, given.class_sizes[given.queries.rows]),
        },
        "in_training": {**retrieval.means(looked_up), "interval": _low_and_high(_intervals(looked_up, given))},
    }
    curves = Curves.of(scores) if verification.defined(scores) else None
    return _Measured(measures, curves, searched), scores


def _metric(system: str, embeddings: np.ndarray, head: np.ndarray | None) -> verification.Metric:
    if system == TRAINED and head is not None:
        return verification.Head(embeddings, head)
    # Pixels between 0 and 1, as networks take them.
    return verification.Euclidean(embeddings, scale=255.0 if system == "raw" else 1.0)


def _intervals(found: retrieval.Retrieved, given: _Given) -> dict[str, tuple[float, float] | None]:
    return retrieval.intervals(found, given.settings.resamples, given.seed)


def _verify(
    given: _Given, metric: verification.Metric
) -> tuple[Measures, dict[str, tuple[float, float] | None], verification.Scores]:
    settings, labels, folded = given.settings, given.labels, given.folded
    scores = verification.natural_scores(metric, labels, settings.all_pairs_up_to, settings.sampled_pairs, given.seed)
    measures: Measures = {"verification_accuracy": None, "verification_accuracy_sd": None}
    judged = None
    if folded is not None:
        judged = verification.fold_accuracies(metric.of_pairs(folded.left, folded.right), folded)
        measures["verification_accuracy"] = float(judged.accuracies.mean())
        measures["verification_accuracy_sd"] = float(judged.accuracies.std(ddof=1))
    measures |= verification.curve_measures(scores, settings.fars)
    intervals = verification.intervals(
        metric,
        labels,
        folded,
        None if judged is None else judged.correct,
        measures,
        settings.fars,
        settings.sampled_pairs,
        settings.resamples,
        given.seed,
        given.threads,
    )
    return measures, intervals, scores


def _low_and_high(intervals: Mapping[str, tuple[float, float] | None]) -> dict[str, dict[str, float]]:
    return {
        name: {"low": float(bounds[0]), "high": float(bounds[1])}
        for name, bounds in intervals.items()
        if bounds is not None
    }


def _view(
    given: _Given, measured: Mapping[str, _Measured], scores: verification.Scores, threshold: float | None
) -> View:
    return View(
        measures={**{system: m.measures for system, m in measured.items()}, "chance": _chance(given, scores)},
        counts=_counts(given, measured, scores),
        curves={system: m.curves for system, m in measured.items() if m.curves is not None},
        classes={system: retrieval.class_means(m.found.ranked, given.labels) for system, m in measured.items()},
        labels=given.queries.labels,
        nearest=measured[TRAINED].found.nearest,
        rates={} if threshold is None else verification.rates(scores, threshold),
    )


def _chance(given: _Given, scores: verification.Scores) -> Measures:
    settings, labels, gallery_labels, rows = given.settings, given.labels, given.train.labels, given.queries.rows

    def of_vote(sizes: np.ndarray | None = None) -> float | None:
        return retrieval.knn_chance(labels[rows], gallery_labels, settings.knn, given.seed, sizes)

    return {
        **retrieval.chance(labels, settings.recall_at, rows=rows),
        "knn_accuracy": of_vote(),
        "verification_accuracy": None if given.folded is None else 0.5,
        **verification.chance_curve_measures(scores, settings.fars),
        "macro": {
            **retrieval.chance(labels, settings.recall_at, macro=True, rows=rows),
            "knn_accuracy": of_vote(given.class_sizes[rows]),
        },
        "in_training": retrieval.chance_in_gallery(labels[given.queries.looked_up], gallery_labels, settings.recall_at),
    }


def _counts(given: _Given, measured: Mapping[str, _Measured], scores: verification.Scores) -> dict[str, Any]:
    folded, trained = given.folded, measured[TRAINED].found
    counts = {
        "items": len(given.labels),
        "classes": len(np.unique(given.labels)),
        "queries": len(trained.ranked.queries),
        "queries_left_out": trained.ranked.left_out,
        "queries_available": given.queries.available,
        "in_training_queries": len(trained.looked_up.queries),
        "in_training_queries_left_out": trained.looked_up.left_out,
        "knn_queries_left_out": trained.voted.left_out,
        "balanced_pairs": 0 if folded is None else len(folded),
        "balanced_folds_disjoint_in": None if folded is None else "items" if folded.disjoint else "pairs",
        "natural_pairs": len(scores.same) + len(scores.different),
        "natural_pairs_same": len(scores.same),
        "natural_pairs_available": scores.available,
        "interval_pairs": min(scores.available, given.settings.sampled_pairs),
        "resamples": given.settings.resamples,
    }
    if given.settings.index == "exact":
        return counts
    recalls = {system: {name: r.as_dict() for name, r in m.found.recalls.items()} for system, m in measured.items()}
    return {**counts, "index": given.settings.index, "index_recall": recalls}


def _calibrate(scores: verification.Scores, far: float | None, scored_by: str) -> dict[str, Any]:
    """The threshold that validation chooses, and what it is; where it is None, `because` says why."""
    threshold = verification.calibrate(scores, far)
    found = {
        "system": "trained",
        "scored_by": scored_by,
        "calibrated_on": CALIBRATED_ON,
        "by": "eer" if far is None else f"far={far:g}",
        # Nine significant digits, not six behind the point: an embedding may have any scale.
        "threshold": None if threshold is None else float(f"{threshold:.9g}"),
    }
    if threshold is not None and scored_by == "head":
        # What `head.keras` gives; the distance is its logit, negated.
        return {
            **found,
            "accept_if": "probability >= this one",
            "probability": 0.5 * (1.0 - math.tanh(0.5 * threshold)),
        }
    if threshold is not None:
        return {**found, "accept_if": "distance <= threshold"}
    same, different = len(scores.same), len(scores.different)
    because = f"{CALIBRATED_ON} has {same:,} same and {different:,} different pairs, expected some of both"
    if far is not None:
        because = f"{CALIBRATED_ON} has {different:,} different pairs, a FAR of {far:g} needs {10 / far:,.0f}"
        if different >= 10 / far:
            because = f"on {CALIBRATED_ON} no threshold has a FAR of {far:g} or less"
    return {**found, "because": because}
