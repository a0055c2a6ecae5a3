"""Scores of pairs: all of them, or a sample that says so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluate import metric
from stages.evaluate.scores import Scores, histogram, natural_scores

some_labels = st.lists(st.integers(0, 4), min_size=0, max_size=40).map(lambda drawn: np.array(drawn, np.int32))


@settings(max_examples=50, deadline=None)
@given(some_labels, st.integers(0, 1000), st.booleans())
def test_all_pairs_equal_a_loop_over_pairs(labels, seed, by_head):
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(len(labels), 3)).astype(np.float32)
    of = metric.Head(embeddings, rng.normal(size=4)) if by_head else metric.Euclidean(embeddings)
    expected: dict[bool, list[float]] = {True: [], False: []}
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            expected[bool(labels[i] == labels[j])].append(float(of.of_pairs(np.array([i]), np.array([j]))[0]))
    scores = natural_scores(of, labels, all_up_to=1000, sampled=10, seed=0)
    for found, kind in ((scores.same, True), (scores.different, False)):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, sorted(expected[kind]), rtol=1e-6, atol=1e-6)
    assert scores.available == len(labels) * (len(labels) - 1) // 2


@pytest.mark.parametrize("block", [1, 100, 3000])
def test_blocks_change_nothing(block, monkeypatch):
    rng = np.random.default_rng(0)
    labels, embeddings = rng.integers(7, size=150), rng.normal(size=(150, 8)).astype(np.float32)
    whole = natural_scores(metric.Euclidean(embeddings), labels, 10**6, 10, seed=0)
    monkeypatch.setattr(metric, "BLOCK", block)
    again = natural_scores(metric.Euclidean(embeddings), labels, 10**6, 10, seed=0)
    np.testing.assert_array_equal(whole.same, again.same)
    np.testing.assert_array_equal(whole.different, again.different)


def test_more_pairs_than_allowed_are_sampled_and_counted():
    rng = np.random.default_rng(0)
    labels, embeddings = rng.integers(3, size=100), rng.normal(size=(100, 4)).astype(np.float32)
    of = metric.Euclidean(embeddings)
    whole = natural_scores(of, labels, all_up_to=4950, sampled=500, seed=1)
    sample = natural_scores(of, labels, all_up_to=4949, sampled=500, seed=1)
    assert len(whole.same) + len(whole.different) == whole.available == sample.available == 4950
    assert len(sample.same) + len(sample.different) == 500
    again, other = (natural_scores(of, labels, 4949, 500, seed) for seed in (1, 2))
    np.testing.assert_array_equal(sample.same, again.same)
    assert sample.same.tolist() != other.same.tolist()
    # A sample's distances are those of the same pairs among all; they are computed in another way.
    nearest = np.abs(whole.different[:, None] - sample.different).min(axis=0)
    assert nearest.max() < 1e-6


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_histogram_equals_numpy(seed, between_floats):
    rng = np.random.default_rng(seed)
    same, different = (np.sort(rng.integers(-5, 30, size).astype(np.float32) / 8) for size in (40, 300))
    # Edges that float32 holds and distances fall on, or such as lie between two of its numbers.
    edges = np.unique(rng.integers(-4, 30, 6)) / 8 + (1e-12 if between_floats else 0.0)
    edges = np.append(edges, edges[-1] + 1)
    for found, distances in zip(histogram(Scores(same, different, 340), edges), (same, different), strict=True):
        np.testing.assert_array_equal(found, np.histogram(distances.astype(np.float64), edges)[0])
