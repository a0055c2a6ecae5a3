"""Steps of a loss alone, forward and backward, traced by TensorFlow: what `bench_losses` and `bench_growth` time."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from stages.quiet import hidden_stderr
from tests.benchmarks.loss_cases import Case

with hidden_stderr():
    import numpy as np
    import tensorflow as tf

    from stages.train import losses, strategy
    from tests.benchmarks import plain_losses

THREADS = 2
Formula = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""From labels int32 `[B]` and embeddings float32 `[B, D]` to a scalar."""


def set_up() -> None:
    """Threads, before anything computes."""
    strategy.set_up(seed=0, threads=THREADS)


def small_step_and_step(case: Case, which: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """For a fresh process: a step of few rows, to warm up, and the step to measure."""
    set_up()
    return traced_step(replace(case, batch=18), which), traced_step(case, which)


def traced_step(case: Case, which: str) -> Callable[[], Any]:
    """The step of "ours", "plain" or "product" with its batch, traced but not yet run."""
    rows = None if case.unknown else case.batch
    signature = [tf.TensorSpec([rows], tf.int32), tf.TensorSpec([rows, case.dimensions], tf.float32)]
    compute = product if which == "product" else gradient_of(_formula(case, which))
    function = tf.function(compute, jit_compile=False).get_concrete_function(*signature)
    embeddings = np.random.default_rng(0).normal(size=(case.batch, case.dimensions)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    arguments = tf.constant(np.arange(case.batch) // case.samples, tf.int32), tf.constant(embeddings)
    return lambda: function(*arguments)


def gradient_of(loss: Formula) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """The loss and its gradient with respect to the embeddings."""

    def step(labels: tf.Tensor, embeddings: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return value, tf.convert_to_tensor(tape.gradient(value, embeddings))

    return step


def product(labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
    """All products of two rows, `[B, B]`."""
    return tf.matmul(embeddings, embeddings, transpose_b=True)


def _formula(case: Case, which: str) -> Formula:
    if which == "plain":
        return getattr(plain_losses, case.loss)
    if case.loss == "siamese":
        return _siamese(case.dimensions)
    named: dict[str, Formula] = {
        "hard": losses.triplet_hard_loss,
        "semi_hard": losses.triplet_semihard_loss,
        "batch_all": losses.triplet_batch_all_loss,
        "contrastive": losses.pair_contrastive_loss,
        "triplet": losses.triplet_loss,
    }
    return named[case.loss]


def _siamese(dimensions: int) -> Formula:
    loss, head = losses.SiameseLoss(), losses.siamese_head(dimensions)
    return lambda labels, embeddings: loss(labels, head([embeddings[0::2], embeddings[1::2]], training=True))
