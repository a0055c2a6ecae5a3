"""What the pictures of a sweep have in common: the page, colours in which darker is better, names and scales."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from stages import naming, store
from stages.sweep.axes import Axis, Setting
from stages.sweep.measure import Measure
from stages.sweep.ranked import Group

DPI = 130
LETTERS = 18  # of a value
WIDE = 20  # from this ratio of the largest to the smallest on, a scale is logarithmic
LOST = "failed or without a figure"
FEW = 8  # figures, of which none is left off a scale as an outlier


def page(title: str, size: tuple[float, float]) -> Figure:
    """An empty figure, `size` inches wide and high."""
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=14)
    return figure


def add_legend(figure: Figure, words: str = "") -> None:
    """What has a label in any plot, once, below all of them, and above it these words."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        named |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if named or words:
        look = {"ncols": 3, "frameon": False, "fontsize": 12, "title_fontsize": 11, "alignment": "left"}
        figure.legend(named.values(), named.keys(), loc="outside lower center", title=words or None, **look)


def save(figure: Figure, path: Path) -> Path:
    """Write the PNG; returns its path."""
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})
    return path


def text(value: Setting) -> str:
    r"""A value on one line, in which a dollar begins no formula.

    >>> text(0.1), text("$a")
    ('0.1', '\\$a')
    """
    return naming.shown(str(value), LETTERS).replace("$", r"\$")


def better(measure: Measure) -> str:
    """The measure's title and which way is up."""
    return f"{measure.title} ({'lower' if measure.lower_is_better else 'higher'} is better)"


def over_seeds(groups: Iterable[Group], drawn: str = "mean ± s.d.") -> str:
    """For a title: what is drawn where there are several seeds."""
    most = max(group.seeds for group in groups)
    return f"\n{drawn} over {most} seeds" if most > 1 else ""


@dataclass(frozen=True)
class Scale:
    """From the best score to the worst that is no outlier; the darker the better, in grey as well.

    Attributes:
        low: the smallest number on it.
        high: the largest.
        lower_is_better: which of the two is the best.
        outliers: how many scores are worse than all that are on it.
    """

    low: float
    high: float
    lower_is_better: bool
    outliers: int

    @classmethod
    def of(cls, scores: Sequence[float], measure: Measure) -> "Scale":
        """The scale for these scores.

        A network that collapsed would else leave the others no room. An outlier is further below the lower quartile
        than one and a half times what the quartiles are apart (Tukey 1977).

        >>> Scale.of([0.1, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97], Measure("map_at_r"))
        Scale(low=0.91, high=0.97, lower_is_better=False, outliers=1)
        """
        sign = -1 if measure.lower_is_better else 1
        goodness = sign * np.array(scores)
        lower, upper = np.quantile(goodness, [0.25, 0.75])
        bound = lower - 1.5 * (upper - lower)
        kept = goodness[goodness >= bound] if len(scores) >= FEW and upper > lower else goodness
        worst, best = float(kept.min()), float(kept.max())
        ends = sign * (worst if worst < best else best - 0.01), sign * best
        return cls(min(ends), max(ends), measure.lower_is_better, len(scores) - len(kept))

    def height(self, score: float) -> float:
        """How good a score is: 1 the best, 0 the worst, as outliers are."""
        share = min(max((score - self.low) / (self.high - self.low), 0.0), 1.0)
        return 1 - share if self.lower_is_better else share

    def colour(self, score: float) -> tuple[float, float, float]:
        """Of a score: red, green and blue from 0 to 1."""
        red, green, blue, _ = colormaps["viridis_r"](self.height(score))
        return red, green, blue

    def contains(self, score: float) -> bool:
        """Whether it is no outlier."""
        return self.low <= score <= self.high


def scores(groups: Iterable[Group]) -> list[float]:
    """Of the groups that have one, in their order."""
    return [group.score for group in groups if group.score is not None]


def best_on_top(axes: Axes, groups: Sequence[Group], measure: Measure) -> None:
    """Turn the vertical axis so that better is up, and say in the legend how many outliers are below it."""
    scale = Scale.of(scores(groups), measure)
    inside = [group for group in groups if group.score is not None and scale.contains(group.score)]
    low = min([scale.low, *(group.score - (group.sd or 0) for group in inside if group.score is not None)])
    high = max([scale.high, *(group.score + (group.sd or 0) for group in inside if group.score is not None)])
    ends = (low - 0.06 * (high - low), high + 0.06 * (high - low))
    axes.set_ylim(ends[::-1] if measure.lower_is_better else ends)
    if scale.outliers:
        axes.plot([], [], linestyle="none", label=f"{scale.outliers} far worse, below the axis")


def numbers(axis: Axis) -> list[float]:
    """The values of a numeric axis; none of another one."""
    return [float(value) for value in axis.values] if axis.numeric else []


def turned(names: Sequence[str], room: int) -> dict[str, Any]:
    """How to set names under a horizontal axis that has room for so many letters of each."""
    if max(map(len, names)) <= room:
        return {}
    return {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if room > 4 else {"rotation": 90}


def is_wide(values: Sequence[float]) -> bool:
    """Whether numbers want a logarithmic scale."""
    return min(values) > 0 and max(values) >= WIDE * min(values)


def ticks(low: float, high: float, *, log: bool) -> list[float]:
    """Round numbers between two others."""
    locator = LogLocator(subs=(1, 2, 5)) if log else MaxNLocator(6)
    return [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]


def plain_log(axes: Axes, values: Iterable[float], base: int = 10) -> None:
    """A logarithmic horizontal axis with these values written at it as plain numbers."""
    axes.set_xscale("log", base=base)
    axes.set_xticks(list(values), [f"{value:,.6g}" for value in values])
    axes.minorticks_off()
