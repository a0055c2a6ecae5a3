"""Batch-all: every triplet of the batch, as a rule averaged over those that still cost something."""

import keras
from keras import ops

from stages.train.blockwise import Part, Positives, Rule, averaged, over_positive_pairs, spread
from stages.train.distances import PACKAGE, DistanceMetric, Tensor, check_metric
from stages.train.losses.embedding_loss import EmbeddingLoss, check_margin, hinge, hinge_at_a_point, labels_and_rows

AVERAGES = ("positive", "valid")
"""Over which triplets the mean goes: those with a loss above 0, or all."""


@keras.saving.register_keras_serializable(PACKAGE)
def triplet_batch_all_loss(
    y_true: Tensor,
    y_pred: Tensor,
    margin: float = 1.0,
    soft: bool = False,
    distance_metric: DistanceMetric = "L2",
    average_over: str = "positive",
) -> Tensor:
    """Batch-all triplet loss (Hermans et al. 2017, arXiv 1703.07737, equation 6).

    `max(0, d(a,p) - d(a,n) + margin)` of every anchor a, positive p and negative n of the batch; with `soft`,
    `log(1 + exp(d(a,p) - d(a,n)))`. The mean over those above 0 (the paper's `BA≠0`), or over all; 0 without triplets.
    A soft loss is always above 0.

    Args:
        y_true: int `[B]` or `[B, 1]`, class labels.
        y_pred: float `[B, D]`, embeddings; float16 and bfloat16 are computed with in float32.
        margin: how much farther a negative shall be than a positive, in units of the distance.
        soft: softplus in place of the hinge; the margin is not used.
        distance_metric: `"L2"`, `"squared-L2"`, `"angular"`, or a function from `[B, D]` to `[B, B]`.
        average_over: one of `AVERAGES`.

    Returns:
        Scalar in the data type of `y_pred`.

    Raises:
        ValueError: labels of another shape, an unknown distance or average.

    >>> embeddings = ops.array([[0.0], [1.0], [1.5], [4.0]])
    >>> float(triplet_batch_all_loss(ops.array([0, 0, 1, 1]), embeddings))  # (0.5 + 1.5 + 2 + 3 + 0.5) / 5
    1.5
    """
    values = _values(y_true, y_pred, margin, soft, distance_metric, _check_average(average_over))
    return ops.cast(ops.mean(values), ops.convert_to_tensor(y_pred).dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class TripletBatchAllLoss(EmbeddingLoss):
    """Batch-all triplet loss: see `triplet_batch_all_loss`.

    Args:
        margin: how much farther a negative shall be than a positive, in units of the distance; not negative.
        soft: softplus in place of the hinge; the margin is not used.
        distance_metric: `"L2"`, `"squared-L2"`, `"angular"`, or a function from `[B, D]` to `[B, B]`.
        average_over: `"positive"`: triplets with a loss above 0; `"valid"`: all triplets.
        name: the loss's name in logs.

    Raises:
        ValueError: a negative margin, an unknown distance or average.

    >>> loss = TripletBatchAllLoss()
    >>> float(loss(ops.array([0, 0, 1, 1]), ops.array([[0.0], [1.0], [1.5], [4.0]])))
    1.5
    """

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: DistanceMetric = "L2",
        average_over: str = "positive",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.margin = check_margin(margin)
        self.soft = soft
        self.distance_metric = check_metric(distance_metric)
        self.average_over = _check_average(average_over)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Float `[B]`: of each anchor the sum over its triplets, times B, over the number of triplets in the mean."""
        return _values(y_true, y_pred, self.margin, self.soft, self.distance_metric, self.average_over)

    @property
    def collapsed(self) -> float:
        """The margin, or log 2 if soft: all distances are 0."""
        return hinge_at_a_point(self.margin, self.soft)


def _values(
    y_true: Tensor, y_pred: Tensor, margin: float, soft: bool, metric: DistanceMetric, average_over: str
) -> Tensor:
    rule = _rule(margin, soft, average_over)
    return averaged(*over_positive_pairs(*labels_and_rows(y_true, y_pred), check_metric(metric), rule))


def _rule(margin: float, soft: bool, average_over: str) -> Rule:
    def rule(distances: Tensor, negatives: Tensor, positives: Positives) -> Part:
        # Infinite where there is no triplet, so that it costs nothing.
        near = ops.where(positives.there, positives.distances, -float("inf"))
        far = ops.where(negatives, distances, float("inf"))
        differences = near[:, :, None] - far[:, None, :]
        values = hinge(differences, margin, soft)
        slopes = ops.sigmoid(differences) if soft else ops.cast(values > 0.0, distances.dtype)
        # A soft loss is above 0 by definition, if not always in float32.
        if soft or average_over == "valid":
            of_anchor = ops.sum(ops.cast(negatives, distances.dtype), axis=1)
            counts = of_anchor * ops.sum(ops.cast(positives.there, distances.dtype), axis=1)
        else:
            counts = ops.sum(ops.cast(values > 0.0, distances.dtype), axis=(1, 2))
        return Part(
            sums=ops.sum(values, axis=(1, 2)),
            counts=counts,
            slopes=spread(positives.columns, ops.sum(slopes, axis=2), distances) - ops.sum(slopes, axis=1),
        )

    return rule


def _check_average(average_over: str) -> str:
    if average_over not in AVERAGES:
        raise ValueError(f"average_over must be one of {', '.join(AVERAGES)}. Received: {average_over!r}")
    return average_over
