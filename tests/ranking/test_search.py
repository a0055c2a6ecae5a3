"""FAISS proposes and exact integers decide: both ways give the same, bit for bit, at any scale."""

from contextlib import contextmanager, nullcontext
from unittest import mock

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.ranking import measures, neighbours, ranks, search
from stages.ranking.placed import place
from tests.ranking import loops

FIELDS = ("relevant", "starts", "beyond", "beyond_relevant", "nearer", "tied", "tied_relevant", "same")


@contextmanager
def through_faiss(spare=16, by_product=True):
    """Even where the gallery is small, and by the product of matrices, as FAISS does where it is large."""
    blas_from = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 0 if by_product else 2**30
    try:
        with mock.patch.multiple(search, FEW_ITEMS=0, DEEP=1, SPARE=spare):
            yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = blas_from


def joined(rankings):
    """The fields of all blocks, in the order of the queries."""
    blocks = list(rankings)
    order = np.argsort(np.concatenate([block.queries for block in blocks]))
    return {name: np.concatenate([getattr(block, name) for block in blocks])[order] for name in FIELDS}


def assert_same(found, expected):
    for name in FIELDS:
        np.testing.assert_array_equal(found[name], expected[name])


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-30, 1.0, 3e7]),
    st.sampled_from([0, 16]),
    st.sampled_from(["points", "lattice", "clumps", "constant"]),
)
def test_faiss_and_full_rows_give_the_same_ranking(seed, scale, spare, kind):
    points, labels = loops.clustered(seed, items=200, classes=30)
    if kind == "lattice":
        points = np.rint(points)
    elif kind == "clumps":  # so far from their middle that float32 cannot tell the neighbours apart
        points = points / 1000 + np.where(labels % 2, 1, -1)[:, None]
    elif kind == "constant":
        points = np.ones_like(points)
    points = (points * scale).astype(np.float32)
    expected = joined(ranks.leave_one_out(points, labels, 5))
    with through_faiss(spare):
        assert_same(joined(ranks.leave_one_out(points, labels, 5)), expected)
    expected = joined(ranks.in_gallery(points[:50], labels[:50], points[50:], labels[50:]))
    with through_faiss(spare):
        assert_same(joined(ranks.in_gallery(points[:50], labels[:50], points[50:], labels[50:])), expected)


def test_faiss_settles_ordinary_queries_and_leaves_tied_ones_to_full_rows():
    points, labels = loops.clustered(0)
    placed = place(points)
    queries = np.arange(len(labels))
    with through_faiss():
        assert all(block.items is not None for block in search.search(placed, queries, 20))
        tied = place(np.ones_like(points))
        assert all(block.items is None for block in search.search(tied, queries, 20))


@pytest.mark.parametrize("by_product", [True, False])
def test_faiss_errs_by_no_more_than_the_bound(by_product):
    points = (1000 + np.random.default_rng(0).normal(size=(300, 40))).astype(np.float32)  # long and close together
    placed = place(points, points)
    with through_faiss(by_product=by_product):
        distances, items = faiss.knn(placed.sources[:].astype(np.float32), placed.targets[:].astype(np.float32), 300)
    queries = np.arange(300)
    error = np.abs(distances - placed.squared(queries, placed.keys(queries, items))).max(axis=1)
    norms = np.linalg.norm(placed.sources[:], axis=1)
    bound = search.float32_error(40, norms, norms.max())
    assert (error <= bound).all()
    assert by_product == (error.max() > 0.01 * bound.max())


def test_blocks_change_nothing(monkeypatch):
    points, labels = loops.clustered(1)
    points[::3] = np.rint(points[::3])  # these tie, so that FAISS does not settle all
    whole = list(ranks.leave_one_out(points, labels, 5))
    monkeypatch.setattr(search, "BLOCK", 700)
    monkeypatch.setattr(search, "LEAST_ROWS", 1)
    small = list(ranks.leave_one_out(points, labels, 5))
    monkeypatch.setattr(search, "FAISS_QUERIES", 7)
    with through_faiss(spare=0):
        mixed = list(ranks.leave_one_out(points, labels, 5))
    assert 1 == len(whole) < len(small)
    order = np.concatenate([block.queries for block in mixed])
    assert (np.diff(order) < 0).any()
    for blocks in (small, mixed):
        assert_same(joined(blocks), joined(whole))


