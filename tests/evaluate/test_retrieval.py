"""What the report takes from a ranking; `tests/ranking` has the measures themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from stages.evaluate import retrieval
from stages.evaluate.retrieval import Retrieved
from tests.ranking import loops
from tests.ranking.test_search import through_faiss

KS = [1, 2, 8]
NAMES = [
    "recall_at_1",
    "recall_at_2",
    "recall_at_8",
    "precision_at_2",
    "precision_at_8",
    "r_precision",
    "map_at_r",
    "mrr",
]


@settings(max_examples=30, deadline=None)
@given(loops.tied_items(), st.sampled_from([[1], [2], KS]))
def test_values_of_queries_equal_loops_and_the_rest_is_counted(items, ks):
    points, labels = items
    found = retrieval.leave_one_out(points, labels, ks)
    expected = loops.leave_one_out(points, labels, ks)
    assert found.queries.tolist() == sorted(expected)
    assert found.left_out == len(labels) - len(expected)
    for i, q in enumerate(found.queries):
        assert {name: values[i] for name, values in found.values.items()} == pytest.approx(expected[q], abs=1e-12)


def test_queries_stand_in_their_order_and_values_are_equal_through_faiss_and_in_other_blocks(monkeypatch):
    points, labels = loops.clustered(0)
    points[::3] = np.rint(points[::3])  # some tie
    found = retrieval.leave_one_out(points, labels, KS)
    in_gallery = retrieval.in_gallery(points[:99], labels[:99], points[99:], labels[99:], KS)
    assert list(found.values) == list(in_gallery.values) == NAMES
    assert found.queries.dtype == np.int64
    assert all(values.dtype == np.float64 for values in found.values.values())
    assert (np.diff(found.queries) > 0).all()
    monkeypatch.setattr("stages.ranking.search.BLOCK", 3000)
    monkeypatch.setattr("stages.ranking.search.LEAST_ROWS", 1)
    with through_faiss(spare=0):
        assert_same(retrieval.leave_one_out(points, labels, KS), found)
        assert_same(retrieval.in_gallery(points[:99], labels[:99], points[99:], labels[99:], KS), in_gallery)


def assert_same(found, expected):
    np.testing.assert_array_equal(found.queries, expected.queries)
    for name, values in expected.values.items():
        np.testing.assert_array_equal(found.values[name], values)


def test_recall_of_a_gallery_of_one_item_a_class_is_top_k_accuracy():
    rng = np.random.default_rng(0)
    centres, labels = rng.normal(size=(10, 4)), rng.integers(0, 10, 300)
    points = centres[labels] + rng.normal(size=(300, 4))
    found = retrieval.means(retrieval.in_gallery(points, labels, centres, np.arange(10), KS))
    closeness = -((points[:, None] - centres) ** 2).sum(axis=2)
    for k in KS:
        assert found[f"recall_at_{k}"] == pytest.approx(top_k_accuracy_score(labels, closeness, k=k))


def test_constant_embedding_scores_chance_in_everything():
    labels, gallery_labels = np.repeat([0, 1, 2, 3], [7, 4, 2, 1]), np.repeat([1, 2, 3, 9], [20, 10, 10, 5])
    constant, gallery = np.ones((14, 3), np.float32), np.ones((45, 3), np.float32)
    found = retrieval.leave_one_out(constant, labels, KS)
    assert retrieval.means(found) == pytest.approx(retrieval.chance(labels, KS), abs=1e-12)
    found = retrieval.in_gallery(constant, labels, gallery, gallery_labels, KS)
    assert retrieval.means(found) == pytest.approx(retrieval.chance_in_gallery(labels, gallery_labels, KS), abs=1e-12)
    for k in (1, 5):
        found = retrieval.knn_correct(constant, labels, gallery, gallery_labels, k, seed=0)
        level = retrieval.knn_chance(labels, gallery_labels, k, seed=0)
        assert retrieval.means(found)["knn_accuracy"] == pytest.approx(level, abs=1e-12)
        assert found.left_out == 7


def test_knn_accuracy_equals_scikit_learn():
    points, labels = loops.clustered(6, classes=5, spread=2.0)
    points, labels = points[20:], labels[20:]  # without the copies
    found = retrieval.knn_correct(points[:100], labels[:100], points[100:], labels[100:], 5, seed=0)
    judge = KNeighborsClassifier(5).fit(points[100:], labels[100:])
    assert retrieval.means(found) == {"knn_accuracy": judge.score(points[:100], labels[:100])}


def test_knn_chance_is_that_of_random_embeddings():
    rng = np.random.default_rng(1)
    labels, gallery_labels = np.repeat([0, 1], [300, 100]), np.repeat([0, 1], [150, 50])
    random = [
        retrieval.knn_correct(rng.random((400, 2)), labels, rng.random((200, 2)), gallery_labels, 3, 0).values
        for _ in range(40)
    ]
    expected = np.mean([values["knn_accuracy"].mean() for values in random])
    assert retrieval.knn_chance(labels, gallery_labels, 3, seed=0) == pytest.approx(expected, abs=0.02)
    assert retrieval.knn_chance(np.tile(np.arange(4), 5), np.tile(np.arange(4), 50), 5, seed=0) == pytest.approx(0.25)


def test_more_neighbours_than_the_gallery_has_are_refused():
    with pytest.raises(ValueError, match="Received: k=4"):
        retrieval.knn_correct(np.ones((1, 2)), np.zeros(1, int), np.ones((3, 2)), np.zeros(3, int), 4, seed=0)


def test_macro_weighs_classes_alike():
    labels = np.array([5, 5, 5, -2, 7, 7])
    found = Retrieved(np.array([0, 1, 2, 4, 5]), {"mrr": np.array([1.0, 0.5, 0.0, 0.1, 0.2])}, 1)
    assert retrieval.means(found) == {"mrr": pytest.approx(0.36)}
    assert retrieval.macro_means(found, np.array([3, 3, 3, 1, 2, 2])) == {"mrr": pytest.approx((0.5 + 0.15) / 2)}
    assert retrieval.class_means(found, labels) == {
        5: {"queries": 3, "mrr": pytest.approx(0.5)},
        7: {"queries": 2, "mrr": pytest.approx(0.15)},
    }


def test_macro_of_sampled_queries_is_that_of_all_and_not_of_the_large_classes_among_them():
    sizes, shares = np.repeat([90, 10], 500), np.repeat([0.9, 0.5], 500)  # of 1,000 classes; what is found of each
    labels = np.repeat(np.arange(1000), sizes)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(labels), 1000, replace=False))
    found = Retrieved(rows, {"hit": shares[labels[rows]]}, 0)
    assert retrieval.means(found)["hit"] == pytest.approx(0.86, abs=0.02)
    assert retrieval.macro_means(found, sizes[labels])["hit"] == pytest.approx(0.7, abs=0.03)


def test_nothing_is_claimed_where_no_query_is_left():
    points, labels = np.arange(3.0)[:, None], np.arange(3)
    found = retrieval.leave_one_out(points, labels, [1])
    nothing = dict.fromkeys(["recall_at_1", "r_precision", "map_at_r", "mrr"])
    assert (found.queries.tolist(), found.left_out) == ([], 3)
    assert retrieval.means(found) == retrieval.macro_means(found, np.ones(3, int)) == nothing
    assert retrieval.intervals(found, 10, 0) == retrieval.chance(labels, [1]) == nothing
    assert retrieval.class_means(found, labels) == {}
    voted = retrieval.knn_correct(points, labels, points, labels + 9, 1, seed=0)
    assert retrieval.means(voted) == retrieval.intervals(voted, 10, 0) == {"knn_accuracy": None}
    assert retrieval.knn_chance(labels, labels + 9, 1, seed=0) is None


def test_intervals_are_those_of_the_normal_law_and_the_same_for_the_same_seed(monkeypatch):
    rng = np.random.default_rng(2)
    values = {
        "recall_at_1": (rng.random(3000) < 0.8).astype(float),
        "mrr": rng.random(3000),
        "r_precision": np.ones(3000),
    }
    found = Retrieved(np.arange(3000), values, 0)
    intervals = retrieval.intervals(found, 2000, seed=3)
    for name in ("recall_at_1", "mrr"):
        half = 1.96 * values[name].std() / 3000**0.5
        expected = values[name].mean() - half, values[name].mean() + half
        assert intervals[name] == pytest.approx(expected, abs=0.1 * half)
    assert intervals["r_precision"] == (1.0, 1.0)
    assert intervals != retrieval.intervals(found, 2000, seed=4)
    monkeypatch.setattr(retrieval, "COUNTS", 10_000)
    for name, interval in retrieval.intervals(found, 2000, seed=3).items():
        assert interval == pytest.approx(intervals[name], abs=1e-12)


def test_intervals_equal_a_plain_bootstrap():
    values = np.random.default_rng(0).random(20)
    [interval] = retrieval.intervals(Retrieved(np.arange(20), {"mrr": values}, 0), 50, seed=0).values()
    drawn = np.random.default_rng([0, 12]).integers(20, size=(50, 20))
    assert interval == pytest.approx(np.percentile(values[drawn].mean(axis=1), [2.5, 97.5]), abs=1e-12)
