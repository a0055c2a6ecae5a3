"""The siamese loss: a head of its own tells from two embeddings whether they are of one class."""

import math
from typing import ClassVar

import keras
from keras import ops

from stages.train.distances import PACKAGE, Tensor, at_least_float32
from stages.train.losses.embedding_loss import EmbeddingLoss, groups, label_vector


def siamese_head(embedding_dim: int) -> keras.Model:
    """The logit of two embeddings being of one class, `w·|e₁ - e₂| + b`, of stock Keras layers (Koch et al. 2015).

    Args:
        embedding_dim: D.

    Returns:
        A model of two inputs, left and right, float `[N, D]`, and an output `[N, 1]`; its sigmoid is the probability.
    """
    left, right = keras.Input((embedding_dim,), name="left"), keras.Input((embedding_dim,), name="right")
    distances = ops.absolute(keras.layers.Subtract(dtype="float32")([left, right]))
    logits = keras.layers.Dense(1, dtype="float32", name="logit")(distances)
    return keras.Model([left, right], logits, name="head")


@keras.saving.register_keras_serializable(PACKAGE)
class SiameseLoss(EmbeddingLoss):
    """Binary cross-entropy of the head's logits, by whether the rows of a pair are of one class.

    `-y·log(p) - (1 - y)·log(1 - p)` with `p = sigmoid(logit)` and y = 1 for a pair of one class. Computed from the
    logit it cannot overflow, nor stop teaching where p is rounded to 0 or 1.

    Args:
        name: the loss's name in logs.

    >>> loss = SiameseLoss()
    >>> float(loss(ops.array([0, 0, 0, 1]), ops.array([[100.0], [-100.0]])))
    0.0
    """

    layouts: ClassVar[tuple[str, ...]] = ("pairs",)
    group: ClassVar[int] = 2

    def head(self, embedding_dim: int) -> keras.Model:
        """The layer that is trained with the encoder: see `siamese_head`."""
        return siamese_head(embedding_dim)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each pair, float `[N]`.

        Args:
            y_true: int `[2N]` or `[2N, 1]`, class labels of the rows left, right, left, …
            y_pred: float `[N]` or `[N, 1]`, the head's logits.

        Raises:
            ValueError: not two labels for each logit.
        """
        first, second = groups(label_vector(y_true), 2, "left, right, …")
        logits = ops.reshape(at_least_float32(ops.convert_to_tensor(y_pred)), (-1,))
        if None not in (first.shape[0], logits.shape[0]) and first.shape[0] != logits.shape[0]:
            raise ValueError(
                f"y_pred must be a logit for each pair, {first.shape[0]} of them. Received: {logits.shape[0]}"
            )
        return ops.softplus(logits) - ops.cast(first == second, logits.dtype) * logits

    @property
    def collapsed(self) -> float:
        """Log 2: the head cannot tell the pairs of a point apart, half of which are of one class."""
        return math.log(2)
