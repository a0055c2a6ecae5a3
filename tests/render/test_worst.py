"""The worst queries and pairs, against plain loops over all pairs and hand-made cases."""

from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.render import extremes, worst


def plain_distance(points, i, j):
    return float(((points[i].astype(np.float64) - points[j].astype(np.float64)) ** 2).sum() ** 0.5)


def plain_queries(points, labels, count):
    """Of the worst (row, rows of the nearest others, then row and rank of the nearest of its own and of another class).

    Then how many are judged; and wrong.
    """
    judged, wrong = [], 0
    for q in range(len(labels)):
        others = [i for i in range(len(labels)) if i != q]
        others.sort(key=lambda i: (plain_distance(points, q, i), labels[i] == labels[q], i))
        same = [i for i in others if labels[i] == labels[q]]
        different = [i for i in others if labels[i] != labels[q]]
        if same and different:
            margin = plain_distance(points, q, same[0]) - plain_distance(points, q, different[0])
            wrong += margin >= 0
            ends = [(end, 1 + others.index(end)) for end in (same[0], different[0])]
            judged.append((-margin, labels[q], q, others[:5], *ends))
    return [found[2:] for found in sorted(judged)[:count]], len(judged), wrong


def plain_pairs(points, labels, count, same):
    """Sort all pairs, then take each whose items are in none that was taken before."""
    rows = sorted(range(len(labels)), key=lambda i: (labels[i], i))
    pairs = [(i, j) for a, i in enumerate(rows) for j in rows[a + 1 :] if (labels[i] == labels[j]) == same]
    pairs.sort(key=lambda pair: plain_distance(points, *pair) * (-1 if same else 1))
    chosen: list[tuple[int, int]] = []
    for pair in pairs:
        if not set(pair) & {row for taken in chosen for row in taken}:
            chosen.append(pair)
    return chosen[:count]


def assert_as_in_loops(points, labels, count):
    found = worst.find(points, labels, count)
    queries, judged, wrong = plain_queries(points, labels, count)
    assert [
        (q.row, [n.row for n in q.nearest], (q.positive.row, q.rank), (q.negative.row, q.negative_rank))
        for q in found.queries
    ] == queries
    assert (found.judged, found.wrong) == (judged, wrong)
    assert [pair.rows for pair in found.positives] == plain_pairs(points, labels, count, same=True)
    assert [pair.rows for pair in found.negatives] == plain_pairs(points, labels, count, same=False)
    for pair in found.positives + found.negatives:
        assert pair.distance == pytest.approx(plain_distance(points, *pair.rows), rel=1e-12)
    for query in found.queries:
        for other in [*query.nearest, query.positive, query.negative]:
            assert other.distance == pytest.approx(plain_distance(points, query.row, other.row), rel=1e-12)


@st.composite
def tied_items(draw):
    """Items on a coarse lattice: duplicates, ties, singletons, one class."""
    n, dimensions = draw(st.integers(1, 14)), draw(st.integers(1, 3))
    coordinates = draw(st.lists(st.integers(-3, 3), min_size=n * dimensions, max_size=n * dimensions))
    labels = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return np.array(coordinates, np.float32).reshape(n, dimensions), np.array(labels, np.int32)


@settings(max_examples=150, deadline=None)
@given(tied_items(), st.integers(1, 8), st.sampled_from([1, 2, 5, 1024]), st.sampled_from([1, 20, 2**20]))
def test_worst_equal_loops_over_all_pairs_and_ties_count_against_the_query(items, count, tile, block):
    points, labels = items
    with mock.patch.object(extremes, "TILE", tile), mock.patch.object(worst, "BLOCK", block):
        assert_as_in_loops(points, labels, count)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
@pytest.mark.parametrize("classes", [2, 7, 40])
def test_worst_equal_loops_at_any_scale(scale, classes):
    rng = np.random.default_rng([3, classes])
    points = (scale * rng.normal(size=(70, 5))).astype(np.float32)
    assert_as_in_loops(points, rng.integers(0, classes, 70).astype(np.int32), 9)


