import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from stages.train.losses import TripletHardLoss, angular_distance, pairwise_distance, triplet_hard_loss
from tests.train import oracle

METRICS = ("L2", "squared-L2", "angular")


@st.composite
def batches(draw):
    """Labels of all kinds (balanced or not, one class, singletons, one row) and embeddings with duplicates and ties."""
    rows = draw(st.integers(1, 12))
    labels = np.array(draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)), np.int32)
    dimensions = draw(st.integers(1, 4))
    # A coarse grid makes equal rows and equal distances common.
    values = st.integers(-3, 3)
    flat = draw(st.lists(values, min_size=rows * dimensions, max_size=rows * dimensions))
    scale = draw(st.sampled_from([0.25, 1.0, 40.0]))
    return labels, np.array(flat, np.float32).reshape(rows, dimensions) * np.float32(scale)


def gradient(labels, embeddings, **arguments):
    variable = tf.Variable(embeddings)
    with tf.GradientTape() as tape:
        loss = triplet_hard_loss(tf.constant(labels), variable, **arguments)
    return np.asarray(tape.gradient(loss, variable))


@settings(max_examples=120, deadline=None)
@given(batches(), st.sampled_from(METRICS), st.booleans(), st.sampled_from([0.0, 0.3, 1.0]))
def test_hard_equals_loop_over_triplets(batch, metric, soft, margin):
    labels, embeddings = batch
    expected = np.mean(oracle.hard_values(labels, embeddings, margin, soft, metric))
    loss = triplet_hard_loss(labels, ops.convert_to_tensor(embeddings), margin, soft, metric)
    assert float(loss) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(batches(), st.sampled_from(METRICS), st.booleans())
def test_hard_with_a_matrix_of_distances_equals_the_named_distance(batch, metric, soft):
    labels, embeddings = batch
    functions = {
        "L2": pairwise_distance,
        "squared-L2": lambda e: pairwise_distance(e, squared=True),
        "angular": angular_distance,
    }
    expected = np.mean(oracle.hard_values(labels, embeddings, 0.5, soft, metric))
    loss = triplet_hard_loss(labels, ops.convert_to_tensor(embeddings), 0.5, soft, functions[metric])
    assert float(loss) == pytest.approx(expected, rel=1e-4, abs=2e-4 * max(1.0, float(np.abs(embeddings).max())))


@settings(max_examples=60, deadline=None)
@given(batches(), st.sampled_from(METRICS), st.booleans())
def test_gradient_is_finite_always(batch, metric, soft):
    labels, embeddings = batch
    assert np.isfinite(gradient(labels, embeddings, soft=soft, distance_metric=metric)).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("soft", [False, True])
def test_gradient_equals_differences(metric, soft):
    rng = np.random.default_rng(0)
    labels, embeddings = np.arange(12) % 3, rng.normal(size=(12, 4))
    numeric = np.zeros_like(embeddings)
    for index in np.ndindex(*embeddings.shape):
        shifted = [embeddings.copy(), embeddings.copy()]
        shifted[0][index] += 1e-6
        shifted[1][index] -= 1e-6
        up, down = (np.mean(oracle.hard_values(labels, e, 0.7, soft, metric)) for e in shifted)
        numeric[index] = (up - down) / 2e-6
    analytic = gradient(labels, embeddings, margin=0.7, soft=soft, distance_metric=metric)
    np.testing.assert_allclose(analytic, numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("metric", [*METRICS, pairwise_distance, angular_distance])
def test_equal_embeddings_have_gradient_zero(metric):
    embeddings = np.full((6, 3), 0.7, np.float32)
    np.testing.assert_array_equal(gradient([0, 0, 0, 1, 1, 1], embeddings, distance_metric=metric), 0)


def test_small_distances_of_long_embeddings_are_not_lost():
    # ‖a‖² + ‖b‖² − 2ab is 0 here in float32, for every pair.
    embeddings = np.zeros((4, 2), np.float32)
    embeddings[:, 0] = 80
    embeddings[:, 1] = [0.0, 0.008, 0.02, 0.026]
    expected = np.mean(oracle.hard_values(np.array([0, 0, 1, 1]), embeddings, 0.2, False, "L2"))
    assert float(triplet_hard_loss([0, 0, 1, 1], ops.array(embeddings), 0.2)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_large_labels_stay_apart_in_fit(shape):
    # Equal in float32, to which Keras casts targets: one class, and a loss of 1.
    labels = np.array([2**24, 2**24 + 1] * 4, np.int32).reshape(shape)
    inputs = np.eye(2, dtype=np.float32)[np.array([0, 1] * 4)]
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")])
    model.compile(loss=TripletHardLoss(margin=0.5), optimizer="sgd")
    assert model.fit(inputs, labels, batch_size=8, verbose=0).history["loss"][0] == pytest.approx(0.0)


def test_one_class_has_the_known_value():
    assert float(triplet_hard_loss([0, 0], ops.array([[0.0, 1.0], [1.0, 0.0]]))) == pytest.approx(1.0)


def test_soft_does_not_overflow():
    embeddings = np.array([[0.0], [500.0], [0.0]], np.float32)
    # 500 − 0 at the first anchor (the literal formula gives inf), 500 − 500 at the second, 0 − 0 at the third.
    expected = (500 + np.log(2) + np.log(2)) / 3
    assert float(triplet_hard_loss([0, 0, 1], ops.array(embeddings), soft=True)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_loss_has_the_data_type_of_the_embeddings(dtype):
    embeddings = ops.cast(ops.array([[0.0], [1.0], [3.0]]), dtype)
    loss = triplet_hard_loss([0, 0, 1], embeddings, margin=1.5)
    assert keras.backend.standardize_dtype(loss.dtype) == dtype
    assert float(loss) == pytest.approx(1 / 6, rel=4e-3)


def test_loss_is_the_mean_of_one_value_an_anchor():
    loss, labels, embeddings = TripletHardLoss(margin=1.5), ops.array([0, 0, 1]), ops.array([[0.0], [1.0], [3.0]])
    np.testing.assert_allclose(loss.call(labels, embeddings), [0.0, 0.5, 0.0])
    weights = ops.array([1.0, 4.0, 1.0])
    assert float(loss(labels, embeddings, sample_weight=weights)) == pytest.approx(4 * 0.5 / 3)


def test_loss_is_had_again_from_its_config():
    loss = TripletHardLoss(0.3, soft=True, distance_metric="angular", name="mine")
    again = TripletHardLoss.from_config(loss.get_config())
    assert again.get_config() == loss.get_config()
    labels, embeddings = ops.array([0, 0, 1, 1]), ops.array([[1.0, 0.0], [0.5, 1.0], [0.0, 1.0], [1.0, 1.0]])
    assert float(again(labels, embeddings)) == float(loss(labels, embeddings))


def test_refuses_what_it_cannot_mean():
    with pytest.raises(ValueError, match=r"\[B\] or \[B, 1\].*Received: shape=\[2, 3\]"):
        triplet_hard_loss(np.zeros((2, 3), np.int32), ops.zeros((2, 3)))
    with pytest.raises(ValueError, match="L2, squared-L2, angular or a function. Received: 'l3'"):
        TripletHardLoss(distance_metric="l3")
    with pytest.raises(ValueError, match="margin must not be negative. Received: -1"):
        TripletHardLoss(margin=-1)
