"""The numbers behind the figures as CSV, a column a system, so that `dvc plots` draws and compares them too."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from stages.evaluate.curves import Curves
from stages.evaluate.report import View
from stages.evaluate.table import SYSTEMS

MEASURED = [system for system in SYSTEMS if system != "chance"]
CLASS_MEASURES = ("recall_at_1", "map_at_r")


def roc_csv(curves: Mapping[str, Curves]) -> str:
    """VAL of each system at a FAR: columns far, log10_far, the systems, `<system>_threshold`.

    Empty where nothing is accepted. All systems are measured on the same pairs, so their FARs are the same.
    """
    rows = []
    for i, far in enumerate(next(iter(curves.values())).fars if curves else []):
        vals = [f"{curve.vals[i]:.6g}" for curve in curves.values()]
        thresholds = [
            f"{curve.thresholds[i]:.6g}" if np.isfinite(curve.thresholds[i]) else "" for curve in curves.values()
        ]
        rows.append([f"{far:.6g}", f"{np.log10(far):.6g}", *vals, *thresholds])
    return _text(["far", "log10_far", *curves, *(f"{system}_threshold" for system in curves)], rows)


def recall_csv(view: View, ks: Sequence[int]) -> str:
    """Recall@k: columns k, the systems and chance, `<system>_low`, `<system>_high` (95 %); empty where undefined."""
    rows = []
    for k in sorted(ks):
        name = f"recall_at_{k}"
        bounds = [view.measures[system]["interval"].get(name, {}).get(end) for system in MEASURED for end in _ENDS]
        rows.append([str(k), *map(_cell, [*(view.measures[system][name] for system in SYSTEMS), *bounds])])
    return _text(["k", *SYSTEMS, *(f"{system}_{end}" for system in MEASURED for end in _ENDS)], rows)


def distances_csv(curve: Curves | None) -> str:
    """The trained network's distances: columns distance (a bin's middle), same and different (shares of the pairs)."""
    rows = []
    if curve is not None:
        middles = (curve.edges[1:] + curve.edges[:-1]) / 2
        rows = [[f"{x:.6g}" for x in row] for row in zip(middles, curve.same, curve.different, strict=True)]
    return _text(["distance", "same", "different"], rows)


def confusion_csv(view: View, classes: Sequence[str]) -> str:
    """A row an image: columns class and nearest, the class of its nearest other in the trained embedding."""
    pairs = zip(view.labels[: len(view.nearest)].tolist(), view.nearest.tolist(), strict=True)
    return _text(["class", "nearest"], ([classes[label], classes[nearest]] for label, nearest in pairs))


def classes_csv(view: View, classes: Sequence[str]) -> str:
    """A row a class: columns class, queries, then each measure of each system; classes without a query are left out."""
    names = [f"{system}_{measure}" for measure in CLASS_MEASURES for system in MEASURED]
    rows = []
    for label, found in view.classes["trained"].items():
        values = [view.classes[system][label][measure] for measure in CLASS_MEASURES for system in MEASURED]
        rows.append([classes[label], str(int(found["queries"])), *map(_cell, values)])
    return _text(["class", "queries", *names], rows)


_ENDS = ("low", "high")


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
