"""Distances between embeddings: all pairs of a batch, and chosen pairs of rows."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any
"""A tensor of Keras's current backend."""

DistanceMetric = str | Callable[[Tensor], Tensor]
"""`"L2"`, `"squared-L2"`, `"angular"`, or a function from embeddings `[B, D]` to distances `[B, B]`."""

PACKAGE = "triplet_workflow"
"""Under which Keras knows the losses and distances, so that a model that was compiled with one loads as it is."""

ROUNDING = 1e-14
"""Of the longest row's square; a square that is a product of float64 may be off by so much."""

NAMES = ("L2", "squared-L2", "angular")


@keras.saving.register_keras_serializable(PACKAGE)
def pairwise_distance(feature: Tensor, squared: bool = False) -> Tensor:
    """Euclidean distances between all rows.

    Args:
        feature: float `[B, D]`.
        squared: return the squares.

    Returns:
        `[B, B]` in the data type of `feature`, not negative, the diagonal exactly 0. The gradient at distance 0 is 0.
        Computed in float64; on JAX, which has none, small distances between long rows lose digits.

    >>> [[float(d) for d in row] for row in pairwise_distance(ops.array([[0.0, 0.0], [3.0, 4.0]]))]
    [[0.0, 5.0], [5.0, 0.0]]
    """
    feature = ops.convert_to_tensor(feature)
    rows = at_least_float32(feature)
    unit, inverse = (1.0, 1.0) if squared else unit_of(rows)
    squares = _squares_of_all(rows, inverse)
    return ops.cast(squares if squared else unit * _root(squares), feature.dtype)


@keras.saving.register_keras_serializable(PACKAGE)
def angular_distance(feature: Tensor) -> Tensor:
    """One minus the cosine between all rows, not below 0. A row of zeros is at distance 1 from every row.

    Args:
        feature: float `[B, D]`.

    Returns:
        `[B, B]` in the data type of `feature`.
    """
    feature = ops.convert_to_tensor(feature)
    rows = normalize(at_least_float32(feature))
    missing = ops.all(rows == 0.0, axis=1)
    missing = ops.logical_or(missing[:, None], missing[None, :])
    return ops.cast(ops.where(missing, 1.0, 0.5 * _squares_of_all(rows, 1.0)), feature.dtype)


def distance_between(left: Tensor, right: Tensor, metric: str) -> Tensor:
    """Distance of each row of `left` to the same row of `right`, from their difference, so without cancellation.

    Args:
        left: float `[N, D]`.
        right: float `[N, D]`.
        metric: one of `NAMES`.

    Returns:
        `[N]`. The gradient at distance 0 is 0.
    """
    if metric == "angular":
        left, right = normalize(left), normalize(right)
    unit, inverse = unit_of(left - right)
    squares = _squares(left, right, left - right, metric, inverse)
    return unit * _root(squares) if metric == "L2" else squares


def distances_to_chosen(embeddings: Tensor, chosen: Tensor, metric: str) -> Tensor:
    """Distances of each row to some others, from their differences.

    Args:
        embeddings: float `[B, D]`.
        chosen: int32 `[n, B]`, row numbers.
        metric: one of `NAMES`.

    Returns:
        `[n, B]`. The gradient at distance 0 is 0.
    """

    # The gradient is written out, for in a small batch the one that is derived of each step takes a third longer.
    @ops.custom_gradient
    def to_chosen(rows: Tensor) -> Any:
        left, right = rows[None, :, :], ops.take(rows, chosen, axis=0)
        differences = left - right
        unit, inverse = unit_of(rows)
        distances = _squares(left, right, differences, metric, inverse)
        if metric == "L2":
            distances = unit * ops.sqrt(distances)

        def backward(*arguments: Tensor, upstream: Tensor | None = None) -> Tensor:
            # PyTorch hands over the upstream gradient by name.
            slopes = arguments[0] if upstream is None else upstream
            moved = slopes_in_differences(slopes, distances, metric)[:, :, None] * differences
            size, dimensions = ops.shape(rows)
            of_chosen = ops.segment_sum(ops.reshape(moved, (-1, dimensions)), ops.reshape(chosen, (-1,)), size)
            return ops.sum(moved, axis=0) - of_chosen

        return distances, backward

    return to_chosen(normalize(embeddings) if metric == "angular" else embeddings)


