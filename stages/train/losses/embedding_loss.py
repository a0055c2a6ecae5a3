"""What all losses of this package share: labels stay integers, layouts are named, settings checked and serialised."""

import inspect
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from stages.train.distances import Tensor, at_least_float32


class EmbeddingLoss(keras.losses.Loss):
    """A Keras loss of class labels and the embeddings of a batch.

    Keras casts targets to the loss's data type, in which large labels become equal (16,777,216 and 16,777,217 in
    float32). Here labels stay as they are. `call` gives one value a row, a pair or a triplet, and Keras's own reduction
    does the rest: on a scalar it would skip sample weights and the scaling for several devices.

    Attributes:
        layouts: of the batches that the loss can work with (`batches.layout` of the configuration).
        group: how many rows make one value: 2 in pairs, 3 in triplets.
    """

    layouts: ClassVar[tuple[str, ...]] = ("pk", "shuffled")
    group: ClassVar[int] = 1

    def __init__(self, name: str | None = None, reduction: str = "sum_over_batch_size") -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self._reduced = _Values(reduction=reduction, dtype=self.dtype)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """The reduced loss, a scalar.

        Args:
            y_true: labels, as `call` takes them.
            y_pred: what `call` takes.
            sample_weight: one for each row of the batch; of a pair or a triplet that of the first row counts.
        """
        with keras.name_scope(self.name):
            values = self.call(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred))
            if sample_weight is not None:
                sample_weight = ops.reshape(sample_weight, (-1, self.group))[:, 0]
            return self._reduced(values, values, sample_weight)

    @property
    def collapsed(self) -> float | None:
        """The mean of the values when all embeddings are one point; None where that tells nothing."""
        return None

    def head(self, embedding_dim: int) -> keras.Model | None:
        """A new layer with weights that stands between the embeddings and this loss; None where it needs none."""
        return None

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, each of which is an attribute of the same name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "EmbeddingLoss":
        """The loss again, of what `get_config` gave or Keras made of it."""
        return cls(**{name: _deserialized(value) for name, value in config.items()})


class _Values(keras.losses.Loss):
    """Keras's own reduction, weights and scaling, of values that are losses already."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_pred


def label_vector(y_true: Tensor) -> Tensor:
    """Labels as `[B]`, from `[B]` or `[B, 1]`; bool ones as int32.

    Raises:
        ValueError: another shape.
    """
    labels = ops.convert_to_tensor(y_true)
    if keras.backend.standardize_dtype(labels.dtype) == "bool":
        labels = ops.cast(labels, "int32")
    shape = list(labels.shape)
    if len(shape) == 2 and shape[1] in (1, None):
        return ops.reshape(labels, (-1,))
    if len(shape) != 1:
        raise ValueError(f"y_true must be class labels of shape [B] or [B, 1]. Received: shape={shape}")
    return labels


def labels_and_rows(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Labels `[B]`, and embeddings `[B, D]` in at least float32.

    Raises:
        ValueError: other shapes, embeddings that are no floats, not as many labels as embeddings.
    """
    labels, rows = label_vector(y_true), embedding_rows(y_pred)
    if None not in (labels.shape[0], rows.shape[0]) and labels.shape[0] != rows.shape[0]:
        raise ValueError(
            "y_true and y_pred must have as many rows. "
            f"Received: {labels.shape[0]} labels and embeddings of shape={list(rows.shape)}"
        )
    return labels, rows


def embedding_rows(y_pred: Tensor) -> Tensor:
    """Embeddings `[B, D]` in at least float32.

    Raises:
        ValueError: another shape, or another data type than floats.
    """
    rows = ops.convert_to_tensor(y_pred)
    dtype = keras.backend.standardize_dtype(rows.dtype)
    if len(rows.shape) != 2 or "float" not in dtype:
        raise ValueError(
            f"y_pred must be float embeddings of shape [B, D]. Received: {dtype}, shape={list(rows.shape)}"
        )
    return at_least_float32(rows)


def groups(rows: Tensor, count: int, order: str) -> list[Tensor]:
    """The first rows of all groups of `count` rows, the second ones, and so on.

    Args:
        rows: `[count * N]` or `[count * N, D]`.
        count: rows that belong together.
        order: what they are, for the error.

    Raises:
        ValueError: a number of rows that is known and no multiple of `count`. One that is not known fails in the
            computation.
    """
    length = rows.shape[0]
    if length is not None and length % count:
        raise ValueError(f"rows must be {order}, a multiple of {count}. Received: {length} rows")
    # Not by stride: of an incomplete last group it would make rows that belong to others.
    grouped = ops.reshape(rows, (-1, count, *ops.shape(rows)[1:]))
    return [grouped[:, i] for i in range(count)]


def check_margin(margin: float) -> float:
    """Return `margin` as a plain number.

    Raises:
        ValueError: it is negative.
    """
    if margin < 0:
        raise ValueError(f"margin must not be negative. Received: {margin}")
    return float(margin)


def hinge_at_a_point(margin: float, soft: bool) -> float:
    """What `hinge` gives where all distances are 0."""
    return math.log(2) if soft else margin


def hinge(difference: Tensor, margin: float, soft: bool) -> Tensor:
    """`max(0, difference + margin)`; with `soft`, `log(1 + exp(difference))`, which cannot overflow here."""
    if soft:
        return ops.softplus(difference)
    excess = difference + margin
    # Not `relu`, which may make 0 of NaN: a network that has diverged must not look like a perfect one.
    return ops.where(excess <= 0.0, 0.0, excess)


def _deserialized(value: Any) -> Any:
    return keras.saving.deserialize_keras_object(value) if isinstance(value, Mapping) else value
