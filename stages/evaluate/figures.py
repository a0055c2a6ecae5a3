"""The figures of evaluate, and the curves behind them as CSV."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages import store
from stages.evaluate.table import SYSTEMS
from stages.evaluate.verification import Roc

# Okabe and Ito's colours, which the colour-blind tell apart; lines differ in their dashes too.
STYLES: dict[str, dict[str, Any]] = {
    "raw": {"color": "#E69F00", "linestyle": (0, (5, 1.5)), "marker": "s", "linewidth": 2.0},
    "untrained": {"color": "#009E73", "linestyle": (0, (1, 1)), "marker": "^", "linewidth": 2.2},
    "trained": {"color": "#0072B2", "linestyle": "-", "marker": "o", "linewidth": 2.6},
    "chance": {"color": "#777777", "linestyle": (0, (4, 2, 1, 2)), "marker": "", "linewidth": 1.5},
}
ROWS = 1000  # of a curve in a CSV, at most


def thinned(curve: Roc, rows: int = ROWS) -> np.ndarray:
    """At most `rows` indices into the curve: evenly in log FAR and in VAL, both ends included."""
    if len(curve.far) <= rows:
        return np.arange(len(curve.far))
    each = rows // 2 - 1
    by_far = np.searchsorted(curve.far, np.geomspace(1 / curve.different, 1, each))
    by_val = np.searchsorted(curve.val, np.linspace(0, 1, each))
    return np.unique(np.concatenate([[0, len(curve.far) - 1], by_far, by_val]))


def roc_csv(curves: Mapping[str, Roc]) -> str:
    """Columns system, threshold, far, val; no threshold where nothing is accepted."""
    lines = ["system,threshold,far,val"]
    for system, curve in curves.items():
        for i in thinned(curve):
            threshold = "" if np.isinf(curve.thresholds[i]) else f"{curve.thresholds[i]:.6g}"
            lines.append(f"{system},{threshold},{curve.far[i]:.6g},{curve.val[i]:.6g}")
    return "\n".join(lines) + "\n"


def recall_csv(measures: Mapping[str, Mapping[str, float | None]], ks: Sequence[int]) -> str:
    """Columns system, k, recall; measures without a value are left out."""
    lines = ["system,k,recall"]
    for system in SYSTEMS:
        for k, recall in _recalls(measures[system], ks):
            lines.append(f"{system},{k},{recall:.6g}")
    return "\n".join(lines) + "\n"


def draw_roc(path: Path, curves: Mapping[str, Roc], title: str) -> None:
    """VAL against FAR, which is in log scale from the smallest that ten accepted pairs stand for."""
    figure, axes = _figure(title)
    smallest = min([min(0.1, 10 / curve.different) for curve in curves.values()], default=1e-3)
    for system, curve in curves.items():
        chosen = thinned(curve)
        style = {**STYLES[system], "marker": ""}
        # The log of FAR 0 is nowhere: such points are put left of the axis.
        axes.plot(np.maximum(curve.far[chosen], smallest / 100), curve.val[chosen], label=SYSTEMS[system], **style)
    chance = np.geomspace(smallest, 1, 200)
    axes.plot(chance, chance, label=SYSTEMS["chance"], **STYLES["chance"])
    axes.set(xscale="log", xlim=(smallest, 1), ylim=(-0.02, 1.02))
    axes.set_xlabel("false accept rate, FAR: share of different pairs accepted (log scale)")
    axes.set_ylabel("validation rate, VAL: share of same pairs accepted")
    if not curves:
        axes.text(0.5, 0.5, "no pairs of both kinds", transform=axes.transAxes, ha="center")
    _finish(figure, axes, path)


def draw_recall(path: Path, measures: Mapping[str, Mapping[str, float | None]], ks: Sequence[int], title: str) -> None:
    """Recall@k of each system. Chance is drawn where it reaches the part of the axis that tells the systems apart."""
    figure, axes = _figure(title)
    known = {system: _recalls(measures[system], ks) for system in SYSTEMS}
    lowest = min([recall for system in known if system != "chance" for _, recall in known[system]], default=0.0)
    bottom = max(0.0, 1 - 1.15 * (1 - lowest) - 0.002)
    for system, points in known.items():
        label = SYSTEMS[system]
        if system == "chance" and points and points[0][1] < bottom:
            label = f"chance, {points[0][1]:.2f} at k = {points[0][0]}, below the axis"
        style = {**STYLES[system], "markersize": 7}
        axes.plot([k for k, _ in points], [recall for _, recall in points], label=label, **style)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(ks), [str(k) for k in ks])
    axes.minorticks_off()
    axes.set_ylim(bottom, 1 + 0.03 * (1 - bottom))
    axes.set_xlabel("k, nearest others looked at")
    axes.set_ylabel("recall@k: share of queries with a hit")
    if not any(known.values()):
        axes.text(0.5, 0.5, "no class has two items", transform=axes.transAxes, ha="center")
    _finish(figure, axes, path)


def _recalls(measures: Mapping[str, float | None], ks: Sequence[int]) -> list[tuple[int, float]]:
    found = [(k, measures[f"recall_at_{k}"]) for k in sorted(ks)]
    return [(k, recall) for k, recall in found if recall is not None]


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.5, 5.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=14, pad=10)
    axes.grid(color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=12)
    axes.xaxis.label.set_fontsize(12)
    axes.yaxis.label.set_fontsize(12)
    return figure, axes


def _finish(figure: Figure, axes: Axes, path: Path) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=12)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=130, metadata={"Software": None})
