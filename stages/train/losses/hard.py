"""Triplet losses under the names, arguments and defaults of TensorFlow Addons, for `model.compile(loss=…)`.

The class label of an image is its target; a loss forms the triplets itself from the embeddings of the batch.
"""

from typing import Any

import keras
from keras import ops

from stages.train.distances import (
    DistanceMetric,
    Tensor,
    angular_distance,
    check_metric,
    distance_between,
    pairwise_distance,
)
from stages.train.mining import hardest

__all__ = ["TripletHardLoss", "angular_distance", "hard_distances", "pairwise_distance", "triplet_hard_loss"]


def triplet_hard_loss(
    y_true: Tensor,
    y_pred: Tensor,
    margin: float = 1.0,
    soft: bool = False,
    distance_metric: DistanceMetric = "L2",
) -> Tensor:
    """Batch-hard triplet loss (Hermans et al. 2017, arXiv 1703.07737, equation 5).

    The mean over all anchors of `max(0, d⁺ - d⁻ + margin)`, where d⁺ is the distance to the farthest positive, d⁻ to
    the nearest negative; with `soft`, of `log(1 + exp(d⁺ - d⁻))`. An anchor without positive has d⁺ = 0; one without
    negative has the row's largest distance as d⁻.

    Args:
        y_true: int `[B]` or `[B, 1]`, class labels.
        y_pred: float `[B, D]`, embeddings; float16 and bfloat16 are computed with in float32.
        margin: how much farther a negative shall be than a positive, in units of the distance.
        soft: softplus in place of the hinge; the margin is not used.
        distance_metric: `"L2"`, `"squared-L2"`, `"angular"`, or a function from `[B, D]` to `[B, B]`.

    Returns:
        Scalar in the data type of `y_pred`.

    Raises:
        ValueError: labels of another shape, or an unknown distance.

    >>> embeddings = ops.array([[0.0], [1.0], [3.0]])
    >>> float(triplet_hard_loss(ops.array([0, 0, 1]), embeddings, margin=1.5))  # (0 + 0.5 + 0) / 3
    0.1666666716337204
    """
    values = _hard_values(label_vector(y_true), y_pred, margin, soft, distance_metric)
    return ops.cast(ops.mean(values), y_pred.dtype)


def hard_distances(labels: Tensor, embeddings: Tensor, distance_metric: DistanceMetric) -> tuple[Tensor, Tensor]:
    """Distances d⁺ and d⁻, each `[B]`, of every anchor to its hardest positive and negative, with gradient."""
    if callable(distance_metric):
        return _hard_distances_of_matrix(labels, distance_metric(embeddings))
    positive, negative = hardest(labels, embeddings, distance_metric)
    return (
        distance_between(embeddings, ops.take(embeddings, positive, axis=0), distance_metric),
        distance_between(embeddings, ops.take(embeddings, negative, axis=0), distance_metric),
    )


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


class EmbeddingLoss(keras.losses.Loss):
    """A Keras loss of class labels and embeddings: one value an anchor, whose mean is the loss.

    Keras casts targets to the loss's data type, in which large labels become equal (16,777,216 and 16,777,217 in
    float32). Here labels stay as they are.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name, dtype="float32")
        self._reduced = _Values(reduction=self.reduction, dtype=self.dtype)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        with keras.name_scope(self.name):
            values = self.call(y_true, ops.convert_to_tensor(y_pred))
            return self._reduced(values, values, sample_weight)


class TripletHardLoss(EmbeddingLoss):
    """Batch-hard triplet loss: see `triplet_hard_loss`.

    Args:
        margin: how much farther a negative shall be than a positive, in units of the distance; not negative.
        soft: softplus in place of the hinge; the margin is not used.
        distance_metric: `"L2"`, `"squared-L2"`, `"angular"`, or a function from `[B, D]` to `[B, B]`.
        name: the loss's name in logs.

    Raises:
        ValueError: a negative margin or an unknown distance.

    >>> loss = TripletHardLoss(margin=1.5)
    >>> float(loss(ops.array([0, 0, 1]), ops.array([[0.0], [1.0], [3.0]])))
    0.1666666716337204
    """

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: DistanceMetric = "L2",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if margin < 0:
            raise ValueError(f"margin must not be negative. Received: {margin}")
        self.margin = margin
        self.soft = soft
        self.distance_metric = check_metric(distance_metric)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each anchor, float `[B]`."""
        return _hard_values(label_vector(y_true), y_pred, self.margin, self.soft, self.distance_metric)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "margin": self.margin,
            "soft": self.soft,
            "distance_metric": self.distance_metric,
            "name": self.name,
        }


class _Values(keras.losses.Loss):
    """Keras's own reduction, weights and scaling, of values that are losses already."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_pred


def _hard_values(
    labels: Tensor, embeddings: Tensor, margin: float, soft: bool, distance_metric: DistanceMetric
) -> Tensor:
    check_metric(distance_metric)
    if not str(embeddings.dtype).endswith("float64"):
        embeddings = ops.cast(embeddings, "float32")
    positive, negative = hard_distances(labels, embeddings, distance_metric)
    difference = positive - negative
    return ops.softplus(difference) if soft else ops.relu(difference + margin)


def _hard_distances_of_matrix(labels: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
    same = labels[:, None] == labels[None, :]
    rows = ops.arange(ops.shape(labels)[0])
    positive = ops.logical_and(same, rows[:, None] != rows[None, :])
    nearest = ops.min(distances, axis=1, keepdims=True)
    farthest = ops.max(distances, axis=1, keepdims=True)
    return (
        ops.max(ops.where(positive, distances, nearest), axis=1),
        ops.min(ops.where(same, farthest, distances), axis=1),
    )
