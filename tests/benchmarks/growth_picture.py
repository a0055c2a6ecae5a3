"""The picture of growth: time and memory of the losses against B, and of evaluate against N, in log scale."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from stages import store
from stages.palette import BLUE, CLASSES, GREEN, GREY, ORANGE, VERMILION, style
from tests.benchmarks.growth import FITTED, Curve, Growth

LOOKS: dict[str, tuple[str, str, str]] = {
    "hard": ("batch-hard", BLUE, "o"),
    "semi_hard": ("semi-hard", VERMILION, "s"),
    "batch_all": ("batch-all", GREEN, "^"),
    "contrastive": ("contrastive", ORANGE, "D"),
    "triplet": ("given triplets", CLASSES[5], "v"),
    "siamese": ("siamese head", GREY, "P"),
    "evaluate": ("this repository", CLASSES[4], "o"),
}
"""By the name of a curve: how it is called, its colour and its marker."""
PEER_DASHES = (0, (3.5, 1.6))
TITLES = {
    ("loss", "seconds"): "A loss, forward and backward: time",
    ("loss", "gigabytes"): "…and the memory that it adds",
    ("evaluate", "seconds"): "All retrieval measures, exact: time",
    ("evaluate", "gigabytes"): "…and the memory that they add",
}
SIZES = {"loss": "B, rows of a batch", "evaluate": "N, images that are ranked around each other"}
UNITS = {
    "seconds": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "gigabytes": ((1.0, "GB"), (1e-3, "MB")),
}
DPI = 130
LABEL_GAP = 0.062  # of an axes' height, from the middle of one label to the next


def draw(path: Path, growth: Growth) -> None:
    """Write the picture as PNG."""
    with store.replacing(path) as temporary:
        picture(growth).savefig(temporary, dpi=DPI, metadata={"Software": None})


def picture(growth: Growth) -> Figure:
    """Two panels, time and memory, for each kind of curves that there are."""
    kinds = [kind for kind in SIZES if any(curve.kind == kind for curve in growth.curves)]
    figure = Figure(figsize=(13.5, 1.6 + 4.6 * len(kinds)), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    for row, kind in zip(figure.subplots(len(kinds), 2, squeeze=False), kinds, strict=True):
        curves = [curve for curve in growth.curves if curve.kind == kind]
        for axes, quantity in zip(row, UNITS, strict=True):
            _draw_panel(axes, curves, kind, quantity)
    _write_around(figure, growth)
    return figure


def _draw_panel(axes: Axes, curves: Sequence[Curve], kind: str, quantity: str) -> None:
    style(axes)
    axes.set_title(TITLES[kind, quantity], fontsize=13, loc="left")
    axes.set(xscale="log", yscale="log", xlabel=SIZES[kind])
    drawn = [curve for curve in curves if len(curve.figures(quantity)[0])]
    for curve in drawn:
        _, colour, marker = LOOKS[curve.name]
        axes.plot(
            *curve.figures(quantity),
            color=colour,
            linestyle=PEER_DASHES if curve.peer else "-",
            linewidth=2.0 if curve.peer else 2.4,
            marker=marker,
            markersize=5.5,
            markerfacecolor="white" if curve.peer else colour,
            markeredgewidth=1.5,
        )
    _set_scales(axes, curves, quantity)
    if drawn:
        # A peer's losses end far from the right edge: there the slope alone, beside the line's end.
        apart = [curve for curve in drawn if curve.peer and kind == "loss"]
        for curve in apart:
            _label_end(axes, curve, quantity)
        _label_at_right(axes, [curve for curve in drawn if curve not in apart], quantity)


def _set_scales(axes: Axes, curves: Sequence[Curve], quantity: str) -> None:
    sizes = sorted({point.size for curve in curves for point in curve.points})
    shown = sizes[:: max(1, round(len(sizes) / 5))]
    axes.set_xticks(shown, [f"{size:,}" for size in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    if sizes:
        axes.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.04)  # room for what stands above the ends
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0), numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda figure, _: with_unit(figure, quantity)))


def with_unit(figure: float, quantity: str) -> str:
    """A figure in the largest unit of which it has at least about one.

    >>> with_unit(0.01, "seconds"), with_unit(100.0, "gigabytes")
    ('10 ms', '100 GB')
    """
    scale, unit = next(
        ((scale, unit) for scale, unit in UNITS[quantity] if figure >= 0.999 * scale), UNITS[quantity][-1]
    )
    return f"{figure / scale:,.3g} {unit}"


def _power(curve: Curve, quantity: str) -> str:
    """The fitted slope, as a power of the size; "" where there is none."""
    fitted = curve.slope(quantity)
    return "" if fitted is None else rf"$\propto {'B' if curve.kind == 'loss' else 'N'}^{{{fitted:.1f}}}$"


def _label_end(axes: Axes, curve: Curve, quantity: str) -> None:
    sizes, figures = curve.figures(quantity)
    text = axes.annotate(
        _power(curve, quantity),
        (sizes[-1], figures[-1]),
        (-7, 5),
        textcoords="offset points",
        ha="right",
        fontsize=11,
        color=LOOKS[curve.name][1],
    )
    text.set_path_effects([patheffects.withStroke(linewidth=3, foreground="white")])


def _label_at_right(axes: Axes, curves: Sequence[Curve], quantity: str) -> None:
    """Names and slopes in a column beside the axes, as high as the lines end where there is room, else near."""
    low, high = np.log(axes.get_ylim())
    ends = [(curve, *(column[-1] for column in curve.figures(quantity))) for curve in curves]
    ends.sort(key=lambda end: end[2])
    heights = spread([float((np.log(figure) - low) / (high - low)) for _, _, figure in ends], LABEL_GAP)
    for (curve, size, figure), height in zip(ends, heights, strict=True):
        name, colour, _ = LOOKS[curve.name]
        axes.annotate(
            f"{'PyTorch M. L.' if curve.peer else name}  {_power(curve, quantity)}".rstrip(),
            (size, figure),
            (1.035, height),
            textcoords="axes fraction",
            va="center",
            fontsize=11,
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.9, "alpha": 0.55, "relpos": (0, 0.5)},
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights moved as little as possible so that neighbours are `gap` apart; ascending, and so they stay.

    >>> [round(height, 3) for height in spread([0.5, 0.52, 0.9], 0.1)]
    [0.46, 0.56, 0.9]
    """
    groups: list[list[float]] = []  # heights that would touch, as offsets from the place of the first
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _bottom(groups[-1], gap) - _bottom(groups[-2], gap) < gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return [_bottom(group, gap) + gap * i for group in groups for i in range(len(group))]


