"""The measures and their chance levels against plain loops over all orders of ties, and known answers."""

import dataclasses
import functools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import ranking
from stages.ranking import chance, measures, ranks, search
from tests.ranking import loops

KS = [1, 2, 3, 9]


def each(rankings):
    """All values by query, and by name."""
    found = {}
    for block in rankings:
        values = measures.each(block, KS)
        for i, q in enumerate(block.queries.tolist()):
            found[q] = {name: float(column[i]) for name, column in values.items()}
    return found


def assert_equal(found, expected):
    assert sorted(found) == sorted(expected)
    for q, values in expected.items():
        assert found[q] == pytest.approx(values, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(loops.tied_items())
def test_leave_one_out_equals_loop_over_all_orders_of_ties(items):
    points, labels = items
    found = each(ranks.leave_one_out(points, labels, max(KS)))
    assert_equal(found, loops.leave_one_out(points, labels, KS))


@settings(max_examples=50, deadline=None)
@given(loops.tied_items(1), loops.tied_items(1))
def test_gallery_equals_loop_over_all_orders_of_ties(items, others):
    (queries, labels), (gallery, gallery_labels) = items, others
    found = each(ranks.in_gallery(queries, labels, gallery, gallery_labels, max(KS)))
    assert_equal(found, loops.in_gallery(queries, labels, gallery, gallery_labels, KS))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_untied_rankings_equal_a_sort_at_any_depth(seed, classes):
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(60, 3)), rng.integers(0, classes, 60)
    found = each(ranks.leave_one_out(points, labels, max(KS)))
    for q in range(60):
        others = np.delete(np.arange(60), q)
        order = others[np.argsort(((points[others] - points[q]) ** 2).sum(axis=1))]
        same = (labels[order] == labels[q]).tolist()
        assert (q in found) == any(same)
        if q in found:
            assert found[q] == pytest.approx(loops.of_order(same, KS), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=40), st.floats(-1e6, 1e6, width=32))
def test_constant_embedding_scores_chance_exactly(labels, value):
    labels = np.array(labels)
    found = each(ranks.leave_one_out(np.full((len(labels), 3), value, np.float32), labels, max(KS)))
    assert_means_are(found, chance.leave_one_out(labels, KS))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_constant_embedding_scores_chance_exactly_in_a_gallery(labels, others):
    labels, others = np.array(labels), np.array(others)
    queries, gallery = np.ones((len(labels), 2)), np.ones((len(others), 2))
    found = each(ranks.in_gallery(queries, labels, gallery, others, max(KS)))
    assert_means_are(found, chance.in_gallery(labels, others, KS))


def assert_means_are(found, expected):
    for name, level in expected.items():
        values = [values[name] for values in found.values()]
        assert (level is None) == (not values)
        if values:
            assert np.mean(values) == pytest.approx(level, abs=1e-12)


def test_chance_equals_mean_over_random_orders():
    labels = np.repeat([0, 1, 2], [12, 5, 2])
    rng = np.random.default_rng(0)
    drawn = [each(ranks.leave_one_out(rng.random((19, 1)), rng.permutation(labels), max(KS))) for _ in range(400)]
    for name, level in chance.leave_one_out(labels, KS).items():
        values = [np.mean([query[name] for query in found.values()]) for found in drawn]
        # Leave-one-out on a line is not a random order for all queries at once, so only the mean agrees.
        assert level == pytest.approx(np.mean(values), abs=5 * np.std(values) / 400**0.5)


def test_chance_has_the_known_closed_forms():
    labels = np.repeat([0, 1], [8, 11])
    level = chance.in_gallery(np.array([0]), labels, [1, 2])
    assert level["precision_at_2"] == level["r_precision"] == pytest.approx(8 / 19)
    assert level["recall_at_2"] == pytest.approx(1 - 11 / 19 * 10 / 18)
    harmonic = sum(1 / j for j in range(1, 9))
    assert level["map_at_r"] == pytest.approx(8 / 19 / 8 * (harmonic * (1 - 7 / 18) + 8 * 7 / 18))


