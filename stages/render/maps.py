"""Pictures of maps: points in the plane in the colours of their classes, each named in its middle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from stages import naming, palette, store
from stages.render.projections import Projection

NAMED = 60  # classes at most: the names of more would cover the points
LETTERS = 27  # of a name at most: 18 and " (unseen)"
SHORT = 12  # letters of a name that is written large


@dataclass(frozen=True)
class Map:
    """Points in the plane and what is drawn with them.

    Attributes:
        projection: where the points lie.
        labels: int32 `[N]`, indices into `names`.
        names: of the classes; the middle of each has its name, shortened, unless there are more than `NAMED`.
        title: what the points are, and how many of how many.
    """

    projection: Projection
    labels: np.ndarray
    names: Sequence[str]
    title: str


def draw_one(path: Path, drawn: Map) -> None:
    """Draw one map into a PNG."""
    figure = Figure(figsize=(8, 8.2), layout="constrained")
    _draw(figure.add_subplot(), drawn)
    _save(figure, path)


def draw_sheet(path: Path, maps: Sequence[Map], title: str) -> None:
    """Draw four maps into one PNG, row by row, under one title."""
    figure = Figure(figsize=(14, 14.6), layout="constrained")
    figure.suptitle(title, fontsize=22)
    for axes, drawn in zip(figure.subplots(2, 2).flat, maps, strict=True):
        _draw(axes, drawn)
    _save(figure, path)


def colour_of(label: int) -> str:
    """Of a class; beyond ten classes colours repeat."""
    return palette.CLASSES[label % len(palette.CLASSES)]


def _draw(axes: Axes, drawn: Map) -> None:
    points = drawn.projection.points
    colours = [colour_of(label) for label in drawn.labels]
    # In the order of the rows, which mixes the classes: one after the other, the last would cover the rest.
    x, y = points.T
    area = float(np.clip(30_000 / len(x), 9, 40))
    axes.scatter(x, y, s=area, c=colours, linewidths=0, alpha=0.85)
    classes = np.unique(drawn.labels)
    named = len(classes) <= NAMED
    if named:
        _name(axes, drawn, classes)
    title = drawn.title if named else f"{drawn.title}\n{len(classes):,} classes, not named"
    axes.set_title(title, fontsize=15, pad=9)
    across_is, up_is = drawn.projection.axes
    axes.set_xlabel(across_is, fontsize=12)
    axes.set_ylabel(up_is, fontsize=12)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")


def _name(axes: Axes, drawn: Map, classes: np.ndarray) -> None:
    """Write the name of each class at the median of its points."""
    points = drawn.projection.points
    left, right = points[:, 0].min(), points[:, 0].max()
    for label in classes:
        across, up = np.median(points[drawn.labels == label], axis=0)
        line = naming.shown(drawn.names[label], LETTERS)
        long = len(line) > SHORT
        # A long name in an outer third of the map is written towards the middle, else it would run off the picture.
        third = min(int(3 * (across - left) / (right - left)), 2) if long and right > left else 1
        size = 10 if long else 12 if len(classes) > 20 else 18
        name = axes.text(
            across, up, line, ha=("left", "center", "right")[third], va="center", fontsize=size, weight="bold"
        )
        name.set_in_layout(False)  # else the map would shrink to make room for it
        name.set_parse_math(False)  # a name with $ is no formula
        name.set_path_effects([withStroke(linewidth=size / 4, foreground="white")])


def _save(figure: Figure, path: Path) -> None:
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
