"""Colours of all pictures, chosen to be told apart by the colour-blind, and the look of their plots."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASSES = (
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
"""Petroff's ten (2021), one a class; beyond ten they repeat, so a class has its name written on it too."""

ORANGE, GREEN, BLUE, VERMILION, GREY = "#E69F00", "#009E73", "#0072B2", "#D55E00", "#777777"
"""Of Okabe and Ito's (2008), for lines, which differ in their dashes too."""


def style(axes: "Axes") -> None:
    """Grid, frame and sizes of a plot."""
    axes.grid(color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=11)
    axes.xaxis.label.set_fontsize(12)
    axes.yaxis.label.set_fontsize(12)
