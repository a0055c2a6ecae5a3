"""Values and gradients on whatever backend Keras runs on."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

BACKEND = keras.backend.backend()


def compiled(function: Callable[[Any, Any], Any], xla: bool = False) -> Callable[[Any, Any], tuple[Any, Any]]:
    """From labels and embeddings to the value of a function of both, and its gradient in the embeddings, as arrays."""
    if BACKEND == "jax":
        import jax

        differentiated = jax.jit(jax.value_and_grad(lambda embeddings, labels: function(labels, embeddings)))
        return lambda labels, embeddings: _arrays(*differentiated(embeddings, labels))
    if BACKEND == "torch":
        return lambda labels, embeddings: _arrays(*_torch(function, labels, embeddings))
    import tensorflow as tf

    @tf.function(jit_compile=xla, reduce_retracing=True, autograph=False)
    def value_and_gradient(labels: Any, embeddings: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = function(labels, embeddings)
        return value, tape.gradient(value, embeddings, unconnected_gradients="zero")

    return lambda labels, embeddings: _arrays(
        *value_and_gradient(tf.convert_to_tensor(labels), tf.convert_to_tensor(embeddings))
    )


def _torch(function: Callable[[Any, Any], Any], labels: Any, embeddings: Any) -> tuple[Any, Any]:
    import torch

    rows = torch.tensor(embeddings, requires_grad=True)
    value = function(torch.tensor(labels), rows)
    value.backward()
    return value.detach(), torch.zeros_like(rows) if rows.grad is None else rows.grad


def _arrays(value: Any, gradient: Any) -> tuple[Any, Any]:
    return np.asarray(value), np.asarray(gradient)
