"""Maps: t-SNE keeps neighbours, is repeatable and bears small or collapsed inputs; pictures name the classes."""

import numpy as np
import pytest
from PIL import Image

from stages.render import maps


def clusters(dimensions, each=30):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], each)
    return labels[:, None] * 30 + rng.normal(size=(len(labels), dimensions)), labels


@pytest.mark.parametrize("dimensions", [1, 2, 80])
def test_tsne_keeps_clusters_apart_and_repeats(dimensions):
    points, labels = clusters(dimensions)
    found = maps.tsne(points, perplexity=15.0, seed=0)
    assert found.shape == (90, 2)
    apart = ((found[:, None] - found) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (labels[apart.argmin(axis=1)] == labels).mean() > 0.95
    np.testing.assert_array_equal(found, maps.tsne(points, perplexity=15.0, seed=0))


@pytest.mark.parametrize("points", [np.ones((40, 5)), np.zeros((1, 3)), np.arange(6.0).reshape(3, 2)])
def test_nothing_to_arrange_gives_one_place(points):
    np.testing.assert_array_equal(maps.tsne(points, perplexity=30.0, seed=0), np.zeros((len(points), 2)))


def test_few_points_bear_a_large_perplexity():
    found = maps.tsne(clusters(4, each=2)[0], perplexity=30.0, seed=0)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("classes", [1, 10, 100])
def test_pictures_are_drawn_for_any_number_of_classes(classes, tmp_path):
    labels = np.arange(200) % classes
    names = [f"$\\no{i}$" for i in range(classes)]  # looks like a formula, and would be a wrong one
    points = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    drawn = maps.Map(points, labels, names, "Some points")
    maps.draw_one(tmp_path / "one.png", drawn)
    with Image.open(tmp_path / "one.png") as picture:
        assert min(picture.size) >= 800
        assert set(picture.info) <= {"dpi"}
        if classes == 10:
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
            assert len(np.unique(pixels, axis=0)) > 20


def test_each_class_is_named_at_its_median(tmp_path):
    from matplotlib.figure import Figure

    points, labels = clusters(2)
    axes = Figure().add_subplot()
    maps._draw(axes, maps.Map(points, labels, ["a", "b", "c"], "title"))
    places = {text.get_text(): text.get_position() for text in axes.texts}
    for label, name in enumerate("abc"):
        assert places[name] == pytest.approx(np.median(points[labels == label], axis=0))
    assert all(text.get_path_effects() for text in axes.texts)
