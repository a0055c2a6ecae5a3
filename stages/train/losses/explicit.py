"""The triplet loss of given triplets: anchor, positive and negative stand in the batch one after another."""

from typing import ClassVar

import keras
from keras import ops

from stages.train.distances import PACKAGE, Tensor, check_name, distance_between
from stages.train.losses.embedding_loss import (
    EmbeddingLoss,
    check_margin,
    embedding_rows,
    groups,
    hinge,
    hinge_at_a_point,
)


@keras.saving.register_keras_serializable(PACKAGE)
def triplet_loss(
    y_true: Tensor,  # noqa: ARG001  Keras gives it
    y_pred: Tensor,
    margin: float = 1.0,
    soft: bool = False,
    distance_metric: str = "L2",
    reduction: str = "mean",
) -> Tensor:
    """Triplet loss of given triplets (Schroff et al. 2015, arXiv 1503.03832, equation 3).

    The mean, or the sum, over all triplets of `max(0, d(a,p) - d(a,n) + margin)`; with `soft`, of
    `log(1 + exp(d(a,p) - d(a,n)))`.

    Args:
        y_true: not looked at, for the order of the rows tells all; there because Keras gives it.
        y_pred: float `[3N, D]`, embeddings of anchor, positive, negative, anchor, …; float16 and bfloat16 are computed
            with in float32.
        margin: how much farther a negative shall be than a positive, in units of the distance.
        soft: softplus in place of the hinge; the margin is not used.
        distance_metric: `"L2"`, `"squared-L2"` or `"angular"`.
        reduction: `"mean"` or `"sum"`.

    Returns:
        Scalar in the data type of `y_pred`.

    Raises:
        ValueError: a number of rows that three does not divide, an unknown distance or reduction.

    >>> float(triplet_loss(None, ops.array([[0.0], [2.0], [1.5], [0.0], [1.0], [9.0]])))  # (1.5 + 0) / 2
    0.75
    """
    reduce = ops.sum if _check_reduction(reduction) == "sum" else ops.mean
    return ops.cast(reduce(_values(y_pred, margin, soft, distance_metric)), ops.convert_to_tensor(y_pred).dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class TripletLoss(EmbeddingLoss):
    """Triplet loss of given triplets: see `triplet_loss`. Labels are not looked at: the order of the rows tells all.

    Args:
        margin: how much farther a negative shall be than a positive, in units of the distance; not negative.
        soft: softplus in place of the hinge; the margin is not used.
        distance_metric: `"L2"`, `"squared-L2"` or `"angular"`.
        reduction: `"mean"` over the triplets, or `"sum"`.
        name: the loss's name in logs.

    Raises:
        ValueError: a negative margin, an unknown distance or reduction.

    >>> loss = TripletLoss(reduction="sum")
    >>> float(loss(ops.zeros(3), ops.array([[0.0], [2.0], [1.5]])))
    1.5
    """

    layouts: ClassVar[tuple[str, ...]] = ("triplets",)
    group: ClassVar[int] = 3

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: str = "L2",
        reduction: str = "mean",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction=_check_reduction(reduction))
        self.margin = check_margin(margin)
        self.soft = soft
        self.distance_metric = check_name(distance_metric)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each triplet, float `[N]`."""
        return _values(y_pred, self.margin, self.soft, self.distance_metric)

    @property
    def collapsed(self) -> float:
        """The margin, or log 2 if soft: all distances are 0."""
        return hinge_at_a_point(self.margin, self.soft)


def _values(y_pred: Tensor, margin: float, soft: bool, metric: str) -> Tensor:
    anchor, positive, negative = groups(embedding_rows(y_pred), 3, "anchor, positive, negative, …")
    nearer = distance_between(anchor, positive, check_name(metric))
    return hinge(nearer - distance_between(anchor, negative, metric), margin, soft)


def _check_reduction(reduction: str) -> str:
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be mean or sum. Received: {reduction!r}")
    return reduction
