"""Batch-hard: of each anchor the farthest positive and the nearest negative."""

import keras
from keras import ops

from stages.train.distances import (
    PACKAGE,
    DistanceMetric,
    Tensor,
    check_metric,
    distances_to_chosen,
)
from stages.train.losses.embedding_loss import EmbeddingLoss, check_margin, hinge, hinge_at_a_point, labels_and_rows
from stages.train.mining import hardest


@keras.saving.register_keras_serializable(PACKAGE)
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
    negative has the row's largest distance as d⁻. (A function as distance: d⁺ is then the row's smallest distance.) The
    rows are chosen by a product in float32, which may confuse distances that differ by less than its rounding, a few
    millionths of the longest row's square; their distances are then computed from differences.

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
    values = _values(y_true, y_pred, margin, soft, distance_metric)
    return ops.cast(ops.mean(values), ops.convert_to_tensor(y_pred).dtype)


def hard_distances(labels: Tensor, embeddings: Tensor, distance_metric: DistanceMetric) -> tuple[Tensor, Tensor]:
    """Distances d⁺ and d⁻, each `[B]`, of every anchor to its hardest positive and negative, with gradient."""
    if callable(distance_metric):
        return _hard_distances_of_matrix(labels, distance_metric(embeddings))
    distances = distances_to_chosen(embeddings, hardest(labels, embeddings, distance_metric), distance_metric)
    return distances[0], distances[1]


@keras.saving.register_keras_serializable(PACKAGE)
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
        self.margin = check_margin(margin)
        self.soft = soft
        self.distance_metric = check_metric(distance_metric)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each anchor, float `[B]`."""
        return _values(y_true, y_pred, self.margin, self.soft, self.distance_metric)

    @property
    def collapsed(self) -> float:
        """The margin, or log 2 if soft: all distances are 0."""
        return hinge_at_a_point(self.margin, self.soft)


def _values(y_true: Tensor, y_pred: Tensor, margin: float, soft: bool, metric: DistanceMetric) -> Tensor:
    positive, negative = hard_distances(*labels_and_rows(y_true, y_pred), check_metric(metric))
    return hinge(positive - negative, margin, soft)


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
