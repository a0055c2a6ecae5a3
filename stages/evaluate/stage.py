"""The evaluate stage: embeddings and images in; metrics, threshold, figures and their numbers out."""

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages import config, cores, naming, store, tracking
from stages.embedded import SPLITS, groups, load_classes, load_split
from stages.errors import UserError
from stages.evaluate import figures, series
from stages.evaluate.report import Report, measure
from stages.evaluate.table import VIEWS, found_by_index, headline, headlines, natural_pairs, queries
from stages.tracking.runs import run_id_in

DRAWN = ("classes", "confusion", "distances", "recall_at_k", "roc")
KINDS = ("csv", "png")


def run(evaluate: config.Evaluate, paths: config.Paths, seed: int, threads: int) -> None:
    """Measure raw pixels, the untrained and the trained network on validation and test.

    Where classes were held out of training, the seen and the unseen ones of test are measured apart too.

    Raises:
        UserError: a file is missing or malformed, or more neighbours are to vote than there are training images.
    """
    began = time.perf_counter()
    run_id_in(Path(paths.model) / "run.json")  # before anything is written: it may be refused
    train = load_split(paths, SPLITS[0])
    validation, test = (load_split(paths, name, train) for name in SPLITS[1:])
    views = {name: test.rows(rows) for name, rows in groups(train.labels, test.labels).items()}
    head = load_head(Path(paths.embeddings) / "head.npy", test.trained.shape[1])
    classes = load_classes(paths, (train, test))
    report = measure({"validation": validation, **views}, train, evaluate, seed, head, cores.limit(threads))
    with store.together(), naming.missing_letters_told(classes):
        store.save_json(Path(paths.metrics) / "evaluate.json", report.metrics)
        store.save_json(Path(paths.metrics) / "threshold.json", report.threshold)
        plotted = write_plots(report, classes, evaluate.recall_at, Path(paths.measures))
    settings = dict(config.flatten({"evaluate": evaluate.model_dump()}))
    with tracking.continued(Path(paths.model) / "run.json", settings=settings) as tracked:
        tracked.metrics(named_for_tracking(report.metrics, report.threshold))
        for name in ("evaluate.json", "threshold.json"):
            tracked.artifact(Path(paths.metrics) / name, "metrics")
        for file in plotted:
            tracked.artifact(file, "plots")
    print(f"measured {headline(report.metrics)} ({time.perf_counter() - began:.1f} s)")


def load_head(path: Path, embedding_dim: int) -> np.ndarray | None:
    """The weights of the head, float32 `[D + 1]`; None where the trained network has none.

    Raises:
        UserError: malformed, of other embeddings, or not finite.
    """
    if not path.is_file():
        return None
    head = store.load_array(path, np.float32, 1)
    if len(head) != embedding_dim + 1 or not np.isfinite(head).all():
        finite = "finite" if np.isfinite(head).all() else "partly NaN or infinite"
        raise UserError(
            f"{path}: found {len(head)} numbers, {finite}; expected {embedding_dim + 1} finite ones, a weight for each "
            "dimension and a bias (run `dvc repro embed`)"
        )
    return head


def write_plots(report: Report, classes: Sequence[str], ks: Sequence[int], folder: Path) -> list[Path]:
    """Draw every figure of each view of the test images, with its numbers as CSV; returns the files."""
    for view, drawn, kind in itertools.product(VIEWS, DRAWN, KINDS):
        store.remove(folder / f"{view}_{drawn}.{kind}")  # an earlier run may have had more views
    for view in VIEWS:
        if view in report.views:
            _write_view(report, view, classes, ks, folder)
    return sorted(
        folder / f"{view}_{d}.{kind}" for view in VIEWS if view in report.views for d in DRAWN for kind in KINDS
    )


def _write_view(report: Report, name: str, classes: Sequence[str], ks: Sequence[int], folder: Path) -> None:
    view, counts = report.views[name], report.views[name].counts
    table, picture = ({drawn: folder / f"{name}_{drawn}.{kind}" for drawn in DRAWN} for kind in KINDS)
    compared = natural_pairs(counts)
    what = VIEWS[name]

    some = f"\n{queries(counts)}" if counts["queries"] < counts["queries_available"] else ""

    def neighbours(search: str) -> str:
        found = counts.get("index_recall", {}).get("trained", {}).get(search, {})
        # Where all were compared the picture is exact, and has nothing to say of an index.
        used = found.get("effort") is not None
        return "".join(f"\n{words}" for words in found_by_index(counts, search) if used)

    store.save_text(table["roc"], series.roc_csv(view.curves))
    figures.draw_roc(picture["roc"], view.curves, f"Same class or not, {what}\n{compared}")
    store.save_text(table["recall_at_k"], series.recall_csv(view, ks))
    figures.draw_recall(
        picture["recall_at_k"],
        view,
        ks,
        f"Retrieval, {what}\n{queries(counts)}, leave-one-out{neighbours('leave_one_out')}",
    )
    store.save_text(table["distances"], series.distances_csv(view.curves.get("trained")))
    threshold, scored_by = report.threshold["threshold"], report.threshold["scored_by"]
    figures.draw_distances(picture["distances"], view.curves, threshold, scored_by, f"Distances, {what}\n{compared}")
    store.save_text(table["confusion"], series.confusion_csv(view, classes))
    nearest = f"Class of the nearest other image\n{what}{some}{neighbours('nearest')}"
    figures.draw_confusion(picture["confusion"], view, classes, nearest)
    store.save_text(table["classes"], series.classes_csv(view, classes))
    figures.draw_classes(
        picture["classes"], view, classes, f"Recall@1 of each class\n{what}{some}{neighbours('leave_one_out')}"
    )


def named_for_tracking(metrics: Mapping[str, Any], threshold: Mapping[str, Any]) -> dict[str, float]:
    """What runs are compared by: `test/recall_at_1`, `test/interval/recall_at_1/low`, `test/raw/recall_at_1`.

    Of each view the trained network's measures, on test also their intervals and the other systems' headlines, what the
    threshold does, as in `threshold/test/far`. What is undefined is left out; evaluate.json has everything.
    """
    named: dict[str, Any] = {"threshold": threshold}
    for view, systems in metrics.items():
        if view == "counts":
            continue
        trained = systems["trained"]
        named[view] = _without_sections(trained)
        if view in VIEWS:
            shown = headlines(trained)
            named[view]["interval"] = {name: found for name, found in trained["interval"].items() if name in shown}
            for system in systems.keys() - {"trained"}:
                named[view][system] = {name: systems[system].get(name) for name in shown}
    flat = config.flatten(named, separator="/")
    return {name: value for name, value in flat if isinstance(value, float)}


def _without_sections(measures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in measures.items() if not isinstance(value, Mapping)}
