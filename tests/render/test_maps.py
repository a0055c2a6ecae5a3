"""Pictures of maps name the classes, whatever their names and number."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from stages.render import maps
from stages.render.projections import Projection

AXES = ("across", "up")


@pytest.mark.parametrize("classes", [1, 10, 100])
def test_pictures_are_drawn_for_any_number_of_classes(classes, tmp_path):
    labels = np.arange(200) % classes
    names = [f"$\\no{i}$" for i in range(classes)]  # looks like a formula, and would be a wrong one
    points = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    drawn = maps.Map(Projection(points, AXES), labels, names, "Some points")
    maps.draw_one(tmp_path / "one.png", drawn)
    with Image.open(tmp_path / "one.png") as picture:
        assert min(picture.size) >= 800
        assert set(picture.info) <= {"dpi"}
        if classes == 10:
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
            assert len(np.unique(pixels, axis=0)) > 20


def test_each_class_is_named_at_its_median_and_the_axes_as_projected():
    labels = np.repeat([0, 1, 2], 30)
    points = np.random.default_rng(0).normal(size=(90, 2)) + labels[:, None]
    axes = Figure().add_subplot()
    maps._draw(axes, maps.Map(Projection(points, AXES), labels, ["a", "b", "c"], "title"))
    places = {text.get_text(): text.get_position() for text in axes.texts}
    for label, name in enumerate("abc"):
        assert places[name] == pytest.approx(np.median(points[labels == label], axis=0))
    assert all(text.get_path_effects() for text in axes.texts)
    assert (axes.get_xlabel(), axes.get_ylabel()) == AXES


@pytest.mark.parametrize("classes", [maps.NAMED, maps.NAMED + 1, 300])
def test_very_many_classes_are_counted_instead_of_named(classes):
    labels = np.arange(600) % classes
    points = np.random.default_rng(0).normal(size=(600, 2))
    axes = Figure().add_subplot()
    maps._draw(axes, maps.Map(Projection(points, AXES), labels, [f"name {i}" for i in range(classes)], "title"))
    named = classes <= maps.NAMED
    assert len(axes.texts) == classes * named
    assert axes.get_title() == ("title" if named else f"title\n{classes} classes, not named")


@pytest.mark.parametrize("classes", [2, 20, 60, 300])
def test_long_names_with_line_breaks_stay_on_the_picture(classes, tmp_path, monkeypatch):
    labels = np.arange(600) % classes
    points = np.random.default_rng(0).normal(size=(600, 2)) + 30 * labels[:, None]
    names = [f"W{i}\n" + 68 * "W" for i in range(classes)]
    drawn = maps.Map(Projection(points, AXES), labels, names, "title")
    figures: list[Figure] = []

    def save(figure, path, real=maps._save):
        real(figure, path)
        figures.append(figure)

    monkeypatch.setattr(maps, "_save", save)
    maps.draw_one(tmp_path / "one.png", drawn)
    maps.draw_sheet(tmp_path / "sheet.png", [drawn] * 4, "title")
    for figure in figures:
        for text in (text for axes in figure.axes for text in axes.texts):
            assert "\n" not in text.get_text()
            box = text.get_window_extent()
            assert figure.bbox.x0 <= box.x0
            assert box.x1 <= figure.bbox.x1
