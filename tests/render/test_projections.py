"""Projections keep neighbours, are repeatable, in other processes too, and bear small or collapsed inputs."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from stages.errors import UserError
from stages.render import projections


def clusters(dimensions, each=30):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], each)
    return labels[:, None] * 30 + rng.normal(size=(len(labels), dimensions)), labels


def project(method, features, perplexity=15.0):
    return projections.project(method, features, perplexity, seed=0).points


@pytest.mark.parametrize("dimensions", [1, 2, 80])
@pytest.mark.parametrize("method", projections.TITLES)
def test_clusters_stay_apart_and_repeat(method, dimensions):
    points, labels = clusters(dimensions)
    found = project(method, points)
    assert found.shape == (90, 2)
    assert found.dtype == np.float32
    apart = ((found[:, None] - found) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (labels[apart.argmin(axis=1)] == labels).mean() > 0.95
    np.testing.assert_array_equal(found, project(method, points))


@pytest.mark.parametrize("points", [np.ones((40, 5)), np.zeros((1, 3))])
@pytest.mark.parametrize("method", projections.TITLES)
def test_nothing_to_arrange_gives_one_place(method, points):
    np.testing.assert_array_equal(project(method, points), np.zeros((len(points), 2)))


@pytest.mark.parametrize("method", projections.TITLES)
def test_few_points_bear_a_large_perplexity(method):
    assert np.isfinite(project(method, clusters(4, each=2)[0], perplexity=30.0)).all()


def test_pca_equals_the_singular_value_decomposition_and_tells_the_shares():
    features = np.random.default_rng(0).normal(size=(50, 6)) * [9, 5, 3, 1, 1, 1]
    found = projections.project("pca", features.astype(np.float32), 15.0, seed=0)
    centred = features - features.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found.points), np.abs(left[:, :2] * scale[:2]), atol=1e-3)
    shares = 100 * scale**2 / (scale**2).sum()
    assert found.axes == tuple(f"PCA component {i + 1} ({shares[i]:.1f} % of the variance)" for i in (0, 1))


def test_other_processes_give_equal_bytes():
    features = clusters(60)[0].astype(np.float32)
    jobs = {method: (method, features) for method in ("tsne", "pca")}
    found = dict(projections.project_all(jobs, 15.0, seed=3, workers=2))
    assert set(found) == set(jobs)
    for method, projection in found.items():
        alone = projections.project(method, features, 15.0, seed=3)
        assert projection.points.tobytes() == alone.points.tobytes()
        assert projection.axes == alone.axes


def test_a_fresh_process_computes_in_one_thread():
    in_a_fresh_process("""
import numpy as np
import threadpoolctl
from stages.render import projections
def spy(features, *_):
    found.extend(threadpoolctl.threadpool_info())
    return features[:, :2]
found, projections._tsne = [], spy
projections.project("tsne", np.random.default_rng(0).normal(size=(20, 3)), 5.0, seed=0)
assert "openmp" in {library["user_api"] for library in found}
assert {library["num_threads"] for library in found} == {1}
""")


def test_umap_without_its_package_is_refused(monkeypatch):
    projections.check_available(["umap"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    projections.check_available(["pca", "tsne"])
    with pytest.raises(
        UserError, match=r"^render\.methods: found umap, .* install it by .*\[umap\]' or take umap out$"
    ):
        projections.check_available(["pca", "umap"])


def test_umap_costs_no_tensorflow_and_leaves_one_that_is_there():
    in_a_fresh_process("""
import sys
from stages.render import projections
projections._umap_class()
assert sys.modules.get("tensorflow") is None
sys.modules["tensorflow"] = there = object()
projections._umap_class()
assert sys.modules["tensorflow"] is there
""")


def in_a_fresh_process(program):
    result = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
