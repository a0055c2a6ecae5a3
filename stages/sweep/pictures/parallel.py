"""Many axes side by side: each group is a line through its values that ends at its score."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from stages.palette import GREY
from stages.sweep.axes import Axis, short_names
from stages.sweep.measure import Measure
from stages.sweep.pictures import page
from stages.sweep.ranked import Group

STEPS = 8  # distinct numbers up to which they are at equal steps, as names always are
TICKS = 25  # values named on an axis, at most
SPREAD = 0.6  # of a step, over which the lines that share a value lie side by side
BAR = 0.06  # width of the colour bar, in distances between axes

_READABLE: dict[str, Any] = {"fontsize": 12, "path_effects": [withStroke(linewidth=3.5, foreground="white")]}


def draw(path: Path, groups: Sequence[Group], axes: Sequence[Axis], measure: Measure) -> Path:
    """A line a group, the darker the better and the best on top; of those that share a value the better lie higher."""
    figure = page.page(f"{page.better(measure)}{page.over_seeds(groups, 'mean')}", (3.4 + 1.8 * len(axes), 6.6))
    plot = figure.add_subplot()
    plot.axis("off")
    plot.set(xlim=(-0.6, len(axes) + 0.5), ylim=(-0.03, 1.12))
    columns = [_heights(axis, groups) for axis in axes]
    scale = page.Scale.of(page.scores(groups), measure)
    for i, group in reversed(list(enumerate(groups))):
        through = [column[i] for column in columns]
        if group.score is None:
            _line(plot, through, page.LOST, color=GREY, linestyle=(0, (4, 3)), linewidth=1.2)
            continue
        through.append(scale.height(group.score))
        first = group.rank == 1
        look = {"color": scale.colour(group.score), "linewidth": 4.5 if first else 1.8}
        _line(plot, through, "the best" if first else None, **look)
    short = short_names([axis.name for axis in axes])
    for at, axis in enumerate(axes):
        _draw_axis(plot, at, axis, short[axis.name])
    _draw_scores(plot, len(axes), scale, measure)
    spread = any(not _is_scaled(axis) for axis in axes)
    page.add_legend(
        figure, "thick: one value, over which its lines are spread, the better ones higher" if spread else ""
    )
    return page.save(figure, path)


def _heights(axis: Axis, groups: Sequence[Group]) -> list[float]:
    """Where each group crosses the axis, from 0 to 1. `groups` are ranked."""
    if _is_scaled(axis):
        return [_share(axis, float(group.values[axis.name])) for group in groups]
    step = 1 / len(axis.values)
    values = [axis.values.index(group.values[axis.name]) for group in groups]
    heights = []
    for i, value in enumerate(values):
        better, sharing = values[:i].count(value), values.count(value)
        heights.append(step * (value + 0.5 + SPREAD * ((sharing - better - 0.5) / sharing - 0.5)))
    return heights


def _is_scaled(axis: Axis) -> bool:
    return axis.numeric and len(axis.values) > STEPS


def _share(axis: Axis, value: float) -> float:
    """How far up a scaled axis a number is."""
    numbers = page.numbers(axis)
    low, high, number = numbers[0], numbers[-1], value
    if page.is_wide(numbers):
        low, high, number = np.log([low, high, number]).tolist()
    return (number - low) / (high - low)


def _line(plot: Axes, through: Sequence[float], label: str | None, **look: Any) -> None:
    """A line from the first axis on, which is named in the legend if it is the first of its kind."""
    named = label in plot.get_legend_handles_labels()[1]
    plot.plot(range(len(through)), through, label=None if named else label, solid_joinstyle="round", **look)


def _draw_axis(plot: Axes, at: int, axis: Axis, name: str) -> None:
    plot.plot([at, at], [0, 1], color="black", linewidth=1.2)
    plot.text(at, 1.04, page.text(name), ha="center", va="bottom", fontweight="bold", **_READABLE)
    for height, words in _ticks(axis):
        if not _is_scaled(axis):
            reach = SPREAD / 2 / len(axis.values)
            plot.plot([at, at], [height - reach, height + reach], color="black", linewidth=4, solid_capstyle="butt")
        plot.text(at - 0.05, height, words, ha="right", va="center", zorder=4, **_READABLE)


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    if not _is_scaled(axis):
        count = len(axis.values)
        return [((i + 0.5) / count, page.text(axis.values[i])) for i in range(0, count, 1 + count // TICKS)]
    numbers = page.numbers(axis)
    ticks = page.ticks(numbers[0], numbers[-1], log=page.is_wide(numbers))
    return [(_share(axis, tick), f"{tick:,.6g}") for tick in ticks]


def _draw_scores(plot: Axes, at: int, scale: page.Scale, measure: Measure) -> None:
    """The last axis, which is the colour bar too."""
    edges = np.linspace(scale.low, scale.high, 129)
    for low, high in itertools.pairwise(edges.tolist()):
        bottom, height = scale.height(low), scale.height(high) - scale.height(low)
        plot.add_patch(Rectangle((at, bottom), BAR, height, color=scale.colour((low + high) / 2)))
    plot.text(at, 1.04, measure.label, ha="center", va="bottom", fontweight="bold", **_READABLE)
    for tick in page.ticks(scale.low, scale.high, log=False):
        plot.text(at + 1.5 * BAR, scale.height(tick), f"{tick:.6g}", ha="left", va="center", **_READABLE)
    if scale.outliers:
        plot.plot([], [], linestyle="none", label=f"{scale.outliers} far worse, at the bottom")
