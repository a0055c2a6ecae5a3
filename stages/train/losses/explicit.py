"""The triplet loss of given triplets: anchor, positive and negative stand in the batch one after another."""

import math
from typing import Any, ClassVar

import keras
from keras import ops

from stages.train.distances import PACKAGE, Tensor, at_least_float32, check_name, distance_between
from stages.train.losses.embedding_loss import EmbeddingLoss, check_margin, check_rows, hinge


def triplet_loss(
    y_pred: Tensor, margin: float = 1.0, soft: bool = False, distance_metric: str = "L2", reduction: str = "mean"
) -> Tensor:
    """Triplet loss of given triplets (Schroff et al. 2015, arXiv 1503.03832, equation 3).

    The mean, or the sum, over all triplets of `max(0, d(a,p) - d(a,n) + margin)`; with `soft`, of
    `log(1 + exp(d(a,p) - d(a,n)))`.

    Args:
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

    >>> float(triplet_loss(ops.array([[0.0], [2.0], [1.5], [0.0], [1.0], [9.0]])))  # (1.5 + 0) / 2
    0.75
    """
    reduce = {"mean": ops.mean, "sum": ops.sum}.get(reduction)
    if reduce is None:
        raise ValueError(f"reduction must be mean or sum. Received: {reduction!r}")
    return ops.cast(reduce(_values(y_pred, margin, soft, distance_metric)), y_pred.dtype)


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

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: str = "L2",
        reduction: str = "mean",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        self.margin = check_margin(margin)
        self.soft = soft
        self.distance_metric = check_name(distance_metric)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each triplet, float `[N]`."""
        return _values(y_pred, self.margin, self.soft, self.distance_metric)

    @property
    def collapsed(self) -> float | None:
        """The margin, or log 2 if soft: all distances are 0. A sum depends on the number of triplets."""
        return None if self.reduction == "sum" else math.log(2) if self.soft else self.margin

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "margin": self.margin,
            "soft": self.soft,
            "distance_metric": self.distance_metric,
            "reduction": self.reduction,
            "name": self.name,
        }


def _values(embeddings: Tensor, margin: float, soft: bool, distance_metric: str) -> Tensor:
    check_rows(embeddings, 3, "anchor, positive, negative, …")
    rows = at_least_float32(embeddings)
    anchor, positive, negative = rows[0::3], rows[1::3], rows[2::3]
    nearer = distance_between(anchor, positive, check_name(distance_metric))
    return hinge(nearer - distance_between(anchor, negative, distance_metric), margin, soft)