def _bottom(group: Sequence[float], gap: float) -> float:
    """Where the first of a group goes so that its members move as little as possible in the mean of squares."""
    return float(np.mean([height - gap * i for i, height in enumerate(group)]))


def _write_around(figure: Figure, growth: Growth) -> None:
    handles = [Line2D([], [], color="black", linewidth=2.4, marker="o", label="this repository")]
    beside = "PyTorch Metric Learning was not measured"
    if growth.peer:
        handles.append(
            Line2D([], [], color="black", linestyle=PEER_DASHES, linewidth=2.0, marker="o", markerfacecolor="white")
        )
        handles[-1].set_label("PyTorch Metric Learning")
        beside = f"Beside: {growth.peer}"
    # The title is the legend's: the layout would put a title of the figure over it.
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=2,
        frameon=False,
        fontsize=12.5,
        handlelength=3.2,
        title="How cost grows",
        title_fontproperties={"size": 17, "weight": "bold"},
    )
    fitted = (
        f"∝: least squares of logarithms, over the sizes from 1/{FITTED['loss']} of the largest on, where growth has "
        f"set in; of retrieval from 1/{FITTED['evaluate']} on."
    )
    lines = [f"{growth.facts}.", f"{beside}.", growth.what, fitted]
    figure.supxlabel("\n".join(lines), fontsize=10, color="#555555", linespacing=1.35)
