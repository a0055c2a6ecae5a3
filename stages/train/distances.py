"""Distances between embeddings: all pairs of a batch, and chosen pairs of rows."""

from collections.abc import Callable
from typing import Any

from keras import ops

Tensor = Any
"""A tensor of Keras's current backend."""

DistanceMetric = str | Callable[[Tensor], Tensor]
"""`"L2"`, `"squared-L2"`, `"angular"`, or a function from embeddings `[B, D]` to distances `[B, B]`."""

NAMES = ("L2", "squared-L2", "angular")


def pairwise_distance(feature: Tensor, squared: bool = False) -> Tensor:
    """Euclidean distances between all rows.

    Args:
        feature: float `[B, D]`.
        squared: return the squares.

    Returns:
        `[B, B]` in the data type of `feature`, not negative, the diagonal exactly 0. The gradient at distance 0 is 0.

    >>> [[float(d) for d in row] for row in pairwise_distance(ops.array([[0.0, 0.0], [3.0, 4.0]]))]
    [[0.0, 5.0], [5.0, 0.0]]
    """
    rows = _at_least_float32(feature)
    # Distances do not change when all rows are moved; near the origin the products below lose fewer digits.
    rows = rows - ops.stop_gradient(ops.mean(rows, axis=0, keepdims=True))
    norms = ops.sum(ops.square(rows), axis=1)
    squares = ops.maximum(norms[:, None] + norms[None, :] - 2.0 * ops.matmul(rows, ops.transpose(rows)), 0.0)
    off_diagonal = 1.0 - ops.eye(ops.shape(rows)[0], dtype=squares.dtype)
    distances = squares if squared else _root(squares)
    return ops.cast(distances * off_diagonal, feature.dtype)


def angular_distance(feature: Tensor) -> Tensor:
    """One minus the cosine between all rows, not below 0. A row of zeros is at distance 1 from every row.

    Args:
        feature: float `[B, D]`.

    Returns:
        `[B, B]` in the data type of `feature`; the diagonal is 0 up to rounding.
    """
    rows = normalize(_at_least_float32(feature))
    return ops.cast(ops.maximum(1.0 - ops.matmul(rows, ops.transpose(rows)), 0.0), feature.dtype)


def distance_between(left: Tensor, right: Tensor, metric: str) -> Tensor:
    """Distance of each row of `left` to the same row of `right`, from their difference, so without cancellation.

    Args:
        left: float `[B, D]`.
        right: float `[B, D]`.
        metric: one of `NAMES`.

    Returns:
        `[B]`. The gradient at distance 0 is 0.
    """
    if metric == "angular":
        return ops.maximum(1.0 - ops.sum(normalize(left) * normalize(right), axis=1), 0.0)
    squares = ops.sum(ops.square(left - right), axis=1)
    return squares if metric == "squared-L2" else _root(squares)


def order_keys(embeddings: Tensor, metric: str) -> Tensor:
    """A matrix `[B, B]` whose rows are ordered as the distances from that row's embedding are, for selection only.

    One product of matrices and no root: the squared distance less a constant of the row (angular: less 1).
    """
    if metric == "angular":
        rows = normalize(embeddings)
        return -ops.matmul(rows, ops.transpose(rows))
    rows = embeddings - ops.mean(embeddings, axis=0, keepdims=True)
    return ops.sum(ops.square(rows), axis=1)[None, :] - 2.0 * ops.matmul(rows, ops.transpose(rows))


def check_metric(metric: DistanceMetric) -> DistanceMetric:
    """Return `metric`.

    Raises:
        ValueError: it is neither one of `NAMES` nor callable.
    """
    if callable(metric) or metric in NAMES:
        return metric
    raise ValueError(f"distance_metric must be one of {', '.join(NAMES)} or a function. Received: {metric!r}")


def normalize(rows: Tensor) -> Tensor:
    """Rows of length 1; a row of zeros stays, with gradient 0."""
    return ops.divide_no_nan(rows, _root(ops.sum(ops.square(rows), axis=1, keepdims=True)))


def _root(squares: Tensor) -> Tensor:
    # Masked inside and outside: the root's slope at 0 is infinite, and infinity times 0 would be NaN.
    positive = squares > 0.0
    return ops.where(positive, ops.sqrt(ops.where(positive, squares, 1.0)), 0.0)


def _at_least_float32(rows: Tensor) -> Tensor:
    return rows if str(rows.dtype).endswith("float64") else ops.cast(rows, "float32")
