"""Semi-hard: of each positive pair the nearest negative that is farther than the positive."""

import keras
from keras import ops

from stages.train.blockwise import Part, Positives, Rule, averaged, over_positive_pairs, picked, spread
from stages.train.distances import PACKAGE, DistanceMetric, Tensor, check_metric
from stages.train.losses.embedding_loss import EmbeddingLoss, check_margin, hinge, labels_and_rows
from stages.train.mining import largest, smallest


@keras.saving.register_keras_serializable(PACKAGE)
def triplet_semihard_loss(
    y_true: Tensor, y_pred: Tensor, margin: float = 1.0, distance_metric: DistanceMetric = "L2"
) -> Tensor:
    """Triplet loss with semi-hard negatives (Schroff et al. 2015, arXiv 1503.03832, section 3.2).

    The mean over all ordered pairs of an anchor a and a positive p, easy ones included, of
    `max(0, d(a,p) - d(a,n) + margin)`, where n is the nearest negative with d(a,n) > d(a,p), be it within the margin or
    not, and the farthest negative if none is so far. In a batch of one class n is the row nearest to the anchor: the
    anchor itself. Without any positive pair the loss is 0.

    Args:
        y_true: int `[B]` or `[B, 1]`, class labels.
        y_pred: float `[B, D]`, embeddings; float16 and bfloat16 are computed with in float32.
        margin: how much farther a negative shall be than a positive, in units of the distance.
        distance_metric: `"L2"`, `"squared-L2"`, `"angular"`, or a function from `[B, D]` to `[B, B]`.

    Returns:
        Scalar in the data type of `y_pred`.

    Raises:
        ValueError: labels of another shape, or an unknown distance.

    >>> embeddings = ops.array([[0.0], [1.0], [1.5], [4.0]])
    >>> float(triplet_semihard_loss(ops.array([0, 0, 1, 1]), embeddings))  # (0.5 + 0 + 2 + 0.5) / 4
    0.75
    """
    values = _values(y_true, y_pred, margin, distance_metric)
    return ops.cast(ops.mean(values), ops.convert_to_tensor(y_pred).dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class TripletSemiHardLoss(EmbeddingLoss):
    """Triplet loss with semi-hard negatives: see `triplet_semihard_loss`.

    Args:
        margin: how much farther a negative shall be than a positive, in units of the distance; not negative.
        distance_metric: `"L2"`, `"squared-L2"`, `"angular"`, or a function from `[B, D]` to `[B, B]`.
        name: the loss's name in logs.

    Raises:
        ValueError: a negative margin or an unknown distance.

    >>> loss = TripletSemiHardLoss()
    >>> float(loss(ops.array([0, 0, 1, 1]), ops.array([[0.0], [1.0], [1.5], [4.0]])))
    0.75
    """

    def __init__(self, margin: float = 1.0, distance_metric: DistanceMetric = "L2", name: str | None = None) -> None:
        super().__init__(name=name)
        self.margin = check_margin(margin)
        self.distance_metric = check_metric(distance_metric)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Float `[B]`: of each anchor the sum over its positives, times B, over the number of positive pairs."""
        return _values(y_true, y_pred, self.margin, self.distance_metric)

    @property
    def collapsed(self) -> float:
        """The margin: all distances are 0."""
        return self.margin


def _values(y_true: Tensor, y_pred: Tensor, margin: float, metric: DistanceMetric) -> Tensor:
    return averaged(*over_positive_pairs(*labels_and_rows(y_true, y_pred), check_metric(metric), _rule(margin)))


def _rule(margin: float) -> Rule:
    def rule(distances: Tensor, negatives: Tensor, positives: Positives) -> Part:
        nearest = _nearest_beyond(positives.distances, distances, negatives)
        found = ops.logical_and(picked(negatives, nearest), picked(distances, nearest) > positives.distances)
        chosen = ops.where(found, nearest, _farthest_negative(distances, negatives)[:, None])
        values = hinge(positives.distances - picked(distances, chosen), margin, soft=False)
        values = ops.where(positives.there, values, 0.0)
        active = ops.cast(values > 0.0, distances.dtype)
        columns = ops.concatenate([positives.columns, chosen], axis=1)
        return Part(
            sums=ops.sum(values, axis=1),
            counts=ops.sum(ops.cast(positives.there, distances.dtype), axis=1),
            slopes=spread(columns, ops.concatenate([active, -active], axis=1), distances),
        )

    return rule


def _nearest_beyond(limits: Tensor, distances: Tensor, negatives: Tensor) -> Tensor:
    """For each limit `[R, C]` the nearest negative, int32 `[R, C]`, that is farther; any row if there is none."""
    distances = ops.where(negatives, distances, float("inf"))[:, None, :]
    return smallest(ops.where(distances > limits[:, :, None], distances, float("inf")))


def _farthest_negative(distances: Tensor, negatives: Tensor) -> Tensor:
    """Of each anchor, int32 `[R]`; the nearest row if no row is a negative, as TensorFlow Addons has it."""
    # One anchor has no negative only if none has: its class is the whole batch.
    return ops.cond(
        ops.any(negatives),
        lambda: largest(ops.where(negatives, distances, -1.0)),
        lambda: smallest(distances),
    )
