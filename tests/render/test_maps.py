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
