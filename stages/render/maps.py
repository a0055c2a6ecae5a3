"""Maps of many-dimensional points in the plane, by t-SNE (van der Maaten and Hinton 2008)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from stages import store

# Petroff's ten colours (2021), chosen to be told apart by the colour-blind. Each class has its name written on it too.
COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
PCA_DIMENSIONS = 50


@dataclass(frozen=True)
class Map:
    """Points in the plane and what is drawn with them.

    Attributes:
        points: float `[N, 2]`.
        labels: int32 `[N]`, indices into `names`.
        names: of the classes.
        title: what the points are, and how many of how many.
    """

    points: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    title: str


def tsne(features: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """Coordinates in the plane, float32 `[N, 2]`, such that near neighbours stay near.

    Args:
        features: `[N, D]`; more than 50 dimensions are first reduced to 50 principal components.
        perplexity: how many neighbours a point keeps, roughly; at most a third of the others, where they are few.
        seed: of the optimisation.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    features = np.asarray(features, np.float32)
    if len(features) < 4 or not features.std(axis=0).any():
        return np.zeros((len(features), 2), np.float32)  # too few points, or one place: there is nothing to arrange
    start = "pca" if features.shape[1] > 1 else "random"
    limited = min(perplexity, (len(features) - 1) / 3)
    # One thread, so that the map does not depend on the machine's cores. Where these are busy, it also saves time: two
    # threads that wait for each other at every step took nine times as long.
    with threadpool_limits(1):
        if min(features.shape) > PCA_DIMENSIONS:
            features = PCA(PCA_DIMENSIONS, random_state=seed).fit_transform(features)
        return TSNE(perplexity=limited, init=start, random_state=seed).fit_transform(features)


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


def _draw(axes: Axes, drawn: Map) -> None:
    colours = [COLOURS[label % len(COLOURS)] for label in drawn.labels]
    # In the order of the rows, which mixes the classes: one after the other, the last would cover the rest.
    x, y = drawn.points.T
    size = float(np.clip(30_000 / len(x), 9, 40))
    axes.scatter(x, y, s=size, c=colours, linewidths=0, alpha=0.85)
    classes = np.unique(drawn.labels)
    letters = 18 if len(classes) <= 20 else 12 if len(classes) <= 60 else 8
    for label in classes:
        across, up = np.median(drawn.points[drawn.labels == label], axis=0)
        name = axes.text(across, up, drawn.names[label], ha="center", va="center", fontsize=letters, weight="bold")
        name.set_parse_math(False)  # a name with $ is no formula
        name.set_path_effects([withStroke(linewidth=letters / 4, foreground="white")])
    axes.set_title(drawn.title, fontsize=15, pad=9)
    axes.set_xlabel("t-SNE dimension 1 (no unit)", fontsize=12)
    axes.set_ylabel("t-SNE dimension 2 (no unit)", fontsize=12)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")


def _save(figure: Figure, path: Path) -> None:
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
