"""An interactive map as one page that needs nothing else: no server, no network, no file beside it."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from stages import store
from stages.render.controls import View, class_buttons, view_buttons
from stages.render.maps import colour_of
from stages.render.thumbnails import data_uri, thumbnails

if TYPE_CHECKING:
    from bokeh.models import CDSView, ColumnDataSource
    from bokeh.models.ui import UIElement
    from bokeh.plotting import figure as Figure  # noqa: N812 - it is a class

IMAGE_SIDE = 32  # pixels at most: images are 1 KB each or less, so 10,000 make a page of some megabytes
_SIDE = 640  # pixels of the square that the points lie in, until the page fits it to the window


@dataclass(frozen=True)
class Points:
    """What all views show.

    Attributes:
        images: uint8 `[N, H, W, C]`.
        labels: int32 `[N]`, indices into `names`.
        names: of the classes.
        rows: int `[N]`, ascending, the row of each in its split, by which it can be found again.
    """

    images: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    rows: np.ndarray


def write(path: Path, points: Points, views: Sequence[View], title: str) -> None:
    """Write the page; the last view is the first to be seen.

    Args:
        path: where to.
        points: what is shown.
        views: each kind of features by each method.
        title: of the page.
    """
    from bokeh.embed import json_item
    from bokeh.resources import Resources

    item = json.dumps(json_item(_layout(points, views)), allow_nan=False)
    library = Resources(mode="inline", components=["bokeh", "bokeh-widgets"], log_level="warn").render_js()
    # Within a script element "<" could end it or open a comment.
    page = _PAGE.substitute(title=html.escape(title), library=library, item=item.replace("<", r"\u003c"))
    store.save_text(path, page)


def _layout(points: Points, views: Sequence[View]) -> "UIElement":
    """The map, and above it what chooses the view and the classes."""
    from bokeh.layouts import column, row
    from bokeh.models import BooleanFilter, CDSView, ColumnDataSource

    source = ColumnDataSource(_columns(points, views), name="points")
    shown = BooleanFilter(booleans=[True] * len(points.labels))
    plot = _plot(source, CDSView(filter=shown), views)
    classes = {label: points.names[label] for label in np.unique(points.labels).tolist()}
    return column(row(*view_buttons(plot, source, views), class_buttons(plot, source, shown, classes)), plot)


def _columns(points: Points, views: Sequence[View]) -> dict[str, Any]:
    images = thumbnails(points.images, np.arange(len(points.images)), IMAGE_SIDE)
    columns: dict[str, Any] = {
        "image": [data_uri(image) for image in images],
        "class": [points.names[label] for label in points.labels],
        "colour": [colour_of(label) for label in points.labels],
        "label": points.labels.astype(np.int32),
        "row": points.rows.astype(np.int32),
    }
    for i, view in enumerate(views):
        columns[f"x{i}"], columns[f"y{i}"] = np.ascontiguousarray(view.projection.points.T, np.float32)
    return {**columns, "x": columns[f"x{len(views) - 1}"], "y": columns[f"y{len(views) - 1}"]}


def _plot(source: "ColumnDataSource", shown: "CDSView", views: Sequence[View]) -> "Figure":
    from bokeh.models import HoverTool, Range1d
    from bokeh.plotting import figure

    first = views[-1]
    x_range, y_range = (Range1d(start=start, end=end) for start, end in first.limits())
    plot = figure(
        name="map",
        frame_width=_SIDE,
        frame_height=_SIDE,
        x_range=x_range,
        y_range=y_range,
        title=first.title(),
        x_axis_label=first.projection.axes[0],
        y_axis_label=first.projection.axes[1],
        tools="pan,wheel_zoom,box_zoom,reset,save",
        active_scroll="wheel_zoom",
        toolbar_location="above",
    )
    plot.toolbar.logo = None
    plot.axis.ticker = []  # the coordinates have no meaning, only their distances have
    # Canvas, not WebGL: it redraws 10,000 points in 50 ms, and WebGL complains where there is no graphics card.
    size = float(np.clip(600 / np.sqrt(max(1, len(source.data["x"]))), 6, 10))
    drawn = plot.scatter("x", "y", color="colour", size=size, alpha=0.8, line_color=None, source=source, view=shown)
    # Of the points under the mouse, only the one on top, which is the last, shows its image.
    top = HoverTool(renderers=[drawn], tooltips=_TOOLTIP, sort_by=[("row", -1)], limit=1, visible=False)
    plot.add_tools(top)
    return plot


_TOOLTIP = """
<div style="display: flex; gap: 8px; align-items: center">
  <img src="@image" alt="" style="height: 84px; image-rendering: pixelated">
  <div><b>@class</b><br>row @row</div>
</div>
"""

_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<style>
body { font: 14px system-ui, sans-serif; margin: 12px 20px; }
h1 { font-size: 20px; margin: 0; }
p { margin: 4px 0 10px; color: #444; }
</style>
$library
</head>
<body>
<h1>$title</h1>
<p>Point at a dot to see its image. Drag to move the map, turn the wheel to zoom.</p>
<div id="map"></div>
<script type="application/json" id="item">$item</script>
<script>
const fit = () => {
  const side = Math.max(360, Math.min(innerHeight - 180, innerWidth - 320))
  Bokeh.documents[0].get_model_by_name("map").setv({frame_width: side, frame_height: side})
}
Bokeh.embed.embed_item(JSON.parse(document.getElementById("item").textContent), "map").then(fit)
addEventListener("resize", fit)
</script>
</body>
</html>
"""
)
