"""What quality costs: the score against the size of the embedding and the time of training, with the Pareto fronts."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox, BboxBase

from stages.palette import BLUE, GREY, style
from stages.sweep.axes import short_names
from stages.sweep.measure import Measure
from stages.sweep.pictures import page
from stages.sweep.ranked import Cost, Group, pareto, varies

COSTS: dict[Cost, str] = {
    "embedding_dim": "numbers in an embedding (log scale)",
    "train_seconds": "seconds of training",
}
WRITTEN_OUT = 2  # axes up to which a point has its values beside it; with more its rank, and the values are below
LABELLED = 8  # points of a front, at most, from the best on
SIZES = 12  # embedding sizes written at the axis, at most
AROUND = ((-7, 6, "right", "bottom"), (0, 10, "center", "bottom"), (10, -5, "left", "top"), (-7, 20, "right", "bottom"))
"""Steps from a point in points, and alignments, to try for its label: nothing lies to the upper left of a front."""


def draw(path: Path, groups: Sequence[Group], measure: Measure) -> Path | None:
    """A panel for each cost that varies, in which every group is a point and the front is a line of steps.

    Returns None, and draws nothing, where no cost varies.
    """
    costs = [cost for cost in COSTS if varies(groups, cost)]
    if not costs:
        return None
    labelled = {cost: _labelled(groups, cost, measure) for cost in costs}
    key = _key([group for front in labelled.values() for group in front])
    figure = page.page(
        f"What {measure.title} costs{page.over_seeds(groups, 'mean')}", (6.6 * len(costs), 6 + 0.2 * len(key))
    )
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, cost in zip(panels, costs, strict=True):
        _draw_panel(axes, groups, cost, measure)
    panels[0].set_ylabel(page.better(measure))
    page.add_legend(figure, "\n".join(key))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is settled: labels, which keep off each other, are to leave it so
    for axes, cost in zip(panels, costs, strict=True):
        _write(axes, labelled[cost], cost)
    return page.save(figure, path)


def _labelled(groups: Sequence[Group], cost: Cost, measure: Measure) -> list[Group]:
    return sorted(pareto(groups, cost, measure), key=lambda group: group.rank or 0)[:LABELLED]


def _draw_panel(axes: Axes, groups: Sequence[Group], cost: Cost, measure: Measure) -> None:
    style(axes)
    front = pareto(groups, cost, measure)
    others = [group for group in _known(groups, cost) if group not in front]
    if others:
        axes.plot(*_points(others, cost), "o", color=GREY, alpha=0.6, markersize=8, label="others")
    page.best_on_top(axes, groups, measure)
    _set_scale(axes, [getattr(group, cost) for group in _known(groups, cost)], cost)
    x, y = _points(front, cost)
    right = axes.get_xlim()[1]
    axes.plot([*x, right], [*y, y[-1]], color=BLUE, linewidth=2.2, drawstyle="steps-post")
    axes.plot(x, y, "o", color=BLUE, markersize=10, label="Pareto front: none is as good for less")
    axes.set_xlim(right=right)


def _known(groups: Iterable[Group], cost: Cost) -> list[Group]:
    return [group for group in groups if group.score is not None and getattr(group, cost) is not None]


def _points(groups: Sequence[Group], cost: Cost) -> tuple[list[float], list[float]]:
    return [getattr(group, cost) for group in groups], page.scores(groups)


def _set_scale(axes: Axes, paid: Sequence[float], cost: Cost) -> None:
    """With room at the left, where the labels of the cheapest are."""
    low, high = min(paid), max(paid)
    words = COSTS[cost]
    if cost == "embedding_dim":
        sizes = sorted(set(paid))
        page.plain_log(axes, sizes[:: 1 + len(sizes) // SIZES], base=2)
    elif page.is_wide(paid):
        page.plain_log(axes, page.ticks(low, high, log=True))
        words += " (log scale)"
    if axes.get_xscale() == "log":
        axes.set_xlim(low * (low / high) ** 0.35, high * (high / low) ** 0.08)
    else:
        axes.set_xlim(max(low - 0.35 * (high - low), 0), high + 0.08 * (high - low))
    axes.set_xlabel(words)


def _name(group: Group) -> str:
    values = [page.text(value) for value in group.values.values()]
    return ", ".join(values) if len(values) <= WRITTEN_OUT else f"#{group.rank}"


def _key(groups: Sequence[Group]) -> list[str]:
    """What the labels stand for."""
    short = short_names(list(groups[0].values))
    if len(short) <= WRITTEN_OUT:
        return [f"labels: {', '.join(short.values())}"]
    ranked = sorted({group.rank or 0: group for group in groups}.items())
    return [
        f"#{rank}: {', '.join(f'{short[name]} {page.text(value)}' for name, value in group.values.items())}"
        for rank, group in ranked
    ]


def _write(axes: Axes, front: Sequence[Group], cost: Cost) -> None:
    """Write labels inside the panel, off each other and off the front; one that finds no place is left out."""
    points = [axes.transData.transform(point) for point in zip(*_points(front, cost), strict=True)]
    taken = [Bbox.from_bounds(x - 7, y - 7, 14, 14) for x, y in points]
    names: dict[tuple[float, float], str] = {}
    for group, at in zip(front, zip(*_points(front, cost), strict=True), strict=True):
        if _name(group) not in names.get(at, ""):
            names[at] = "\n".join(filter(None, (names.get(at), _name(group))))
    for (x, y), name in names.items():
        for dx, dy, beside, above in AROUND:
            words = axes.annotate(
                name,
                (x, y),
                xytext=(dx, dy),
                textcoords="offset points",
                ha=beside,
                va=above,
                fontsize=11,
                path_effects=[withStroke(linewidth=3, foreground="white")],
            )
            box = words.get_window_extent()
            if _contains(axes.bbox, box) and not box.count_overlaps(taken):
                taken.append(box)
                break
            words.remove()


def _contains(outer: BboxBase, inner: BboxBase) -> bool:
    return outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1
