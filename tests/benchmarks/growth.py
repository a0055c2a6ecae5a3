"""Curves of time and memory against size, what they say of growth, and the file that keeps them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages import store

FITTED = {"loss": 16, "evaluate": 4}
"""A slope is that of the sizes from the largest down to the largest over this (retrieval searches in another way from
8,192 images on: a slope over both would be that of neither)…"""
GROWN = 4.0
"""…whose figures are at least so many times the curve's smallest: below, growth has not set in…"""
LEAST_POINTS = 3
"""…if they are so many, else of all of these sizes; with fewer there is no slope."""
LEAST_GIGABYTES = 1e-3
"""Less is in the allocator's noise, and is left out."""


@dataclass(frozen=True)
class Point:
    """What one size costs.

    Attributes:
        size: B or N.
        seconds: of a step, the median.
        gigabytes: that a step adds to a process at its peak; None: not measured, or it was killed.
    """

    size: int
    seconds: float
    gigabytes: float | None = None


@dataclass(frozen=True)
class Curve:
    """How one thing grows.

    Attributes:
        kind: `"loss"`, against B; or `"evaluate"`, against N.
        name: a loss of `loss_cases`, or `"evaluate"`.
        peer: PyTorch Metric Learning's, else this repository's.
        points: by size, ascending.
        ended: why there is no larger one.
    """

    kind: str
    name: str
    peer: bool
    points: tuple[Point, ...]
    ended: str = ""

    def figures(self, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        """Sizes and `"seconds"` or `"gigabytes"`, float64 `[n]` each, of the points that have them."""
        found = [(point.size, getattr(point, quantity)) for point in self.points]
        least = LEAST_GIGABYTES if quantity == "gigabytes" else 0.0
        kept = [(size, figure) for size, figure in found if figure is not None and figure > least]
        sizes, figures = zip(*kept, strict=True) if kept else ((), ())
        return np.array(sizes, float), np.array(figures, float)

    def slope(self, quantity: str) -> float | None:
        """See `slope`."""
        return slope(*self.figures(quantity), FITTED[self.kind])


@dataclass(frozen=True)
class Growth:
    """All curves of one measuring, and what they depend on beside the code.

    Attributes:
        facts: day, processor, versions: words for a person.
        peer: name and versions of what was measured beside; empty if nothing was.
        what: what a step is, in words.
        curves: in the order of the legend.
    """

    facts: str
    peer: str
    what: str
    curves: tuple[Curve, ...]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        store.save_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Growth":
        """Read it again."""
        content: dict[str, Any] = store.load_json(path)
        curves = [
            Curve(**{**curve, "points": tuple(Point(**point) for point in curve["points"])})
            for curve in content["curves"]
        ]
        return cls(content["facts"], content["peer"], content["what"], tuple(curves))


def slope(
    sizes: Sequence[float] | np.ndarray, figures: Sequence[float] | np.ndarray, part: float = FITTED["loss"]
) -> float | None:
    """The power of the size by which figures grow: least squares of their logarithms in the curve's upper part.

    Args:
        sizes: ascending.
        figures: as many, positive.
        part: the smallest size that counts is the largest over this.

    Returns:
        Over which points: see `FITTED`. None where there are fewer than `LEAST_POINTS`.

    >>> slope([64, 128, 256, 512], [1e-3, 4e-3, 16e-3, 64e-3])
    2.0
    """
    x, y = np.asarray(sizes, float), np.asarray(figures, float)
    upper = x * part >= x.max(initial=0.0)
    grown = upper & (y >= GROWN * y.min(initial=np.inf))
    fitted = grown if np.count_nonzero(grown) >= LEAST_POINTS else upper
    if np.count_nonzero(fitted) < LEAST_POINTS:
        return None
    return round(float(np.polyfit(np.log(x[fitted]), np.log(y[fitted]), 1)[0]), 3)


def table(growth: Growth) -> str:
    """A row for each curve: its largest size, what that costs, and the slopes."""
    rows = [("", "whose", "largest", "seconds", "slope", "GB", "slope", "ended")]
    for curve in growth.curves:
        cells = [curve.name, "peer" if curve.peer else "ours", f"{curve.points[-1].size:,}" if curve.points else "–"]
        for quantity in ("seconds", "gigabytes"):
            _, figures = curve.figures(quantity)
            fitted = curve.slope(quantity)
            cells += [f"{figures[-1]:.3g}" if len(figures) else "–", "–" if fitted is None else f"{fitted:.2f}"]
        rows.append((*cells, curve.ended))  # type: ignore[arg-type]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:-1], strict=True)]
        lines.append("  ".join([*left, *right, row[-1]]).rstrip())
    return "\n".join(lines)
