"""What all losses of this package share: labels stay integers, layouts are named, settings checked and serialised."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from stages.train.distances import Tensor


class EmbeddingLoss(keras.losses.Loss):
    """A Keras loss of class labels and the embeddings of a batch.

    Keras casts targets to the loss's data type, in which large labels become equal (16,777,216 and 16,777,217 in
    float32). Here labels stay as they are. `call` gives one value a row, a pair or a triplet, and Keras's own reduction
    does the rest: on a scalar it would skip sample weights and the scaling for several devices.

    Attributes:
        layouts: of the batches that the loss can work with (`batches.layout` of the configuration).
    """

    layouts: ClassVar[tuple[str, ...]] = ("pk", "shuffled")

    def __init__(self, name: str | None = None, reduction: str = "sum_over_batch_size") -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self._reduced = _Values(reduction=reduction, dtype=self.dtype)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """The reduced loss, a scalar; `sample_weight` has one weight for each value of `call`."""
        with keras.name_scope(self.name):
            values = self.call(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred))
            return self._reduced(values, values, sample_weight)

    @property
    def collapsed(self) -> float | None:
        """The loss when all embeddings are one point; None where that tells nothing."""
        return None

    def head(self, embedding_dim: int) -> keras.Model | None:
        """A new layer with weights that stands between the embeddings and this loss; None where it needs none."""
        return None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "EmbeddingLoss":
        """The loss again, of what `get_config` gave or Keras made of it."""
        return cls(**{name: _deserialized(value) for name, value in config.items()})


class _Values(keras.losses.Loss):
    """Keras's own reduction, weights and scaling, of values that are losses already."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_pred


def label_vector(y_true: Tensor) -> Tensor:
    """Labels as `[B]`, from `[B]` or `[B, 1]`.

    Raises:
        ValueError: another shape.
    """
    labels = ops.convert_to_tensor(y_true)
    shape = tuple(labels.shape)
    if len(shape) == 2 and shape[1] == 1:
        return ops.squeeze(labels, axis=1)
    if len(shape) != 1:
        raise ValueError(f"y_true must be class labels of shape [B] or [B, 1]. Received: shape={list(shape)}")
    return labels


def check_rows(rows: Tensor, multiple: int, order: str) -> None:
    """Refuse a number of rows that is known and no multiple of `multiple`.

    Raises:
        ValueError: the rows cannot be what `order` says.
    """
    count = rows.shape[0]
    if count is not None and count % multiple:
        raise ValueError(f"rows must be {order}, a multiple of {multiple}. Received: {count} rows")


def check_margin(margin: float) -> float:
    """Return `margin`.

    Raises:
        ValueError: it is negative.
    """
    if margin < 0:
        raise ValueError(f"margin must not be negative. Received: {margin}")
    return margin


def hinge(difference: Tensor, margin: float, soft: bool) -> Tensor:
    """`max(0, difference + margin)`; with `soft`, `log(1 + exp(difference))`, which cannot overflow here."""
    if soft:
        return ops.softplus(difference)
    excess = difference + margin
    # Not `relu`, which may make 0 of NaN: a network that has diverged must not look like a perfect one.
    return ops.where(excess <= 0.0, 0.0, excess)


def _deserialized(value: Any) -> Any:
    return keras.saving.deserialize_keras_object(value) if isinstance(value, Mapping) else value
