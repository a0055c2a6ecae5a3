"""Pictures of maps: points in the plane in the colours of their classes, each named in its middle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from stages import palette, store
from stages.render.projections import Projection


@dataclass(frozen=True)
class Map:
    """Points in the plane and what is drawn with them.

    Attributes:
        projection: where the points lie.
        labels: int32 `[N]`, indices into `names`.
        names: of the classes.
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
    size = float(np.clip(30_000 / len(x), 9, 40))
    axes.scatter(x, y, s=size, c=colours, linewidths=0, alpha=0.85)
    classes = np.unique(drawn.labels)
    letters = 18 if len(classes) <= 20 else 12 if len(classes) <= 60 else 8
    for label in classes:
        across, up = np.median(points[drawn.labels == label], axis=0)
        name = axes.text(across, up, drawn.names[label], ha="center", va="center", fontsize=letters, weight="bold")
        name.set_parse_math(False)  # a name with $ is no formula
        name.set_path_effects([withStroke(linewidth=letters / 4, foreground="white")])
    axes.set_title(drawn.title, fontsize=15, pad=9)
    across_is, up_is = drawn.projection.axes
    axes.set_xlabel(across_is, fontsize=12)
    axes.set_ylabel(up_is, fontsize=12)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")


def _save(figure: Figure, path: Path) -> None:
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
