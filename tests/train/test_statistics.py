import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from stages.train.losses import TripletHardLoss, TripletLoss
from stages.train.statistics import TripletStatistics
from tests.train import oracle


def figures(labels, embeddings, loss, stride=1):
    statistics = TripletStatistics(loss, stride)
    labels, embeddings = ops.array(labels), ops.array(embeddings)
    statistics.update_loss(loss(labels, embeddings), loss.call(labels, embeddings))
    statistics.update_state(labels, embeddings)
    return {name: float(value) for name, value in statistics.result().items()}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=10),
    st.sampled_from(["L2", "squared-L2", "angular"]),
    st.integers(0, 1000),
)
def test_kinds_of_triplets_equal_a_count_by_loops(labels, metric, seed):
    labels = np.array(labels, np.int32)
    embeddings = np.random.default_rng(seed).normal(size=(len(labels), 3)).astype(np.float32)
    found = figures(labels, embeddings, TripletHardLoss(margin=0.77, distance_metric=metric))
    for name, share in oracle.kinds(labels, embeddings, 0.77, metric).items():
        assert found[name] == pytest.approx(share, abs=1e-6), name


def test_figures_of_a_batch():
    labels, embeddings = np.array([0, 0, 1], np.int32), np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 4.0]], np.float32)
    found = figures(labels, embeddings, TripletHardLoss(margin=1.5))
    assert found == pytest.approx(
        {
            "step_loss": 0.5 / 3,
            "active": 1 / 3,
            "hard": 0.0,
            "semi_hard": 0.5,
            "easy": 0.5,
            "hardest_positive": 2 / 3,
            "hardest_negative": 7 / 3,
            "norm": 7 / 3,
        }
    )


def test_figures_are_those_of_the_latest_batch_alone():
    statistics = TripletStatistics(TripletHardLoss())
    labels = ops.array([0, 0, 1, 1])
    for scale in (1.0, 3.0):
        statistics.update_state(labels, scale * ops.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]))
    assert float(statistics.result()["norm"]) == pytest.approx(3.0)


@pytest.mark.parametrize(("reduction", "expected"), [("mean", 0.75), ("sum", 1.5)])
def test_loss_is_as_it_was_reduced_and_active_a_share_of_its_values(reduction, expected):
    embeddings = np.array([[0.0], [2.0], [1.5], [0.0], [1.0], [9.0]], np.float32)
    found = figures(np.array([0, 0, 1, 0, 0, 1]), embeddings, TripletLoss(reduction=reduction))
    assert (found["step_loss"], found["active"]) == (expected, 0.5)


def test_soft_loss_knows_no_semi_hard_triplets():
    rng = np.random.default_rng(0)
    found = figures(np.arange(12) % 3, rng.normal(size=(12, 2)).astype(np.float32), TripletHardLoss(soft=True))
    assert found["semi_hard"] == 0.0
    assert found["hard"] + found["easy"] == pytest.approx(1.0)
