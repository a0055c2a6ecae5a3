"""Choosing which triplets of a batch count, by index and without gradient."""

from keras import ops

from stages.train.distances import Tensor, order_keys


def hardest(labels: Tensor, embeddings: Tensor, metric: str) -> tuple[Tensor, Tensor]:
    """The farthest positive and the nearest negative of each anchor (Hermans et al. 2017, arXiv 1703.07737).

    Args:
        labels: int `[B]`.
        embeddings: float `[B, D]`.
        metric: a name of `distances.NAMES`.

    Returns:
        Two int32 `[B]` of row numbers. Where an anchor has no positive, its own; where it has no negative, the
        farthest row's.
    """
    keys = order_keys(ops.stop_gradient(embeddings), metric)
    same = labels[:, None] == labels[None, :]
    rows = ops.arange(ops.shape(labels)[0], dtype="int32")
    itself = rows[:, None] == rows[None, :]
    positive = ops.logical_and(same, ops.logical_not(itself))
    infinity = ops.cast(float("inf"), keys.dtype)
    farthest_positive = ops.argmax(ops.where(positive, keys, -infinity), axis=1)
    nearest_negative = ops.argmin(ops.where(same, infinity, keys), axis=1)
    return (
        ops.where(ops.any(positive, axis=1), ops.cast(farthest_positive, "int32"), rows),
        ops.cast(ops.where(ops.all(same, axis=1), ops.argmax(keys, axis=1), nearest_negative), "int32"),
    )
