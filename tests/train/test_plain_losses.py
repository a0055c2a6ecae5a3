"""The plain formulas that the benchmark compares with are the losses of the table, so the comparison is a fair one."""

import numpy as np
import pytest
import tensorflow as tf

from tests.benchmarks import plain_losses
from tests.train import oracle


def hard_loss(labels, embeddings, margin, metric):
    return np.mean(oracle.hard_values(labels, embeddings, margin, False, metric))


LOOPS = {
    "hard": hard_loss,
    "semi_hard": oracle.semi_hard_loss,
    "batch_all": oracle.batch_all_loss,
}


def batch(kind, dimensions):
    labels = {
        "balanced": np.arange(12) // 4,
        "singletons": np.array([0, 0, 0, 1, 2, 2, 3, 3, 3, 3]),
        "one_class": np.zeros(5, int),
    }[kind]
    embeddings = np.random.default_rng(dimensions).normal(size=(len(labels), dimensions)).astype(np.float32)
    return labels.astype(np.int32), embeddings


@pytest.mark.parametrize("margin", [0.2, 1.0])
@pytest.mark.parametrize("dimensions", [2, 16])
@pytest.mark.parametrize("kind", ["balanced", "singletons", "one_class"])
@pytest.mark.parametrize("loss", list(LOOPS))
def test_plain_formula_equals_loop_over_triplets(loss, kind, dimensions, margin):
    labels, embeddings = batch(kind, dimensions)
    value = getattr(plain_losses, loss)(tf.constant(labels), tf.constant(embeddings), margin)
    assert float(value) == pytest.approx(LOOPS[loss](labels, embeddings, margin, "L2"), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("loss", list(LOOPS))
def test_gradient_of_plain_formula_is_the_slope_of_the_loop(loss):
    labels, embeddings = batch("balanced", 3)
    direction = np.random.default_rng(1).normal(size=embeddings.shape)
    variable = tf.Variable(embeddings)
    with tf.GradientTape() as tape:
        value = getattr(plain_losses, loss)(tf.constant(labels), variable, 0.5)
    slope = float(np.sum(np.asarray(tape.gradient(value, variable)) * direction))
    beside = [LOOPS[loss](labels, embeddings + step * direction, 0.5, "L2") for step in (1e-6, -1e-6)]
    assert slope == pytest.approx((beside[0] - beside[1]) / 2e-6, rel=1e-3, abs=1e-4)
