"""The grid: sums of products on it are exact, and coordinates lose no more than they must."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import grid


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(-120, 100))
def test_norm_exponent_is_the_smallest_power_of_two_above_all_norms(seed, dimensions, scale):
    vectors = np.random.default_rng(seed).normal(size=(6, dimensions)) * 2.0**scale
    largest = np.linalg.norm(vectors, axis=1).max()
    exponent = grid.norm_exponent(vectors)
    assert 2.0 ** (exponent - 1) <= largest < 2.0**exponent


def test_norm_exponent_looks_at_every_block(monkeypatch):
    vectors = np.ones((10, 1), np.float32)
    vectors[7] = 1000
    monkeypatch.setattr(grid, "ROWS", 3)
    assert grid.norm_exponent(vectors) == 10


@pytest.mark.parametrize("scale", [1e-30, 1.0, 3e7])
def test_distances_on_the_grid_are_exact_integers_close_to_the_true_ones(scale):
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(30, 40)) * scale).astype(np.float32)
    exponent = grid.NORM_BITS - grid.norm_exponent(vectors)
    points = grid.on_grid(vectors, exponent)
    whole = [[int(value) for value in row] for row in points]
    squared = np.einsum("ij,ij->i", points, points)
    found = squared[:, None] + squared - 2 * (points @ points.T)
    for i, left in enumerate(whole):
        assert 6 * sum(a * a for a in left) < 2**53
        for j, right in enumerate(whole):
            assert int(found[i, j]) == sum((a - b) ** 2 for a, b in zip(left, right, strict=True))
    # Half a step a coordinate, of either end.
    error = np.sqrt(40) * np.ldexp(1.0, -exponent)
    true = np.linalg.norm(vectors[:, None].astype(np.float64) - vectors, axis=2)
    np.testing.assert_allclose(np.ldexp(np.sqrt(found), -exponent), true, rtol=0, atol=error)
    assert error < 2e-6 * scale * np.sqrt(40)


def test_pixels_are_not_rounded():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 784)).astype(np.uint8)
    exponent = grid.NORM_BITS - grid.norm_exponent(pixels)
    np.testing.assert_array_equal(grid.on_grid(pixels, exponent), pixels.astype(np.int64) << exponent)


def test_given_vectors_stay_as_they_are():
    vectors = np.array([[0.3, 0.4]])
    grid.on_grid(vectors, 4)
    assert vectors.tolist() == [[0.3, 0.4]]


def test_zero_or_no_vectors_have_a_grid():
    assert grid.norm_exponent(np.zeros((3, 2))) == grid.norm_exponent(np.zeros((0, 2))) == 0
    assert grid.on_grid(np.zeros((0, 2)), 25).shape == (0, 2)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(wrong):
    with pytest.raises(ValueError, match="finite"):
        grid.norm_exponent(np.array([[0.0, 1.0], [wrong, 1.0]]))
