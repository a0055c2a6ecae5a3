"""All measures of all systems on validation and test, as plain numbers: no file is read or written here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages import config, progress
from stages.embedded import Split
from stages.errors import UserError
from stages.evaluate import pairs, retrieval, verification
from stages.evaluate.curves import Curves

CALIBRATED_ON = "validation"

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
        labels: int32 `[N]`.
        nearest: int32 `[N]`, the label of each row's nearest other in the trained embedding; empty if there is none.
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
            distance, or the head's negated logit), and what it does in each view.
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
    views: Mapping[str, Split], train: Split, settings: config.Evaluate, seed: int, head: np.ndarray | None = None
) -> Report:
    """Measure raw pixels, the untrained and the trained network, and state the chance level.

    Args:
        views: rows that are measured together, by name; `validation` is one of them.
        train: the training images, in which test images are looked up.
        settings: what to measure.
        seed: of folds, sampled pairs and resamples, which are the same for all systems.
        head: float `[D + 1]`, w and b of the trained network's head, which then tells its pairs apart; retrieval goes
            by the distance all the same.

    Raises:
        UserError: more neighbours are to vote than there are training images.
    """
    if settings.knn > len(train.labels):
        raise UserError(
            f"evaluate.knn: found {settings.knn}, expected at most {len(train.labels)}, the training images"
        )
    threshold: float | None = None
    found: dict[str, View] = {}
    names = sorted(views, key=lambda name: name != CALIBRATED_ON)
    systems = len(train.systems())
    with progress.bar("evaluate", total=len(names) * systems, unit="systems") as bar:
        for name in names:
            given = _Given.of(views[name], train, settings, seed, head)
            measured = {}
            for system in train.systems():
                measured[system] = _measure(given, system)
                bar.update()
            if name == CALIBRATED_ON:
                threshold = _nine_digits(verification.calibrate(measured["trained"].scores, settings.threshold_far))
            found[name] = _view(given, measured, threshold)
    return Report(found, _threshold(found, threshold, settings, "distance" if head is None else "head"))


def rounded(content: Any) -> Any:
    """Floats in nested dictionaries at six digits behind the point."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    return round(content, 6) if isinstance(content, float) else content


@dataclass(frozen=True)
class _Given:
    """What the systems are measured on, the same for each of them: `looked_up` are rows that training is asked for."""

    split: Split
    train: Split
    settings: config.Evaluate
    seed: int
    head: np.ndarray | None
    folded: pairs.Pairs | None
    looked_up: np.ndarray

    @classmethod
    def of(cls, split: Split, train: Split, settings: config.Evaluate, seed: int, head: np.ndarray | None) -> "_Given":
        order = np.random.default_rng([seed, 6]).permutation(len(split.labels))
        folded = pairs.balanced_folds(split.labels, settings.balanced_pairs, seed)
        return cls(split, train, settings, seed, head, folded, np.sort(order[: settings.gallery_queries]))

    @property
    def labels(self) -> np.ndarray:
        return self.split.labels


@dataclass(frozen=True)
class _Measured:
    """One system. The scores are those of the pairs, and large: they go when the next view begins."""

    measures: Measures
    ranked: retrieval.Retrieved
    voted: retrieval.Retrieved
    scores: verification.Scores


def _measure(given: _Given, system: str) -> _Measured:
    settings, labels, seed = given.settings, given.labels, given.seed
    embeddings, gallery = given.split.systems()[system], given.train.systems()[system]
    gallery_labels, rows = given.train.labels, given.looked_up
    ranked = retrieval.leave_one_out(embeddings, labels, settings.recall_at)
    looked_up = retrieval.in_gallery(embeddings[rows], labels[rows], gallery, gallery_labels, settings.recall_at)
    voted = retrieval.knn_correct(embeddings, labels, gallery, gallery_labels, settings.knn, seed)
    verified, interval, scores = _verify(given, _metric(system, embeddings, given.head))
    interval = {name: bounds for f in (ranked, voted) for name, bounds in _intervals(f, given).items()} | interval
    measures = {
        **retrieval.means(ranked),
        **retrieval.means(voted),
        **verified,
        "interval": _low_and_high(interval),
        "macro": {**retrieval.macro_means(ranked, labels), **retrieval.macro_means(voted, labels)},
        "in_training": {**retrieval.means(looked_up), "interval": _low_and_high(_intervals(looked_up, given))},
    }
    return _Measured(measures, ranked, voted, scores)


