"""What the figures show is what was measured, each system's under its own name, with all of the text on the page."""

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from stages.evaluate import figures
from stages.evaluate.curves import Curves
from stages.evaluate.report import View
from stages.evaluate.table import SYSTEMS

MEASURED = ("raw", "untrained", "trained")
NONE = np.zeros(0, np.int32)
TITLE = "Same class or not, test, classes held out of training\n1,000,000 pairs (sampled)"
LONG = "An extraordinarily long name of a class, number {}"


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Calls a drawing function and returns the figure that it saved."""
    saved: list[Figure] = []
    finish = figures._finish

    def keep(figure, axes, path):
        finish(figure, axes, path)
        saved.append(figure)

    monkeypatch.setattr(figures, "_finish", keep)

    def draw(function, *given):
        function(tmp_path / "figure.png", *given)
        return saved[-1]

    return draw


def curves_of(power, lowest=0.0):
    fars = np.geomspace(1e-3, 1, 20)
    same, different = np.array([0.7, 0.2, 0.1, 0.0]) ** power, np.array([0.0, 0.1, 0.3, 0.6]) ** power
    edges = np.linspace(lowest, 2 * power, 5)
    return Curves(fars, fars ** (0.5 / power), fars, edges, same / same.sum(), different / different.sum())


CURVES = {system: curves_of(power) for power, system in enumerate(MEASURED, start=1)}


def view_of(measures=None, classes=None, labels=NONE, nearest=NONE):
    return View(measures or {}, {}, {}, classes or {}, labels, nearest, {})


def view_of_classes(count, queries=10_000):
    """Of each class four images, one in the class before it; recalls that differ by system and class."""
    labels = np.repeat(np.arange(count, dtype=np.int32), 4)
    nearest = labels.copy()
    nearest[::4] = (labels[::4] - 1) % count
    classes = {
        system: {label: {"recall_at_1": 1 - (label + 1) / (i * count), "queries": queries} for label in range(count)}
        for i, system in enumerate(MEASURED, start=2)
    }
    return view_of(classes=classes, labels=labels, nearest=nearest)


def lines_of(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def texts(artists):
    return [text.get_text() for text in artists]


def test_roc_shows_val_over_far_of_each_system_and_chance(drawn):
    (axes,) = drawn(figures.draw_roc, CURVES, TITLE).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert axes.get_xlim() == pytest.approx((1e-3, 1))
    assert axes.get_xlabel().startswith("FAR")
    assert axes.get_ylabel().startswith("VAL")
    lines = lines_of(axes)
    assert list(lines) == list(SYSTEMS.values())
    for system, curve in CURVES.items():
        np.testing.assert_array_equal(lines[SYSTEMS[system]].get_xdata(), curve.fars)
        np.testing.assert_array_equal(lines[SYSTEMS[system]].get_ydata(), curve.vals)
    chance = lines["chance"]
    np.testing.assert_array_equal(chance.get_xdata(), chance.get_ydata())
    assert (chance.get_xdata()[0], chance.get_xdata()[-1]) == pytest.approx((1e-3, 1))


RECALLS = {"raw": (0.80, 0.90), "untrained": (0.70, 0.85), "trained": (0.95, 0.98), "chance": (0.10, 0.35)}


def recall_view():
    measures: dict[str, Any] = {}
    for i, (system, (first, fourth)) in enumerate(RECALLS.items(), start=1):
        measures[system] = {"recall_at_1": first, "recall_at_4": fourth}
        if system != "chance":
            bounds = {"recall_at_1": first, "recall_at_4": fourth}
            measures[system]["interval"] = {
                name: {"low": recall - i / 200, "high": recall + i / 400} for name, recall in bounds.items()
            }
    return view_of(measures)


def test_recall_shows_each_system_and_says_where_chance_is(drawn):
    (axes,) = drawn(figures.draw_recall, recall_view(), [1, 4], TITLE).axes
    lines = lines_of(axes)
    assert list(lines) == [*list(SYSTEMS.values())[:-1], "chance, 0.35 at k = 4, below the axis"]
    for line, recalls in zip(lines.values(), RECALLS.values(), strict=True):
        assert (tuple(line.get_xdata()), tuple(line.get_ydata())) == ((1, 4), recalls)
    low, high = axes.get_ylim()
    assert 0.10 < low < 0.70 < 1 < high
    assert texts(axes.get_xticklabels()) == ["1", "4"]


def test_recall_bands_are_the_intervals_of_the_system_of_their_colour(drawn):
    view = recall_view()
    (axes,) = drawn(figures.draw_recall, view, [1, 4], TITLE).axes
    lines = lines_of(axes)
    bands = [band for band in axes.collections if isinstance(band, FillBetweenPolyCollection)]
    found = {to_hex(tuple(np.ravel(band.get_facecolor()))): np.asarray(band.get_paths()[0].vertices) for band in bands}
    assert len(bands) == len(found) == len(MEASURED)
    for system in MEASURED:
        corners = {(k, round(y, 9)) for k, y in found[to_hex(lines[SYSTEMS[system]].get_color())].tolist()}
        bounds = view.measures[system]["interval"]
        expected = {(k, round(bounds[f"recall_at_{k}"][end], 9)) for k in (1, 4) for end in ("low", "high")}
        assert corners == expected, system


@pytest.mark.parametrize("scored_by", ["distance", "head"])
@pytest.mark.parametrize("threshold", [None, 0.75])
def test_distances_show_each_system_s_pairs_and_the_threshold_of_the_trained_one(drawn, threshold, scored_by):
    panels = drawn(figures.draw_distances, CURVES, threshold, scored_by, TITLE).axes
    assert [axes.get_title(loc="left") for axes in panels] == [SYSTEMS[system] for system in MEASURED]
    for axes, curve in zip(panels, CURVES.values(), strict=True):
        steps = {patch.get_label(): patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)}
        for label, expected in (("same class", curve.same), ("different classes", curve.different)):
            shares, edges, _ = steps[label]
            np.testing.assert_array_equal(shares, expected)
            np.testing.assert_array_equal(edges, curve.edges)
    drawn_at = [[(line.get_label(), *line.get_xdata()) for line in axes.get_lines()] for axes in panels]
    marked = [] if threshold is None else [("threshold 0.75, calibrated on validation", 0.75, 0.75)]
    assert drawn_at == [[], [], marked]
    of_trained = "Euclidean distance" if scored_by == "distance" else "what the head says, its logit negated"
    named = ["Euclidean distance, pixels between 0 and 1", "Euclidean distance", of_trained]
    assert [axes.get_xlabel() for axes in panels] == named


def test_confusion_has_a_row_for_the_image_s_class_and_a_column_for_its_nearest_s(drawn):
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2], np.int32)
    nearest = np.array([0, 1, 1, 1, 1, 2, 2, 2], np.int32)
    axes, bar = drawn(figures.draw_confusion, view_of(labels=labels, nearest=nearest), ["a", "b", "c$x$"], TITLE).axes
    (image,) = axes.get_images()
    shares = [[np.nan, 3 / 4, 0], [0, np.nan, 1 / 2], [0, 0, np.nan]]
    np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), shares)
    assert image.get_clim() == (0, 0.75)
    assert texts(axes.get_yticklabels()) == texts(axes.get_xticklabels()) == ["a", "b", "c$x$"]
    assert not any(label.get_parse_math() for label in [*axes.get_yticklabels(), *axes.get_xticklabels()])
    assert (axes.get_ylabel(), axes.get_xlabel().split(" (")[0]) == ("class of the image", "class of the nearest other")
    written = {(text.get_position()[::-1], text.get_text()) for text in axes.texts}
    assert written == {((0, 0), "1"), ((0, 1), "3"), ((1, 1), "1"), ((1, 2), "1"), ((2, 2), "2")}
    assert bar.get_ylabel() == "share of the row's images"


def test_classes_show_each_system_s_recall_the_trained_network_s_worst_first(drawn):
    recalls = {"raw": (0.1, 0.2, 0.3), "untrained": (0.4, 0.35, 0.6), "trained": (0.9, 0.7, 0.8)}
    found = {
        system: {label: {"recall_at_1": recall, "queries": 1000 + label} for label, recall in enumerate(of_class)}
        for system, of_class in recalls.items()
    }
    (axes,) = drawn(figures.draw_classes, view_of(classes=found), ["a", "b", "c"], TITLE).axes
    lines = lines_of(axes)
    assert list(lines) == [SYSTEMS[system] for system in MEASURED]
    for system, of_class in recalls.items():
        assert list(lines[SYSTEMS[system]].get_xdata()) == [of_class[label] for label in (1, 2, 0)]
        assert list(lines[SYSTEMS[system]].get_ydata()) == [0, 1, 2]
    assert texts(axes.get_yticklabels()) == ["b  (1,001)", "c  (1,002)", "a  (1,000)"]
    assert axes.get_ylim() == (2.5, -0.5)


def assert_on_page(figure):
    """No text, line or colour bar reaches beyond the page, and the plot still has a fair part of it."""
    figure.set_dpi(figures.DPI)  # as saved: letters are a little wider in others
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 <= box.y0
    assert box.x1 <= width
    assert box.y1 <= height
    plot = figure.axes[0].get_position()
    assert plot.width > 0.4
    assert plot.height * len(figure.axes) > 0.4


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["only"], id="one"),
        pytest.param(list("0123456789"), id="ten digits"),
        pytest.param([LONG, *"123456789"], id="one long among ten"),
        pytest.param(["W" * 40, "b", "c"], id="the widest letters"),
        pytest.param([LONG.format(i) for i in range(40)], id="forty long"),
        pytest.param([LONG.format(i) for i in range(300)], id="three hundred"),
    ],
)
def test_names_of_classes_push_nothing_off_the_page(names, drawn):
    view = view_of_classes(len(names))
    for function in (figures.draw_confusion, figures.draw_classes):
        figure = drawn(function, view, names, "Class of the nearest other image\ntest, classes held out of training")
        assert_on_page(figure)
        if len(names) > figures.SHOWN_CLASSES:
            assert figure.get_suptitle().endswith("\nthe worst 40 of 300 classes")


def test_long_names_that_differ_at_the_end_stay_apart(drawn):
    names = [LONG.format(i) for i in range(40)]
    figure = drawn(figures.draw_confusion, view_of_classes(40), names, TITLE)
    assert len(set(texts(figure.axes[0].get_yticklabels()))) == 40


def test_curves_stay_on_the_page(drawn):
    assert_on_page(drawn(figures.draw_roc, CURVES, TITLE))
    assert_on_page(drawn(figures.draw_recall, recall_view(), [1, 4], TITLE))
    assert_on_page(drawn(figures.draw_distances, CURVES, 0.75, "head", TITLE))
