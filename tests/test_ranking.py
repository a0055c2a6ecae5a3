"""Exact ranking and the measures on it, against plain loops and known answers."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import ranking

KS = [1, 2, 3]


def plain_measures(distances, relevant, ks):
    """Mean over all orders that keep the distances ascending of hit@k and of the average precision at R."""
    total, hits, precisions = 0, dict.fromkeys(ks, 0.0), 0.0
    depth = sum(relevant)
    for order in itertools.permutations(range(len(relevant))):
        ordered = [distances[i] for i in order]
        if ordered != sorted(ordered):
            continue
        total += 1
        found = [relevant[i] for i in order]
        for k in ks:
            hits[k] += any(found[:k])
        precisions += sum(sum(found[: i + 1]) / (i + 1) for i in range(depth) if found[i]) / depth
    return {k: value / total for k, value in hits.items()}, precisions / total


def plain_leave_one_out(points, labels, ks):
    precisions: list[float] = []
    recalls: dict[int, list[float]] = {k: [] for k in ks}
    for q in range(len(labels)):
        others = [i for i in range(len(labels)) if i != q]
        relevant = [labels[i] == labels[q] for i in others]
        if not any(relevant):
            continue
        distances = [float(((points[q] - points[i]) ** 2).sum()) for i in others]
        hit, precision = plain_measures(distances, relevant, ks)
        for k in ks:
            recalls[k].append(hit[k])
        precisions.append(precision)
    left_out = len(labels) - len(precisions)
    if not precisions:
        return dict.fromkeys(ks), None, left_out
    return {k: np.mean(recalls[k]) for k in ks}, np.mean(precisions), left_out


def assert_equal(measured, expected):
    assert (measured is None) == (expected is None)
    if expected is not None:
        assert measured == pytest.approx(expected, abs=1e-12)


@st.composite
def tied_items(draw):
    """Up to six items on a coarse lattice: duplicates, ties, singletons, one class."""
    n = draw(st.integers(2, 6))
    dimensions = draw(st.integers(1, 2))
    coordinate = st.integers(0, 2)
    points = draw(st.lists(st.lists(coordinate, min_size=dimensions, max_size=dimensions), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    return np.array(points, np.float32), np.array(labels, np.int32)


@settings(max_examples=150, deadline=None)
@given(tied_items())
def test_leave_one_out_equals_loop_over_all_orders_of_ties(items):
    points, labels = items
    ranked = ranking.leave_one_out(points, labels, at_least=3)
    recalls, precision, left_out = plain_leave_one_out(points, labels, KS)
    for k, recall in ranking.recall_at_k(ranked, KS).items():
        assert_equal(recall, recalls[k])
    assert_equal(ranking.map_at_r(ranked), precision)
    assert ranked.left_out == left_out


@settings(max_examples=75, deadline=None)
@given(tied_items(), tied_items())
def test_gallery_equals_loop_over_all_orders_of_ties(items, others):
    (queries, labels), (gallery, gallery_labels) = items, others
    queries, gallery = queries[:, :1], gallery[:, :1]
    ranked = ranking.in_gallery(queries, labels, gallery, gallery_labels, at_least=3)
    kept = [q for q in range(len(labels)) if labels[q] in gallery_labels]
    assert ranked.left_out == len(labels) - len(kept)
    loops = [
        plain_measures(list(abs(gallery[:, 0] - queries[q, 0])), list(gallery_labels == labels[q]), KS) for q in kept
    ]
    precisions = ranking.average_precisions(ranked)
    for k in KS:
        np.testing.assert_allclose(ranking.hits(ranked, k), [hit[k] for hit, _ in loops], atol=1e-12)
    np.testing.assert_allclose(precisions, [precision for _, precision in loops], atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1.0, 3e7]), st.integers(2, 9))
def test_untied_ranking_equals_sorting_by_differences(seed, scale, classes):
    rng = np.random.default_rng(seed)
    points = (rng.normal(size=(60, 5)) * scale).astype(np.float32)
    labels = rng.integers(0, classes, 60)
    ranked = ranking.leave_one_out(points, labels)
    wide = points.astype(np.float64)
    row = 0
    for q in range(60):
        others = np.delete(np.arange(60), q)
        same = labels[others] == labels[q]
        if not same.any():
            continue
        order = np.argsort(((wide[others] - wide[q]) ** 2).sum(axis=1))
        np.testing.assert_array_equal(ranked.relevant[row], same[order][: ranked.relevant.shape[1]])
        row += 1
    assert row == len(ranked.same)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=40), st.floats(-1e6, 1e6, width=32))
def test_constant_embedding_scores_chance_exactly(labels, value):
    labels = np.array(labels)
    ranked = ranking.leave_one_out(np.full((len(labels), 3), value, np.float32), labels, at_least=3)
    for k, recall in ranking.recall_at_k(ranked, KS).items():
        assert_equal(recall, ranking.chance_recall_at_k(labels, KS)[k])
    assert_equal(ranking.map_at_r(ranked), ranking.chance_map_at_r(labels))


def test_chance_equals_mean_over_random_orders():
    labels = np.repeat([0, 1, 2], [12, 5, 2])
    rng = np.random.default_rng(0)
    recalls: list[float] = []
    precisions: list[float] = []
    for _ in range(2000):
        ranked = ranking.in_gallery(np.zeros((1, 1)), labels[:1], rng.random((18, 1)), labels[1:], at_least=2)
        recalls.extend(ranking.hits(ranked, 2))
        precisions.extend(ranking.average_precisions(ranked))
    tied = ranking.in_gallery(np.zeros((1, 1)), labels[:1], np.ones((18, 1)), labels[1:], at_least=2)
    assert ranking.map_at_r(tied) == pytest.approx(np.mean(precisions), abs=4 * np.std(precisions) / 2000**0.5)
    assert ranking.recall_at_k(tied, [2])[2] == pytest.approx(np.mean(recalls), abs=4 * np.std(recalls) / 2000**0.5)
    assert ranking.recall_at_k(tied, [2])[2] == pytest.approx(1 - 7 / 18 * 6 / 17)


def test_perfect_embedding_scores_one():
    labels = np.repeat(np.arange(4), 5)
    ranked = ranking.leave_one_out(np.eye(4, dtype=np.float32)[labels], labels, at_least=8)
    assert ranking.recall_at_k(ranked, [1, 8]) == {1: 1.0, 8: 1.0}
    assert ranking.map_at_r(ranked) == 1.0


def test_duplicates_of_other_classes_are_neighbours_and_the_query_is_not():
    points = np.array([[0.0], [0.0], [1.0], [1.0]])
    ranked = ranking.leave_one_out(points, np.array([0, 1, 0, 1]), at_least=3)
    assert ranking.recall_at_k(ranked, [1, 2, 3]) == {1: 0.0, 2: 0.5, 3: 1.0}


def test_singletons_are_left_out_and_only_singletons_give_none():
    points = np.arange(5.0)[:, None]
    assert ranking.leave_one_out(points, np.array([0, 0, 1, 2, 3])).left_out == 3
    ranked = ranking.leave_one_out(points, np.arange(5))
    assert ranked.left_out == 5
    assert ranking.recall_at_k(ranked, [1, 8]) == {1: None, 8: None}
    assert ranking.map_at_r(ranked) is None
    assert ranking.chance_recall_at_k(np.arange(5), [1]) == {1: None}
    assert ranking.chance_map_at_r(np.arange(5)) is None


def test_one_class_scores_one_whatever_the_embedding():
    points = np.random.default_rng(0).normal(size=(7, 2))
    ranked = ranking.leave_one_out(points, np.zeros(7))
    assert ranking.recall_at_k(ranked, [1, 6, 100]) == {1: 1.0, 6: 1.0, 100: 1.0}
    assert ranking.map_at_r(ranked) == 1.0


def test_k_beyond_the_ranked_depth_is_refused():
    points, labels = np.arange(6.0)[:, None], np.array([0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match="Received: k=2, depth=1"):
        ranking.recall_at_k(ranking.leave_one_out(points, labels), [2])
    with pytest.raises(ValueError, match="Received: k=0"):
        ranking.recall_at_k(ranking.leave_one_out(points, labels), [0])


def test_equal_rows_tie_exactly_and_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    points = np.repeat(rng.normal(size=(40, 37)).astype(np.float32), 5, axis=0)
    labels = rng.integers(0, 3, 200)
    whole = ranking.leave_one_out(points, labels)
    # Every group of ties is a set of copies: 4 others of the query itself, then 5 of each further point.
    assert whole.starts[:, :4].sum(axis=1).tolist() == [1] * 200
    np.testing.assert_array_equal(whole.starts[:, 4:][:, ::5], True)
    assert (whole.starts.sum(axis=1) == 1 + np.ceil((whole.starts.shape[1] - 4) / 5)).all()
    monkeypatch.setattr(ranking, "BLOCK", 700)
    small = ranking.leave_one_out(points, labels)
    for name in ("relevant", "starts", "beyond", "beyond_relevant", "same"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(small, name))
    assert ranking.map_at_r(small) == pytest.approx(ranking.map_at_r(whole), abs=1e-15)


def test_raw_pixels_are_compared_as_exact_integers():
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (50, 784)).astype(np.uint8)
    wide = pixels.astype(np.int64)
    exponent = ranking.NORM_BITS - ranking._norm_exponent(pixels)
    on_grid = ranking._on_grid(pixels, exponent).astype(np.int64)
    assert exponent > 0
    np.testing.assert_array_equal(on_grid, wide << exponent)
    assert 6 * max(int(row @ row) for row in on_grid) < 2**53