def test_means_are_equal_in_whatever_order_the_blocks_come(monkeypatch):
    monkeypatch.setattr(search, "BLOCK", 700)
    monkeypatch.setattr(search, "LEAST_ROWS", 1)
    for seed in range(8):
        blocks = list(ranks.leave_one_out(*loops.clustered(seed)))
        found, backwards = (
            measures.means(ordered, map_at_r=measures.average_precisions) for ordered in (blocks, blocks[::-1])
        )
        assert found == backwards


def test_equal_rows_tie_exactly():
    rng = np.random.default_rng(1)
    points = np.repeat(rng.normal(size=(40, 37)).astype(np.float32), 5, axis=0)
    starts = joined(ranks.leave_one_out(points, rng.integers(0, 3, 200)))["starts"]
    # Every group of ties is a set of copies: 4 others of the query itself, then 5 of each further point.
    assert starts[:, :4].sum(axis=1).tolist() == [1] * 200
    np.testing.assert_array_equal(starts[:, 4:][:, ::5], True)
    assert (starts.sum(axis=1) == 1 + np.ceil((starts.shape[1] - 4) / 5)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1.0, 3e7]), st.booleans())
def test_ranking_equals_sorting_by_differences(seed, scale, by_faiss):
    points, labels = loops.clustered(seed, items=100, classes=20)
    points = (points[10:] * scale).astype(np.float32)  # without the copies
    labels = labels[10:]
    with through_faiss() if by_faiss else nullcontext():
        found = joined(ranks.leave_one_out(points, labels))
    wide, row = points.astype(np.float64), 0
    for q in range(len(labels)):
        others = np.delete(np.arange(len(labels)), q)
        same = labels[others] == labels[q]
        if same.any():
            order = np.argsort(((wide[others] - wide[q]) ** 2).sum(axis=1))
            np.testing.assert_array_equal(found["relevant"][row], same[order][: found["relevant"].shape[1]])
            assert found["nearer"][row] == same[order].argmax()
            row += 1
    assert row == len(found["same"])


def test_raw_pixels_are_compared_as_exact_integers():
    pixels = np.random.default_rng(2).integers(0, 256, (50, 784)).astype(np.uint8)
    wide = pixels.astype(np.int64)
    placed = place(pixels)
    np.testing.assert_array_equal(placed.targets[:].astype(np.int64), wide << placed.exponent)
    assert 6 * int((placed.targets[:].astype(np.int64) ** 2).sum(axis=1).max()) < 2**53
    with through_faiss():
        items, distances = neighbours.nearest(pixels, pixels, 3, itself=True)
    for q in range(50):
        squared = ((wide - wide[q]) ** 2).sum(axis=1)
        squared[q] = 2**60
        assert items[q].tolist() == np.argsort(squared, kind="stable")[:3].tolist()
        np.testing.assert_allclose(distances[q], np.sqrt(np.sort(squared)[:3]), rtol=1e-15)


def test_numbers_that_are_not_finite_are_refused():
    points = np.zeros((4, 2), np.float32)
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or infinity"):
            ranks.in_gallery(points, np.zeros(4), np.full((4, 2), wrong), np.zeros(4))


def test_empty_queries_and_galleries_give_no_ranking():
    none, some = np.zeros((0, 3), np.float32), np.ones((4, 3), np.float32)
    assert not list(ranks.in_gallery(none, np.zeros(0, int), some, np.zeros(4, int)))
    assert not list(ranks.in_gallery(some, np.zeros(4, int), none, np.zeros(0, int)))
    assert not list(ranks.leave_one_out(none, np.zeros(0, int)))
    assert measures.means([], map_at_r=measures.average_precisions) is None
