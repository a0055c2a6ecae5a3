"""One axis: a point for each of its values, with the deviation over seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from stages.palette import BLUE, GREY, VERMILION, style
from stages.sweep.axes import Axis
from stages.sweep.measure import Measure
from stages.sweep.pictures import page
from stages.sweep.ranked import Group

NAMED = 12  # numbers written at a logarithmic axis, at most


def draw(path: Path, groups: Sequence[Group], axis: Axis, measure: Measure) -> Path:
    """Scores over the values of an axis: joined where they are numbers, in log scale where these are far apart."""
    width = max(7.5, 2 + 0.9 * len(axis.values)) if not axis.numeric else 7.5
    figure = page.page(f"{measure.title}{page.over_seeds(groups)}", (min(width, 20), 5.6))
    axes = figure.add_subplot()
    style(axes)
    points = sorted((_place(axis, group), group.score, group.sd or 0) for group in groups if group.score is not None)
    x, y, deviations = zip(*points, strict=True)
    joined = "-" if axis.numeric else ""
    axes.plot(x, y, color=BLUE, linestyle=joined, linewidth=2.2, marker="o", markersize=9)
    if any(deviations):
        axes.errorbar(x, y, deviations, color=BLUE, linestyle="", elinewidth=2, capsize=6, capthick=2)
    best = [(_place(axis, group), group.score) for group in groups if group.rank == 1]
    axes.plot(*zip(*best, strict=True), "o", color=VERMILION, label="the best", **_RING)
    lost = [_place(axis, group) for group in groups if group.score is None]
    if lost:
        at_bottom = axes.get_xaxis_transform()
        axes.plot(lost, [0.03] * len(lost), "X", color=GREY, markersize=11, transform=at_bottom, label=page.LOST)
    page.best_on_top(axes, groups, measure)
    axes.set_ylabel(page.better(measure))
    _set_scale(axes, axis)
    page.add_legend(figure)
    return page.save(figure, path)


_RING: dict[str, Any] = {"markersize": 17, "markerfacecolor": "none", "markeredgewidth": 2.5}


def _place(axis: Axis, group: Group) -> float:
    value = group.values[axis.name]
    return axis.values.index(value) if isinstance(value, str) or not axis.numeric else float(value)


def _set_scale(axes: Axes, axis: Axis) -> None:
    axes.set_xlabel(axis.name)
    numbers = page.numbers(axis)
    if not numbers:
        names = [page.text(value) for value in axis.values]
        axes.set_xticks(range(len(names)), names, **page.turned(names, room=8))
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif page.is_wide(numbers):
        few = len(numbers) <= NAMED
        page.plain_log(axes, numbers if few else page.ticks(numbers[0], numbers[-1], log=True))
        axes.set_xlabel(f"{axis.name} (log scale)")
    elif len(numbers) <= NAMED / 2:
        axes.set_xticks(numbers, [page.text(value) for value in axis.values])