def _metric(system: str, embeddings: np.ndarray, head: np.ndarray | None) -> verification.Metric:
    if system == "trained" and head is not None:
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
    )
    return measures, intervals, scores


def _low_and_high(intervals: Mapping[str, tuple[float, float] | None]) -> dict[str, dict[str, float]]:
    return {
        name: {"low": float(bounds[0]), "high": float(bounds[1])}
        for name, bounds in intervals.items()
        if bounds is not None
    }


def _view(given: _Given, measured: Mapping[str, _Measured], threshold: float | None) -> View:
    labels, trained = given.labels, measured["trained"]
    nearest = labels[:0]
    if len(labels) > 1:
        indices, _ = retrieval.nearest(given.split.trained, given.split.trained, 1, itself=True)
        nearest = labels[indices[:, 0]]
    return View(
        measures={**{system: m.measures for system, m in measured.items()}, "chance": _chance(given, trained)},
        counts=_counts(given, trained),
        curves={s: Curves.of(m.scores) for s, m in measured.items() if len(m.scores.same) and len(m.scores.different)},
        classes={system: retrieval.class_means(m.ranked, labels) for system, m in measured.items()},
        labels=labels,
        nearest=nearest,
        rates={} if threshold is None else verification.rates(trained.scores, threshold),
    )


def _chance(given: _Given, trained: _Measured) -> Measures:
    settings, labels, gallery_labels = given.settings, given.labels, given.train.labels
    return {
        **retrieval.chance(labels, settings.recall_at),
        "knn_accuracy": retrieval.knn_chance(labels, gallery_labels, settings.knn, given.seed),
        "verification_accuracy": None if given.folded is None else 0.5,
        **verification.chance_curve_measures(trained.scores, settings.fars),
        "in_training": retrieval.chance_in_gallery(labels[given.looked_up], gallery_labels, settings.recall_at),
    }


def _counts(given: _Given, trained: _Measured) -> dict[str, Any]:
    scores, folded = trained.scores, given.folded
    return {
        "items": len(given.labels),
        "classes": len(np.unique(given.labels)),
        "queries": len(trained.ranked.queries),
        "queries_left_out": trained.ranked.left_out,
        "in_training_queries": len(given.looked_up),
        "knn_queries_left_out": trained.voted.left_out,
        "balanced_pairs": 0 if folded is None else len(folded),
        "balanced_folds_disjoint_in": None if folded is None else "items" if folded.disjoint else "pairs",
        "natural_pairs": len(scores.same) + len(scores.different),
        "natural_pairs_same": len(scores.same),
        "natural_pairs_available": scores.available,
        "interval_pairs": min(scores.available, given.settings.sampled_pairs),
        "resamples": given.settings.resamples,
    }


def _threshold(
    views: Mapping[str, View], threshold: float | None, settings: config.Evaluate, scored_by: str
) -> dict[str, Any]:
    by = "eer" if settings.threshold_far is None else f"far={settings.threshold_far:g}"
    found = {"system": "trained", "scored_by": scored_by, "calibrated_on": CALIBRATED_ON, "by": by}
    rates = {} if threshold is None else {name: rounded(dict(view.rates)) for name, view in views.items()}
    return {**found, "threshold": threshold, **rates}


def _nine_digits(value: float | None) -> float | None:
    """Nine significant digits, not six behind the point: an embedding may have any scale."""
    return None if value is None else float(f"{value:.9g}")
