"""Distances of pairs: equal to loops in float64, the same for all pairs at once as for each alone, in any blocks."""

import numpy as np
import pytest

from stages.evaluate import metric, pairs


def all_pairs(of, order):
    """The distance of each two positions of `order`, float32 `[N, N]` above the diagonal, from blocks."""
    found = np.full((len(order), len(order)), np.nan, np.float32)
    for begin, block in of.blocks(order):
        found[begin : begin + len(block), begin:] = block
    return found


def points_of(dtype, seed=0):
    """40 points, the last 10 copies of the first."""
    points = (np.random.default_rng(seed).random((40, 7)) * 255).astype(dtype)
    points[30:] = points[:10]
    return points


def head_weights():
    return np.random.default_rng(5).normal(size=8).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_euclidean_distances_equal_norms_and_are_zero_for_copies(dtype, scale, monkeypatch):
    points = points_of(dtype)
    chosen = pairs.natural(np.zeros(40), 1000, seed=0)
    expected = [
        np.linalg.norm(points[i].astype(float) - points[j].astype(float)) / scale
        for i, j in zip(chosen.left, chosen.right, strict=True)
    ]
    for block in (metric.COORDINATES, 50):
        monkeypatch.setattr(metric, "COORDINATES", block)
        found = metric.Euclidean(points, scale).of_pairs(chosen.left, chosen.right)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert (found[chosen.right == chosen.left + 30] == 0).all()


def test_head_distances_equal_a_loop_in_float64(monkeypatch):
    points, head = points_of(np.float32), head_weights()
    chosen = pairs.natural(np.zeros(40), 1000, seed=0)
    expected = [
        -sum(float(w) * abs(float(a) - float(b)) for w, a, b in zip(head[:-1], points[i], points[j], strict=True))
        - float(head[-1])
        for i, j in zip(chosen.left, chosen.right, strict=True)
    ]
    for block in (metric.COORDINATES, 50):
        monkeypatch.setattr(metric, "COORDINATES", block)
        found = metric.Head(points, head).of_pairs(chosen.left, chosen.right)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("block", [1, 77, 10_000])
@pytest.mark.parametrize("kind", ["euclidean", "pixels", "head", "head_of_one_sign"])
def test_all_pairs_equal_each_pair_alone_in_any_order(block, kind, monkeypatch):
    monkeypatch.setattr(metric, "BLOCK", block)
    head = head_weights()
    kinds: dict[str, metric.Metric] = {
        "euclidean": metric.Euclidean(points_of(np.float32)),
        "pixels": metric.Euclidean(points_of(np.uint8), 255.0),
        "head": metric.Head(points_of(np.float32), head),
        "head_of_one_sign": metric.Head(points_of(np.float32), np.abs(head)),
    }
    of = kinds[kind]
    order = np.random.default_rng(1).permutation(40)
    rows, columns = np.triu_indices(40, 1)
    expected = of.of_pairs(order[rows], order[columns])
    found = all_pairs(of, order)[rows, columns]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("dimensions", [3, 64, 200])
def test_blocks_change_no_bit_and_copies_tie_exactly(dimensions, monkeypatch):
    rng = np.random.default_rng(2)
    points = np.repeat(rng.normal(size=(30, dimensions)).astype(np.float32), 3, axis=0)
    order = np.arange(90)
    for of in (metric.Euclidean(points), metric.Head(points, rng.normal(size=dimensions + 1))):
        monkeypatch.setattr(metric, "BLOCK", 10_000)
        whole = all_pairs(of, order)
        monkeypatch.setattr(metric, "BLOCK", 123)
        rows, columns = np.triu_indices(90, 1)
        np.testing.assert_array_equal(whole[rows, columns], all_pairs(of, order)[rows, columns])
        # Of three copies of a point, each is as far from another point as the others.
        for i in range(0, 90, 3):
            for j in range(i + 3, 90, 3):
                assert len(set(whole[i : i + 3, j : j + 3].ravel().tolist())) == 1
            assert len({whole[i, i + 1], whole[i, i + 2], whole[i + 1, i + 2]}) == 1


@pytest.mark.parametrize("scale", [1e-30, 3e7])
def test_any_scale_of_embeddings_is_measured(scale):
    points = np.random.default_rng(3).normal(size=(30, 5))
    rows, columns = np.triu_indices(30, 1)
    found = all_pairs(metric.Euclidean((points * scale).astype(np.float32)), np.arange(30))[rows, columns]
    np.testing.assert_allclose(found / scale, np.linalg.norm(points[rows] - points[columns], axis=1), rtol=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused(wrong):
    points = points_of(np.float32)
    points[3, 2] = wrong
    with pytest.raises(ValueError, match="finite"):
        metric.Euclidean(points)
    with pytest.raises(ValueError, match="finite"):
        metric.Head(points, head_weights())