def test_perfect_embedding_scores_one():
    labels = np.repeat(np.arange(4), 5)
    found = each(ranks.leave_one_out(np.eye(4, dtype=np.float32)[labels], labels, max(KS)))
    perfect = dict.fromkeys(measures.names(KS), 1.0) | {"precision_at_9": pytest.approx(4 / 9)}
    assert all(values == perfect for values in found.values())


def test_duplicates_of_other_classes_are_neighbours_and_the_query_is_not():
    found = each(ranks.leave_one_out(np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([0, 1, 0, 1]), 3))
    assert [found[q]["recall_at_1"] for q in range(4)] == [0.0] * 4
    assert [found[q]["recall_at_2"] for q in range(4)] == [0.5] * 4
    assert [found[q]["mrr"] for q in range(4)] == pytest.approx([(1 / 2 + 1 / 3) / 2] * 4)


def test_one_class_scores_one_whatever_the_embedding():
    found = each(ranks.leave_one_out(np.random.default_rng(0).normal(size=(7, 2)), np.zeros(7)))
    assert all(values == dict.fromkeys(measures.names(KS), 1.0) for values in found.values())


def test_singletons_are_no_queries_and_only_singletons_give_none():
    points = np.arange(5.0)[:, None]
    assert sorted(each(ranks.leave_one_out(points, np.array([0, 0, 1, 2, 3]), max(KS)))) == [0, 1]
    alone = ranking.leave_one_out(points, np.arange(5))
    assert ranking.means(alone, map_at_r=ranking.average_precisions) is None
    assert set(chance.leave_one_out(np.arange(5), KS).values()) == {None}


def test_labels_may_have_gaps_and_be_negative():
    points, labels = np.random.default_rng(3).normal(size=(30, 2)), np.tile([0, 1, 2], 10)
    renamed = np.array([-7, 40, 10**9])[labels]
    assert each(ranks.leave_one_out(points, renamed, 9)) == each(ranks.leave_one_out(points, labels, 9))


def test_means_are_those_of_all_queries():
    points, labels = loops.clustered(0)
    found = each(ranks.leave_one_out(points, labels, max(KS)))
    blocks, hits = ranking.leave_one_out(points, labels, 2), functools.partial(ranking.hits, k=2)
    expected = {name: np.mean([values[name] for values in found.values()]) for name in ("recall_at_2", "map_at_r")}
    means = ranking.means(blocks, recall_at_2=hits, map_at_r=ranking.average_precisions)
    assert means == pytest.approx(expected)


def test_means_keep_nothing_of_a_block(monkeypatch):
    monkeypatch.setattr(search, "BLOCK", 2**14)
    monkeypatch.setattr(search, "LEAST_ROWS", 1)
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(2000, 4)), np.arange(2000) % 2
    blocks = ranking.leave_one_out(points, labels)
    tracemalloc.start()
    try:
        ranking.means(blocks, map_at_r=ranking.average_precisions)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Of all queries a bool for each of the 999 that MAP@R looks at would take 2 MB, with the groups of ties 52 MB.
    assert peak < 2e6


def test_too_shallow_rankings_are_refused():
    points, labels = np.arange(6.0)[:, None], np.array([0, 0, 0, 1, 1, 1])
    [deep] = ranks.leave_one_out(points, labels)
    shallow = dataclasses.replace(deep, relevant=deep.relevant[:, :1], starts=deep.starts[:, :1])
    with pytest.raises(ValueError, match="Received: k=3, depth=2"):
        measures.precisions(deep, 3)
    for at_r in (measures.average_precisions, measures.r_precisions):
        with pytest.raises(ValueError, match=r"Received: R\(q\)=2, depth=1"):
            at_r(shallow)
    for at_k in (measures.hits, measures.precisions):
        with pytest.raises(ValueError, match="Received: k=0"):
            at_k(deep, 0)