@pytest.mark.parametrize("dimensions", [1, 33])
def test_tiles_and_blocks_change_nothing(dimensions, monkeypatch):
    rng = np.random.default_rng(4)
    points = np.repeat(rng.normal(size=(150, dimensions)), 2, axis=0).astype(np.float32)
    labels = rng.integers(0, 6, 300)
    whole = worst.find(points, labels, 40)
    monkeypatch.setattr(extremes, "TILE", 37)
    monkeypatch.setattr(worst, "BLOCK", 1000)
    assert worst.find(points, labels, 40) == whole


def test_one_outlier_stands_in_one_pair():
    points = np.array([[0.0], [1.0], [2.5], [4.0], [100.0]], np.float32)
    found = worst.find(points, np.zeros(5, np.int32), 12)
    assert [pair.rows for pair in found.positives] == [(0, 4), (1, 3)]
    assert [pair.distance for pair in found.positives] == [100.0, 3.0]


def test_distances_are_free_of_the_cancellation_of_far_points():
    points = np.array([[3e4], [3e4 + 2**-8], [3.2e4], [0.0]], np.float32)
    found = worst.find(points, np.array([0, 1, 0, 1], np.int32), 1)
    assert found.negatives == [worst.Pair((0, 1), 2**-8)]


def test_collapsed_embedding_is_wrong_everywhere():
    labels = np.repeat([0, 1, 2], [3, 4, 5]).astype(np.int32)
    found = worst.find(np.full((12, 4), 0.3, np.float32), labels, 20)
    assert (found.judged, found.wrong) == (12, 12)
    assert [(query.row, query.rank) for query in found.queries] == [(q, 13 - (3, 4, 5)[labels[q]]) for q in range(12)]
    assert {pair.distance for pair in found.positives + found.negatives} == {0.0}
    assert len(found.positives) == 1 + 2 + 2


def test_well_separated_classes_have_no_wrong_query_and_the_closest_to_it_comes_first():
    points = np.array([[0.0], [1.0], [10.0], [11.0], [12.5]], np.float32)
    found = worst.find(points, np.array([0, 0, 1, 1, 1], np.int32), 2)
    assert (found.judged, found.wrong) == (5, 0)
    assert [query.row for query in found.queries] == [1, 2]
    assert [other.row for other in found.queries[1].nearest] == [3, 4, 1, 0]


@pytest.mark.parametrize("labels", [[], [5], [5, 5, 5], [1, 2, 3]])
def test_nothing_is_judged_without_two_classes_and_two_of_one(labels):
    points = np.arange(float(len(labels)), dtype=np.float32)[:, None]
    found = worst.find(points, np.array(labels, np.int32), 4)
    assert (found.queries, found.judged, found.wrong) == ([], 0, 0)
    assert len(found.positives) == (labels == [5, 5, 5])
    assert len(found.negatives) == (labels == [1, 2, 3])


def test_number_of_workers_changes_nothing(monkeypatch):
    monkeypatch.setattr(extremes, "TILE", 16)
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(100, 3)), rng.integers(0, 5, 100)
    pools: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers):
            pools.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(extremes, "ThreadPoolExecutor", Pool)
    assert worst.find(points, labels, 9, workers=1) == worst.find(points, labels, 9, workers=3)
    worst.find(points, labels, 9, workers=500)
    assert pools == [1, 3, extremes.MOST_WORKERS]


@pytest.mark.parametrize("tile", [1, 2, 1024])
def test_an_extreme_is_infinite_where_there_is_no_such_other(tile, monkeypatch):
    monkeypatch.setattr(extremes, "TILE", tile)
    points = np.array([[3.0], [0.0], [1.0]], np.float32)
    lone = extremes.extremes_of(extremes.cloud_of(points, np.array([4, 2, 2])))
    assert lone.nearest_same.tolist()[2] == lone.farthest_same.tolist()[2] == np.inf
    assert lone.nearest_same.tolist()[:2] == (-lone.farthest_same).tolist()[:2]
    assert (lone.nearest_other / lone.nearest_same[0]).tolist() == [9.0, 4.0, 4.0]
    one_class = extremes.extremes_of(extremes.cloud_of(points, np.zeros(3)))
    assert (one_class.nearest_other == np.inf).all()
    assert (one_class.farthest_same / one_class.nearest_same).tolist() == [-9 / 4, -9.0, -4.0]
