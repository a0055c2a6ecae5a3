"""Who the nearest are, and their votes, against sorting, loops over all draws, and scikit-learn."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from stages.ranking import votes
from stages.ranking.neighbours import nearest
from tests.ranking import loops
from tests.ranking.test_search import through_faiss


@settings(max_examples=40, deadline=None)
@given(loops.tied_items(), loops.tied_items(), st.integers(1, 6))
def test_nearest_equals_a_stable_sort(items, others, k):
    queries, gallery = np.pad(items[0], [(0, 0), (0, 2)])[:, :2], np.pad(others[0], [(0, 0), (0, 2)])[:, :2]
    k = min(k, len(gallery) - 1)
    distances = np.sqrt(((queries[:, None] - gallery).astype(np.float64) ** 2).sum(axis=2))
    assert_nearest(nearest(queries, gallery, k, itself=False), distances, k)
    distances = np.sqrt(((gallery[:, None] - gallery).astype(np.float64) ** 2).sum(axis=2))
    np.fill_diagonal(distances, np.inf)
    assert_nearest(nearest(gallery, gallery, k, itself=True), distances, k)


def assert_nearest(found, distances, k):
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found[0], order)
    np.testing.assert_allclose(found[1], np.take_along_axis(distances, order, axis=1), rtol=1e-15)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 3e7])
def test_nearest_equals_scikit_learn_at_any_scale_and_by_faiss_bit_for_bit(scale):
    points = (loops.clustered(3)[0] * scale).astype(np.float32)
    queries, gallery = points[20:150], points[150:]
    items, distances = nearest(queries, gallery, 7, itself=False)
    judge = NearestNeighbors(n_neighbors=7, algorithm="kd_tree").fit(gallery.astype(np.float64) / scale)
    expected, places = judge.kneighbors(queries.astype(np.float64) / scale)
    np.testing.assert_array_equal(items, places)
    np.testing.assert_allclose(distances / scale, expected, rtol=1e-5)
    with through_faiss():
        again = nearest(queries, gallery, 7, itself=False)
    np.testing.assert_array_equal(again[0], items)
    np.testing.assert_array_equal(again[1], distances)


def test_more_neighbours_than_others_are_refused():
    points = np.arange(4.0)[:, None]
    assert nearest(points, points, 3, itself=True)[0].shape == (4, 3)
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"number of others, 3. Received: k={k}"):
            nearest(points, points, k, itself=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=4), st.data())
def test_winning_equals_counting_all_draws(counts, data):
    sure, tied = np.array(counts).T
    members = np.repeat(np.arange(len(tied)), tied)
    if not len(members):
        return
    slots = data.draw(st.integers(1, len(members)))
    wins: Counter[int] = Counter()
    for drawn in itertools.combinations(members, slots):
        wins[int((sure + np.bincount(drawn, minlength=len(sure))).argmax())] += 1
    expected = [wins[c] / wins.total() for c in range(len(sure))]
    np.testing.assert_allclose(votes.win_probabilities(sure, tied, slots, seed=0), expected, atol=1e-12)


@pytest.mark.parametrize(("sizes", "slots"), [([500, 400, 300], 5), ([5000, 40, 4000], 600), ([30] * 9, 30)])
def test_draws_agree_with_exact_probabilities(monkeypatch, sizes, slots):
    sure, tied = np.arange(len(sizes))[::-1] % 3, np.array(sizes)
    monkeypatch.setattr(votes, "EXACT", 10**9)
    exact = votes.win_probabilities(sure, tied, slots, seed=0)
    assert exact.sum() == pytest.approx(1, abs=1e-9)
    monkeypatch.setattr(votes, "EXACT", 0)
    drawn = votes.win_probabilities(sure, tied, slots, seed=0)
    np.testing.assert_allclose(drawn, exact, atol=4 * 0.5 / votes.DRAWS**0.5)
    np.testing.assert_array_equal(drawn, votes.win_probabilities(sure, tied, slots, seed=0))


@pytest.mark.parametrize("k", [1, 5, 12])
def test_untied_votes_equal_scikit_learn(k):
    points, labels = loops.clustered(4, classes=6, spread=2.0)
    points, labels = points[20:], labels[20:]  # without the copies
    wins = votes.own_label_wins(points[:100], labels[:100], points[100:], labels[100:], k, seed=0)
    judge = KNeighborsClassifier(k, algorithm="kd_tree").fit(points[100:], labels[100:])
    np.testing.assert_array_equal(wins, judge.predict(points[:100]) == labels[:100])
    with through_faiss():
        again = votes.own_label_wins(points[:100], labels[:100], points[100:], labels[100:], k, seed=0)
    np.testing.assert_array_equal(again, wins)


@settings(max_examples=30, deadline=None)
@given(loops.tied_items(1), loops.tied_items(1), st.integers(1, 5))
def test_tied_votes_equal_a_loop_over_all_orders(items, others, k):
    (queries, labels), (gallery, gallery_labels) = items, others
    k = min(k, len(gallery))
    known = np.isin(labels, gallery_labels)
    queries, labels = queries[known], labels[known]
    wins = votes.own_label_wins(queries, labels, gallery, gallery_labels, k, seed=0)
    for q in range(len(queries)):
        distances = abs(gallery[:, 0] - queries[q, 0])
        orders = [
            list(o) for o in itertools.permutations(range(len(gallery))) if (np.diff(distances[list(o)]) >= 0).all()
        ]
        won = [np.bincount(gallery_labels[order[:k]]).argmax() == labels[q] for order in orders]
        assert wins[q] == pytest.approx(np.mean(won), abs=1e-12)


def test_blocks_of_votes_change_nothing(monkeypatch):
    points, labels = np.rint(loops.clustered(5)[0]), loops.clustered(5)[1]
    arguments = points[:150], labels[:150], points[150:], labels[150:], 4, 0
    whole = votes.own_label_wins(*arguments)
    monkeypatch.setattr(votes, "ENTRIES", 100)
    np.testing.assert_array_equal(votes.own_label_wins(*arguments), whole)
