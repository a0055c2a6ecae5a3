"""The figures of evaluate: ROC, recall@k, distances, confusion of nearest neighbours, recall of each class."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from stages import store
from stages.evaluate.curves import Curves
from stages.evaluate.report import View
from stages.evaluate.series import MEASURED
from stages.evaluate.table import SYSTEMS
from stages.palette import BLUE, GREEN, GREY, ORANGE, VERMILION

STYLES: dict[str, dict[str, Any]] = {
    "raw": {"color": ORANGE, "linestyle": (0, (5, 1.5)), "marker": "s", "linewidth": 2.0},
    "untrained": {"color": GREEN, "linestyle": (0, (1, 1)), "marker": "^", "linewidth": 2.2},
    "trained": {"color": BLUE, "linestyle": "-", "marker": "o", "linewidth": 2.6},
    "chance": {"color": GREY, "linestyle": (0, (4, 2, 1, 2)), "marker": "", "linewidth": 1.5},
}
SHOWN_CLASSES = 40  # in one picture: the worst of them
COUNTED_CLASSES = 20  # up to which a confusion has its numbers written in it


def draw_roc(path: Path, curves: Mapping[str, Curves], title: str) -> None:
    """VAL against FAR, which is in log scale from the smallest that ten accepted pairs stand for."""
    with _axes(path, title, "" if curves else "no pairs of both kinds") as axes:
        smallest = min([curve.fars[0] for curve in curves.values()], default=1e-3)
        for system, curve in curves.items():
            axes.plot(curve.fars, curve.vals, label=SYSTEMS[system], **{**STYLES[system], "marker": ""})
        chance = np.geomspace(smallest, 1, 200)
        axes.plot(chance, chance, label=SYSTEMS["chance"], **STYLES["chance"])
        axes.set(xscale="log", xlim=(smallest, 1), ylim=(-0.02, 1.02))
        axes.set_xlabel("false accept rate, FAR: share of different pairs accepted (log scale)")
        axes.set_ylabel("validation rate, VAL: share of same pairs accepted")


def draw_recall(path: Path, view: View, ks: Sequence[int], title: str) -> None:
    """Recall@k of each system, its 95 % interval shaded. Chance is drawn where it reaches the axis that tells apart."""
    known = {system: _recalls(view.measures[system], ks) for system in SYSTEMS}
    lowest = min([recall for system in MEASURED for _, recall in known[system]], default=0.0)
    bottom = max(0.0, 1 - 1.2 * (1 - lowest) - 0.002)
    with _axes(path, title, "" if any(known.values()) else "no class has two items") as axes:
        for system, points in known.items():
            label = SYSTEMS[system]
            if system == "chance" and points and points[0][1] < bottom:
                label = f"chance, {points[0][1]:.2f} at k = {points[0][0]}, below the axis"
            axes.plot(*_columns(points), label=label, **STYLES[system], markersize=7)
            bounds = view.measures[system].get("interval", {})
            ends = [(k, *bounds[f"recall_at_{k}"].values()) for k, _ in points if f"recall_at_{k}" in bounds]
            if ends:
                across, low, high = _columns(ends)
                axes.fill_between(across, low, high, color=STYLES[system]["color"], alpha=0.15, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(ks), [str(k) for k in ks])
        axes.minorticks_off()
        axes.set_ylim(bottom, 1 + 0.03 * (1 - bottom))
        axes.set_xlabel("k, nearest others looked at")
        axes.set_ylabel("recall@k: share of queries with a hit (shaded: 95 %)")


def draw_distances(
    path: Path, curves: Mapping[str, Curves], threshold: float | None, scored_by: str, title: str
) -> None:
    """How the distances of same and of different pairs are distributed, a panel a system, with the threshold."""
    figure = Figure(figsize=(7.5, 8.6), layout="constrained")
    figure.suptitle(title, fontsize=14)
    for axes, system in zip(figure.subplots(len(MEASURED), 1), MEASURED, strict=True):
        _style(axes)
        axes.set_title(SYSTEMS[system], fontsize=12, loc="left")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylabel("share of the pairs")
        if system not in curves:
            axes.text(0.5, 0.5, "no pairs of both kinds", transform=axes.transAxes, ha="center")
            continue
        curve = curves[system]
        for kind, shares, color in (("same class", curve.same, BLUE), ("different classes", curve.different, ORANGE)):
            axes.stairs(shares, curve.edges, fill=True, color=color, alpha=0.45, label=kind)
            axes.stairs(shares, curve.edges, color=color, linewidth=1.5)
        if system == "trained" and threshold is not None:
            label = f"threshold {threshold:.3g}, calibrated on validation"
            axes.axvline(threshold, color=VERMILION, linestyle="--", linewidth=2, label=label)
            axes.set_xlabel("what the head says, its logit negated" if scored_by == "head" else _DISTANCE)
        else:
            axes.set_xlabel(f"{_DISTANCE}, pixels between 0 and 1" if system == "raw" else _DISTANCE)
    _finish(figure, axes, path)


def draw_confusion(path: Path, view: View, classes: Sequence[str], title: str) -> None:
    """How often the nearest other of an image of one class is of another one, in the trained embedding."""
    labels = view.labels[: len(view.nearest)]
    shown = _worst(labels, np.unique(labels), labels != view.nearest)
    place = np.full(len(classes), -1)
    place[shown] = np.arange(len(shown))
    rows, columns = place[labels], place[view.nearest]
    inside = (rows >= 0) & (columns >= 0)
    counts = np.zeros((len(shown), len(shown)), int)
    np.add.at(counts, (rows[inside], columns[inside]), 1)
    totals = np.bincount(rows[rows >= 0], minlength=len(shown))[:, None]
    off = np.where(np.eye(len(shown), dtype=bool), np.nan, counts / np.maximum(totals, 1))
    with _axes(path, title + _of(shown, np.unique(labels)), "" if len(shown) else "no image has another") as axes:
        if len(shown):
            highest = max(float(np.nanmax(off)), 1e-9) if len(shown) > 1 else 1.0
            image = axes.imshow(off, cmap="Blues", vmin=0, vmax=highest)
            bar = axes.figure.colorbar(image, ax=axes, format=PercentFormatter(1.0), shrink=0.85)
            bar.set_label("share of the row's images (diagonal left white)", fontsize=11)
            if len(shown) <= COUNTED_CLASSES:
                _write_counts(axes, counts, off / highest)
        names = [_shortened(classes[label]) for label in shown]
        size = 11 if len(shown) <= COUNTED_CLASSES else 7
        axes.set_xticks(np.arange(len(shown)), names, rotation=90 if max(map(len, names), default=0) > 3 else 0)
        axes.set_yticks(np.arange(len(shown)), names)
        axes.tick_params(labelsize=size)
        for text in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            text.set_parse_math(False)
        axes.grid(visible=False)
        axes.set_xlabel("class of the nearest other image")
        axes.set_ylabel("class of the image")


def draw_classes(path: Path, view: View, classes: Sequence[str], title: str) -> None:
    """Recall@1 of each class for each system, the classes that the trained network finds worst first."""
    found = view.classes["trained"]
    order = sorted(found, key=lambda label: (found[label]["recall_at_1"], label))
    shown = order[:SHOWN_CLASSES]
    heading = title + _of(np.array(shown), np.array(order))
    height = max(4.0, 1.8 + 0.34 * len(shown))
    with _axes(path, heading, "" if shown else "no class has two items", height) as axes:
        rows = np.arange(len(shown))
        for system in MEASURED:
            recalls = [view.classes[system][label]["recall_at_1"] for label in shown]
            axes.plot(
                recalls, rows, label=SYSTEMS[system], **{**STYLES[system], "linestyle": ""}, markersize=9, alpha=0.9
            )
        names = [f"{_shortened(classes[label])}  ({int(found[label]['queries']):,})" for label in shown]
        axes.set_yticks(rows, names)
        for text in axes.get_yticklabels():
            text.set_parse_math(False)
        axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
        right = axes.get_xlim()[1]
        axes.set_xlim(right=max(right, 1.0))
        axes.set_xlabel("recall@1: share of the class's images whose nearest other is of it")
        axes.set_ylabel("class (queries)")


_DISTANCE = "Euclidean distance"


def _recalls(measures: Mapping[str, Any], ks: Sequence[int]) -> list[tuple[int, float]]:
    found = [(k, measures[f"recall_at_{k}"]) for k in sorted(ks)]
    return [(k, recall) for k, recall in found if recall is not None]


def _columns(rows: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    return list(zip(*rows, strict=True)) or [(), ()]


def _worst(labels: np.ndarray, classes: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """The classes in order, or of very many those with the largest number of wrong images."""
    errors = np.array([np.count_nonzero(wrong[labels == label]) for label in classes])
    return np.sort(classes[np.argsort(-errors, kind="stable")[:SHOWN_CLASSES]])


def _of(shown: np.ndarray, classes: np.ndarray) -> str:
    return "" if len(shown) == len(classes) else f"\nthe worst {len(shown)} of {len(classes):,} classes"


def _write_counts(axes: Axes, counts: np.ndarray, darkness: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = darkness[row, column] > 0.6
            axes.text(
                column, row, f"{count:,}", ha="center", va="center", fontsize=9, color="white" if dark else "black"
            )


def _shortened(name: str, letters: int = 18) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


@contextmanager
def _axes(path: Path, title: str, empty: str = "", height: float = 5.6) -> Iterator[Axes]:
    """A figure of one plot, saved when the block ends; `empty` says in it why there is nothing."""
    figure = Figure(figsize=(7.5, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=14, pad=10)
    _style(axes)
    yield axes
    if empty:
        axes.text(0.5, 0.5, empty, transform=axes.transAxes, ha="center")
    _finish(figure, axes, path)


def _style(axes: Axes) -> None:
    axes.grid(color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=11)
    axes.xaxis.label.set_fontsize(12)
    axes.yaxis.label.set_fontsize(12)


def _finish(figure: Figure, axes: Axes, path: Path) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=12)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=130, metadata={"Software": None})
