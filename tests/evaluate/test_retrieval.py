"""k-NN accuracy and the names of the measures; `tests/test_ranking.py` has the measures themselves."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from stages import ranking
from stages.evaluate import retrieval


def test_report_names_each_k():
    points, labels = np.array([[0.0], [1.0], [2.5], [3.0]]), np.array([0, 0, 1, 0])
    report = retrieval.leave_one_out_report(points, labels, [1, 3])
    ranked = ranking.leave_one_out(points, labels)
    assert report == {"recall_at_1": pytest.approx(2 / 3), "recall_at_3": 1.0, "map_at_r": ranking.map_at_r(ranked)}


def test_chance_report_equals_report_of_constant_embedding():
    labels = np.repeat([0, 1, 2, 3], [7, 4, 2, 1])
    report = retrieval.leave_one_out_report(np.ones((14, 3)), labels, [1, 2, 8])
    assert retrieval.leave_one_out_chance(labels, [1, 2, 8]) == pytest.approx(report, abs=1e-12)
    assert retrieval.queries_left_out(labels) == 1


def test_knn_accuracy_equals_a_plain_vote():
    rng = np.random.default_rng(0)
    gallery, gallery_labels = rng.normal(size=(80, 3)).astype(np.float32), rng.integers(0, 4, 80)
    queries, labels = rng.normal(size=(50, 3)).astype(np.float32), rng.integers(0, 4, 50)
    votes = [np.bincount(gallery_labels[((gallery - q) ** 2).sum(axis=1).argsort()[:5]]).argmax() for q in queries]
    expected = np.mean(np.array(votes) == labels)
    assert retrieval.knn_accuracy(queries, labels, gallery, gallery_labels, 5) == pytest.approx(expected)
    classifier = KNeighborsClassifier(5).fit(gallery, gallery_labels)
    assert retrieval.knn_accuracy(queries, labels, gallery, gallery_labels, 5) == classifier.score(queries, labels)


def test_knn_chance_of_equal_classes_is_their_share():
    assert retrieval.knn_chance(np.tile([0, 1, 2, 3], 5), np.tile([0, 1, 2, 3], 50), 5, seed=0) == pytest.approx(0.25)


def test_knn_chance_of_unequal_classes_is_near_that_of_random_embeddings():
    rng = np.random.default_rng(1)
    labels, gallery_labels = np.repeat([0, 1], [300, 100]), np.repeat([0, 1], [150, 50])
    random = [
        retrieval.knn_accuracy(rng.random((400, 2)), labels, rng.random((200, 2)), gallery_labels, 3) for _ in range(60)
    ]
    assert retrieval.knn_chance(labels, gallery_labels, 3, seed=0) == pytest.approx(np.mean(random), abs=0.02)
