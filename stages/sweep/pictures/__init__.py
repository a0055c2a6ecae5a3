"""The answer of a sweep in pictures: how the measure depends on what was varied, and what quality costs."""

from collections.abc import Sequence
from pathlib import Path

from stages.sweep.axes import Axis
from stages.sweep.measure import Measure
from stages.sweep.pictures import fronts, heatmap, line, parallel
from stages.sweep.ranked import Group

__all__ = ["draw"]


def draw(groups: Sequence[Group], axes: Sequence[Axis], measure: Measure, folder: Path) -> list[Path]:
    """Draw what fits the number of axes, and the Pareto fronts; returns the files, of which there may be none.

    Args:
        groups: ranked.
        axes: what was varied; one gives `line.png`, two `heatmap.png`, more `parallel.png`. Two do so as well where
            fewer than half of their combinations were tried, as in a search.
        measure: by what the groups are ranked.
        folder: where to put them.
    """
    if all(group.score is None for group in groups):
        return []
    drawn: list[Path | None] = []
    if len(axes) == 1:
        drawn.append(line.draw(folder / "line.png", groups, axes[0], measure))
    elif len(axes) == 2 and 2 * len(groups) >= len(axes[0].values) * len(axes[1].values):
        drawn.append(heatmap.draw(folder / "heatmap.png", groups, axes[0], axes[1], measure))
    elif axes:
        drawn.append(parallel.draw(folder / "parallel.png", groups, axes, measure))
    drawn.append(fronts.draw(folder / "pareto.png", groups, measure))
    return [path for path in drawn if path is not None]
