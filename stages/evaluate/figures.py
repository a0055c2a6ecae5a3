"""The figures of evaluate: ROC, recall@k, distances, confusion of nearest neighbours, recall of each class."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import PercentFormatter

from stages import naming, store
from stages.evaluate.curves import Curves
from stages.evaluate.report import View
from stages.evaluate.series import MEASURED
from stages.evaluate.table import SYSTEMS
from stages.palette import BLUE, GREEN, GREY, ORANGE, VERMILION, style

STYLES: dict[str, dict[str, Any]] = {
    "raw": {"color": ORANGE, "linestyle": (0, (5, 1.5)), "marker": "s", "linewidth": 2.0},
    "untrained": {"color": GREEN, "linestyle": (0, (1, 1)), "marker": "^", "linewidth": 2.2},
    "trained": {"color": BLUE, "linestyle": "-", "marker": "o", "linewidth": 2.6},
    "chance": {"color": GREY, "linestyle": (0, (4, 2, 1, 2)), "marker": "", "linewidth": 1.5},
}
SHOWN_CLASSES = 40  # in one picture: the worst of them
COUNTED_CLASSES = 20  # up to which a confusion has its numbers written in it
DPI = 130


def draw_roc(path: Path, curves: Mapping[str, Curves], title: str) -> None:
    """VAL against FAR, which is in log scale from the smallest that ten accepted pairs stand for."""
    with _axes(path, title, "" if curves else "no pairs of both kinds") as axes:
        smallest = min([curve.fars[0] for curve in curves.values()], default=1e-3)
        for system, curve in curves.items():
            axes.plot(curve.fars, curve.vals, label=SYSTEMS[system], **{**STYLES[system], "marker": ""})
        chance = np.geomspace(smallest, 1, 200)
        axes.plot(chance, chance, label=SYSTEMS["chance"], **STYLES["chance"])
        axes.set(xscale="log", xlim=(smallest, 1), ylim=(-0.02, 1.02))
        axes.set_xlabel("FAR: share of different pairs accepted (log scale)")
        axes.set_ylabel("VAL: share of same pairs accepted")


def draw_recall(path: Path, view: View, ks: Sequence[int], title: str) -> None:
    """Recall@k of each system, its 95 % interval shaded. Chance is drawn where it reaches the axis that tells apart."""
    known = {system: _recalls(view.measures[system], ks) for system in SYSTEMS}
    lows = [
        view.measures[system]["interval"].get(name, {}).get("low", 1.0) for system in MEASURED for name in _names(ks)
    ]
    lowest = min([*lows, *(recall for system in MEASURED for _, recall in known[system])])
    bottom = max(0.0, 1 - 1.2 * (1 - lowest) - 0.002)
    with _axes(path, title, "" if any(known.values()) else "no class has two items") as axes:
        for system, points in known.items():
            label = SYSTEMS[system]
            if system == "chance" and points and points[-1][1] < bottom:
                label = f"chance, {points[-1][1]:.2f} at k = {points[-1][0]}, below the axis"
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
        style(axes)
        axes.set_title(SYSTEMS[system], fontsize=12, loc="left")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylabel("share of the pairs")
        if system not in curves:
            axes.text(0.5, 0.5, "no pairs of both kinds", transform=axes.transAxes, ha="center")
            continue
        _draw_shares(axes, curves[system])
        axes.set_xlabel(_distance(system, scored_by))
        if system == "trained" and threshold is not None:
            label = f"threshold {threshold:.3g}, calibrated on validation"
            axes.axvline(threshold, color=VERMILION, linestyle="--", linewidth=2, label=label)
    _finish(figure, axes, path)


def draw_confusion(path: Path, view: View, classes: Sequence[str], title: str) -> None:
    """How often the nearest other of an image of one class is of another one, in the trained embedding."""
    shown, counts, shares = _confused(view, len(classes))
    names = [naming.shown(classes[label]) for label in shown]
    few = len(shown) <= COUNTED_CLASSES
    side, letters = (0.0, 11.0) if few else (1.2, 7.0)
    room = side + _room(names, letters)
    heading = title + _of(shown, np.unique(view.labels[: len(view.nearest)]))
    with _axes(path, heading, "" if names else "no image has another", (6.8 + room, 5.6 + room)) as axes:
        if names:
            highest = (float(np.nanmax(shares)) or 0.01) if len(names) > 1 else 1.0  # without an error a scale to 1 %
            # The page's size keeps cells near squares: a fixed aspect makes the layout misplace the bar's label.
            image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=highest, aspect="auto")
            bar = axes.figure.colorbar(image, ax=axes, format=PercentFormatter(1.0), shrink=0.85)
            bar.set_label("share of the row's images", fontsize=11)
            if few:
                _write_counts(axes, counts, shares / highest)
        axes.set_xticks(np.arange(len(names)), names, rotation=90 if max(map(len, names), default=0) > 3 else 0)
        axes.set_yticks(np.arange(len(names)), names)
        axes.tick_params(labelsize=letters)
        _take_literally([*axes.get_xticklabels(), *axes.get_yticklabels()])
        axes.grid(visible=False)
        axes.set_xlabel("class of the nearest other (its own left white)")
        axes.set_ylabel("class of the image")


def draw_classes(path: Path, view: View, classes: Sequence[str], title: str) -> None:
    """Recall@1 of each class for each system, the classes that the trained network finds worst first."""
    found = view.classes["trained"]
    order = sorted(found, key=lambda label: (found[label]["recall_at_1"], label))
    shown = order[:SHOWN_CLASSES]
    heading = title + _of(np.array(shown), np.array(order))
    names = [f"{naming.shown(classes[label])}  ({int(found[label]['queries']):,})" for label in shown]
    size = (7.5 + _room(names, 11), max(4.0, 1.8 + 0.34 * len(shown)))
    with _axes(path, heading, "" if shown else "no class has two items", size) as axes:
        rows = np.arange(len(shown))
        for system in MEASURED:
            recalls = [view.classes[system][label]["recall_at_1"] for label in shown]
            axes.plot(
                recalls, rows, label=SYSTEMS[system], **{**STYLES[system], "linestyle": ""}, markersize=9, alpha=0.9
            )
        axes.set_yticks(rows, names)
        _take_literally(axes.get_yticklabels())
        axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
        right = axes.get_xlim()[1]
        axes.set_xlim(right=max(right, 1.0))
        axes.set_xlabel("recall@1: share of its queries with a hit")
        axes.set_ylabel("class (queries)")


def _names(ks: Sequence[int]) -> list[str]:
    return [f"recall_at_{k}" for k in ks]


def _recalls(measures: Mapping[str, Any], ks: Sequence[int]) -> list[tuple[int, float]]:
    found = [(k, measures[f"recall_at_{k}"]) for k in sorted(ks)]
    return [(k, recall) for k, recall in found if recall is not None]


def _columns(rows: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    return list(zip(*rows, strict=True)) or [(), ()]


def _draw_shares(axes: Axes, curve: Curves) -> None:
    for kind, shares, color in (("same class", curve.same, BLUE), ("different classes", curve.different, ORANGE)):
        axes.stairs(shares, curve.edges, fill=True, color=color, alpha=0.45, label=kind)
        axes.stairs(shares, curve.edges, color=color, linewidth=1.5)


def _distance(system: str, scored_by: str) -> str:
    if system == "trained" and scored_by == "head":
        return "what the head says, its logit negated"
    return "Euclidean distance, pixels between 0 and 1" if system == "raw" else "Euclidean distance"


def _confused(view: View, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The labels shown; of these, how many images of the row have a nearest of the column; shares, NaN where equal."""
    labels = view.labels[: len(view.nearest)]
    shown = _worst(labels, np.unique(labels), labels != view.nearest)
    place = np.full(classes, -1)
    place[shown] = np.arange(len(shown))
    rows, columns = place[labels], place[view.nearest]
    inside = (rows >= 0) & (columns >= 0)
    counts = np.zeros((len(shown), len(shown)), int)
    np.add.at(counts, (rows[inside], columns[inside]), 1)
    totals = np.bincount(rows[rows >= 0], minlength=len(shown))[:, None]
    return shown, counts, np.where(np.eye(len(shown), dtype=bool), np.nan, counts / np.maximum(totals, 1))


def _worst(labels: np.ndarray, classes: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """The classes in order, or of very many those with the largest number of wrong images."""
    errors = np.bincount(np.searchsorted(classes, labels), wrong, len(classes))
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


def _room(names: Sequence[str], points: float) -> float:
    """Inches to add to a figure for its longest name, beyond the few letters that it has room for anyway."""
    return 0.65 * points / 72 * max(max(map(len, names), default=0) - 3, 0)


def _take_literally(texts: Sequence[Text]) -> None:
    """A dollar in the name of a class begins no formula."""
    for text in texts:
        text.set_parse_math(False)


@contextmanager
def _axes(path: Path, title: str, empty: str = "", size: tuple[float, float] = (7.5, 5.6)) -> Iterator[Axes]:
    """A figure of one plot, `size` inches wide and high, saved when the block ends; `empty` says why it has nothing."""
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=14)
    axes = figure.add_subplot()
    style(axes)
    yield axes
    if empty:
        axes.text(0.5, 0.5, empty, transform=axes.transAxes, ha="center")
    _finish(figure, axes, path)


def _finish(figure: Figure, axes: Axes, path: Path) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=12)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})
