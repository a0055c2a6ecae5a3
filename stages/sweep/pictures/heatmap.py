"""Two axes: a cell for each of their combinations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex, to_rgb
from matplotlib.patches import Rectangle

from stages.evaluate.table import number
from stages.palette import VERMILION
from stages.sweep.axes import ABSENT, Axis
from stages.sweep.measure import Measure
from stages.sweep.pictures import page
from stages.sweep.ranked import Group

WRITTEN = 20  # values of an axis up to which cells have their numbers written in them
TICKS = 30  # values named on an axis, at most
EMPTY, FAR = "#ececec", "#ffffff"


def draw(path: Path, groups: Sequence[Group], across: Axis, up: Axis, measure: Measure) -> Path:
    """Scores over the values of two axes, which are at equal steps; the best framed, what has no score hatched."""
    written = max(len(across.values), len(up.values)) <= WRITTEN
    scale = page.Scale.of(page.scores(groups), measure)
    figure = page.page(f"{measure.title}{page.over_seeds(groups)}", _size(across, up, written=written))
    axes = figure.add_subplot()
    cells = {(group.values[across.name], group.values[up.name]): group for group in groups}
    most = max(group.seeds for group in groups)
    for column, x in enumerate(across.values):
        for row, y in enumerate(up.values):
            words, look = _fill(axes, (column, row), cells.get((x, y)), scale, most)
            if written:
                axes.text(column, row, words, ha="center", va="center", fontsize=11, **look)
    for group in (group for group in groups if group.rank == 1):
        best = across.values.index(group.values[across.name]), up.values.index(group.values[up.name])
        _add(axes, best, fill=False, edgecolor=VERMILION, linewidth=3.5, zorder=3, clip_on=False)
    _label(axes)
    _name(axes, across, up, room=8 if written else 2)
    _add_bar(axes, scale, measure)
    page.add_legend(figure)
    return page.save(figure, path)


def _size(across: Axis, up: Axis, *, written: bool) -> tuple[float, float]:
    """Inches, with room for the longest name at each side."""
    below, beside = (max(len(page.text(value)) for value in axis.values) for axis in (across, up))
    width, height = (0.95, 0.7) if written else (0.2, 0.2)
    width, height = 2.8 + width * len(across.values), 2.2 + height * len(up.values)
    return max(6.0, min(width, 22.0)) + 0.1 * max(beside - 4, 0), max(4.4, min(height, 18.0)) + 0.07 * max(below - 8, 0)


def _fill(
    axes: Axes, at: tuple[int, int], group: Group | None, scale: page.Scale, most: int
) -> tuple[str, dict[str, Any]]:
    """Colour or hatch a cell; returns what to write in it, and how so that it can be read."""
    if group is None or group.score is None:
        _add(axes, at, facecolor=EMPTY, edgecolor="#b5b5b5", hatch="///", linewidth=0)
        words = ABSENT if group is None else "failed" if group.failed else "none"
        return words, {"bbox": {"facecolor": EMPTY, "edgecolor": "none", "pad": 1}}
    face = scale.colour(group.score) if scale.contains(group.score) else to_rgb(FAR)
    _add(axes, at, facecolor=face, edgecolor="white", linewidth=1)
    deviation = "" if group.sd is None else f"\n± {number(group.sd)}"
    fewer = f"\n{group.seeds} of {most}" if group.seeds < most else ""
    bright = np.dot(face, (0.299, 0.587, 0.114)) > 0.5
    return number(group.score) + deviation + fewer, {"color": "black" if bright else "white"}


def _add(axes: Axes, at: tuple[int, int], **look: Any) -> None:
    axes.add_patch(Rectangle((at[0] - 0.5, at[1] - 0.5), 1, 1, **look))


def _label(axes: Axes) -> None:
    """For the legend, the first cell of each kind that is in it."""
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    framed = [patch for patch in axes.patches if not patch.get_fill()]
    far = [patch for patch in axes.patches if patch.get_fill() and to_hex(patch.get_facecolor()) == FAR]
    for patch in far:
        patch.set_edgecolor("#b5b5b5")
    for patches, label in (
        (hatched, f"{page.LOST}; – not run"),
        (far, "far worse: off the scale"),
        (framed, "the best"),
    ):
        for patch in patches[:1]:
            patch.set_label(label)


def _name(axes: Axes, across: Axis, up: Axis, room: int) -> None:
    """Numbers grow upwards, names are read downwards."""
    columns, rows = len(across.values), len(up.values)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(*((-0.5, rows - 0.5) if up.numeric else (rows - 0.5, -0.5)))
    x, y = (range(0, count, 1 + count // TICKS) for count in (columns, rows))
    names = [page.text(across.values[i]) for i in x]
    axes.set_xticks(x, names, **page.turned(names, room))
    axes.set_yticks(y, [page.text(up.values[i]) for i in y])
    axes.tick_params(labelsize=12, length=0)
    axes.set_xlabel(across.name, fontsize=13)
    axes.set_ylabel(up.name, fontsize=13)
    axes.spines[:].set_visible(False)


def _add_bar(axes: Axes, scale: page.Scale, measure: Measure) -> None:
    """Dark and best on top."""
    colours = ScalarMappable(Normalize(scale.low, scale.high), "viridis" if scale.lower_is_better else "viridis_r")
    bar = axes.figure.colorbar(colours, ax=axes)
    bar.set_label(page.better(measure), fontsize=12)
    bar.ax.tick_params(labelsize=11)
    if scale.lower_is_better:
        bar.ax.invert_yaxis()