def slopes_in_differences(slopes: Tensor, distances: Tensor, metric: str) -> Tensor:
    """What differences of rows are to be multiplied by for the gradient of a value with these slopes in distances."""
    if metric == "L2":
        return ops.divide_no_nan(slopes, distances)
    return 2.0 * slopes if metric == "squared-L2" else slopes


def check_metric(metric: DistanceMetric) -> DistanceMetric:
    """Return `metric`.

    Raises:
        ValueError: it is neither one of `NAMES` nor callable.
    """
    if callable(metric) or metric in NAMES:
        return metric
    raise ValueError(f"distance_metric must be one of {', '.join(NAMES)} or a function. Received: {metric!r}")


def check_name(metric: str) -> str:
    """Return `metric`.

    Raises:
        ValueError: it is not one of `NAMES`.
    """
    if metric in NAMES:
        return metric
    raise ValueError(f"distance_metric must be one of {', '.join(NAMES)}. Received: {metric!r}")


def normalize(rows: Tensor) -> Tensor:
    """Rows of length 1; a row of zeros stays, with gradient 0."""
    rows = ops.divide_no_nan(rows, ops.stop_gradient(ops.max(ops.absolute(rows), axis=-1, keepdims=True)))
    return ops.divide_no_nan(rows, _root(ops.sum(ops.square(rows), axis=-1, keepdims=True)))


def unit_of(values: Tensor) -> tuple[Tensor, Tensor]:
    """The largest absolute value, and its inverse: measured by it, squares of very long rows fit into the data type."""
    largest = ops.stop_gradient(ops.max(ops.absolute(values)))
    return largest, ops.divide_no_nan(1.0, largest)


def at_least_float32(rows: Tensor) -> Tensor:
    """float64 as it is, all else as float32."""
    return rows if is_float64(rows) else ops.cast(rows, "float32")


def has_float64() -> bool:
    """Whether the backend computes in float64 if asked to."""
    return keras.backend.backend() != "jax"


def is_float64(values: Tensor) -> bool:
    """Whether the data type is float64, whatever the backend calls it."""
    return keras.backend.standardize_dtype(values.dtype) == "float64"


def _squares_of_all(rows: Tensor, inverse: Tensor) -> Tensor:
    """Squared distances `[B, B]` in the unit that has this inverse; those that may be rounding alone are 0."""
    wide = ops.cast(rows, "float64") if has_float64() else rows
    # Distances do not change when all rows are moved; near the origin the products lose fewer digits.
    wide = ops.cast(inverse, wide.dtype) * (wide - ops.stop_gradient(ops.mean(wide, axis=0, keepdims=True)))
    norms = ops.sum(ops.square(wide), axis=1)
    squares = norms[:, None] + norms[None, :] - 2.0 * ops.matmul(wide, ops.transpose(wide))
    off_diagonal = 1.0 - ops.eye(ops.shape(rows)[0], dtype=squares.dtype)
    least = (ROUNDING if has_float64() else 0.0) * ops.stop_gradient(ops.max(norms))
    return ops.cast(off_diagonal * ops.where(squares <= least, 0.0, squares), rows.dtype)


def _squares(left: Tensor, right: Tensor, differences: Tensor, metric: str, inverse: Tensor) -> Tensor:
    """The distances, those of `"L2"` squared and in the unit that has this inverse."""
    if metric == "L2":
        return ops.sum(ops.square(inverse * differences), axis=-1)
    squares = ops.sum(ops.square(differences), axis=-1)
    if metric == "squared-L2":
        return squares
    # Half the square is 1 - cos, without its cancellation, unless a row has no direction.
    missing = ops.logical_or(ops.all(left == 0.0, axis=-1), ops.all(right == 0.0, axis=-1))
    return ops.where(missing, 1.0, 0.5 * squares)


def _root(squares: Tensor) -> Tensor:
    # Masked inside and outside: the root's slope at 0 is infinite, and infinity times 0 would be NaN.
    zero = squares <= 0.0  # and not NaN
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, squares)))
