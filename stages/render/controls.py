"""What chooses the view and the classes of the interactive map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stages import naming
from stages.render.maps import colour_of
from stages.render.projections import Projection

if TYPE_CHECKING:
    from bokeh.models import BooleanFilter, ColumnDataSource
    from bokeh.models.ui import UIElement
    from bokeh.models.widgets.groups import RadioButtonGroup
    from bokeh.plotting import figure as Figure  # noqa: N812 - it is a class

LEGEND_UP_TO = 25  # classes; more are chosen by name
LONGEST_NAME = 30  # letters in the legend
MARGIN = 0.04  # of the map's span, on each side


@dataclass(frozen=True)
class View:
    """One way to see the points.

    Attributes:
        features: what was projected, as in "Raw pixels".
        method: by what, as in "PCA".
        projection: where the points lie.
    """

    features: str
    method: str
    projection: Projection

    def title(self) -> str:
        """What is seen."""
        return f"{self.features}: {self.method}"

    def limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Of the square around the points: left and right, bottom and top."""
        points = self.projection.points.astype(np.float64)
        low, high = points.min(axis=0), points.max(axis=0)
        half = (0.5 + MARGIN) * float((high - low).max()) or 1.0
        across, up = ((low + high) / 2).tolist()
        return (across - half, across + half), (up - half, up + half)


def view_buttons(plot: "Figure", source: "ColumnDataSource", views: Sequence[View]) -> "list[RadioButtonGroup]":
    """One row of buttons for the features, one for the method; the last view is chosen."""
    from bokeh.models import CustomJS
    from bokeh.models.widgets.groups import RadioButtonGroup

    features = list(dict.fromkeys(view.features for view in views))
    methods = list(dict.fromkeys(view.method for view in views))
    by_features = RadioButtonGroup(labels=features, active=features.index(views[-1].features), name="features")
    by_method = RadioButtonGroup(labels=methods, active=methods.index(views[-1].method), name="method")
    numbers = {(view.features, view.method): i for i, view in enumerate(views)}
    change = CustomJS(
        args={
            "by_features": by_features,
            "by_method": by_method,
            "plot": plot,
            "source": source,
            "x_range": plot.x_range,
            "y_range": plot.y_range,
            "x_axis": plot.xaxis[0],
            "y_axis": plot.yaxis[0],
            "numbers": [[numbers[f, m] for m in methods] for f in features],
            "titles": [view.title() for view in views],
            "axes": [view.projection.axes for view in views],
            "limits": [view.limits() for view in views],
        },
        code=_CHANGE_VIEW,
    )
    for buttons in (by_features, by_method):
        buttons.js_on_change("active", change)
    return [by_features, by_method]


def class_buttons(
    plot: "Figure", source: "ColumnDataSource", shown: "BooleanFilter", classes: Mapping[int, str]
) -> "UIElement":
    """What hides classes: a legend, which is added to the plot, and its button; for many classes a search box instead.

    Args:
        plot: the map.
        source: its points, with their `label`.
        shown: which of them are shown.
        classes: names by label.
    """
    if len(classes) > LEGEND_UP_TO:
        return _search(source, shown, classes)
    return _legend(plot, source, shown, classes)


def _legend(
    plot: "Figure", source: "ColumnDataSource", shown: "BooleanFilter", classes: Mapping[int, str]
) -> "UIElement":
    """Add a legend that hides a class by a click; returns a button that does so with all."""
    from bokeh.core.properties import value
    from bokeh.models import CustomJS
    from bokeh.models.annotations import Legend, LegendItem
    from bokeh.models.widgets.buttons import Button

    # All points are one glyph, in the order of the rows, which mixes the classes: one after the other, the last would
    # cover the rest. So each class has a glyph without a place, for the legend to show and to hide.
    nowhere = [np.nan]
    glyphs: list[Any] = [plot.scatter(nowhere, nowhere, color=colour_of(label), size=10) for label in classes]
    items = [
        LegendItem(label=value(naming.shown(name, LONGEST_NAME)), renderers=[glyph])
        for name, glyph in zip(classes.values(), glyphs, strict=True)
    ]
    legend = Legend(items=items, click_policy="hide", name="legend", title="Click to hide")
    legend.update(border_line_color=None, background_fill_color=None)
    plot.add_layout(legend, "right")
    arguments = {"source": source, "shown": shown, "labels": list(classes), "glyphs": glyphs}
    for glyph in glyphs:
        glyph.js_on_change("visible", CustomJS(args=arguments, code=_HIDE_BY_LEGEND))
    button = Button(label="Hide or show all classes", name="all")
    button.js_on_click(CustomJS(args={"glyphs": glyphs}, code=_TOGGLE_ALL))
    return button


def _search(source: "ColumnDataSource", shown: "BooleanFilter", classes: Mapping[int, str]) -> "UIElement":
    """A box that takes names of classes; as long as it is empty, all are shown."""
    from bokeh.models import CustomJS
    from bokeh.models.widgets.inputs import TextInput

    box = TextInput(placeholder="Show only classes, as in: cat, dog", name="search", width=280)
    arguments = {
        "source": source,
        "shown": shown,
        "labels": list(classes),
        "names": [naming.one_line(name).lower() for name in classes.values()],
    }
    box.js_on_change("value_input", CustomJS(args=arguments, code=_SHOW_ONLY))
    return box


_CHANGE_VIEW = """
const number = numbers[by_features.active][by_method.active]
source.data = {...source.data, x: source.data["x" + number], y: source.data["y" + number]};
[x_range, y_range].forEach((range, i) => {
  const [start, end] = limits[number][i]
  range.setv({start, end, reset_start: start, reset_end: end})
})
plot.title.text = titles[number]
x_axis.axis_label = axes[number][0]
y_axis.axis_label = axes[number][1]
"""

_HIDE_BY_LEGEND = """
const hidden = new Set(labels.filter((_, i) => !glyphs[i].visible))
shown.booleans = Array.from(source.data.label, (label) => !hidden.has(label))
"""

_TOGGLE_ALL = """
const visible = !glyphs.some((glyph) => glyph.visible)
for (const glyph of glyphs) glyph.visible = visible
"""

# A name may have commas in it, so the whole text is tried first. Else each word between commas stands for the class of
# that name or, where there is none, for all whose names contain it.
_SHOW_ONLY = """
const text = cb_obj.value_input.toLowerCase().trim()
const words = (names.includes(text) ? [text] : text.split(",").map((word) => word.trim())).filter((word) => word)
const chosen = new Set(words.flatMap((word) => {
  const matches = names.includes(word) ? (name) => name == word : (name) => name.includes(word)
  return labels.filter((_, i) => matches(names[i]))
}))
shown.booleans = Array.from(source.data.label, (label) => words.length == 0 || chosen.has(label))
"""
