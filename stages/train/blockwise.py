"""Losses over all positive pairs of a batch, block of anchors by block of anchors.

Neither all triplets of the batch nor, in a large one, all its distances are ever held at once, and none lives into the
backward pass: the gradient is found together with the values, from the slope of each value in each distance.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from stages.train.all_pairs import AllPairs, Block
from stages.train.distances import DistanceMetric, Tensor, normalize

POSITIVES_AT_ONCE = 8  # of each anchor in a block


class Positives(NamedTuple):
    """Some positives of each anchor of a block.

    Attributes:
        columns: int32 `[R, C]`, their rows in the batch.
        there: bool `[R, C]`; in a place without a positive the other attributes mean nothing.
        distances: float `[R, C]`, from the anchor.
    """

    columns: Tensor
    there: Tensor
    distances: Tensor


class Part(NamedTuple):
    """What some positives of each anchor of a block add to its loss.

    Attributes:
        sums: float `[R]`, sum of the losses.
        counts: float `[R]`, how many losses the sum is to be divided by.
        slopes: float `[R, B]`, of the sum in the distance to each row.
    """

    sums: Tensor
    counts: Tensor
    slopes: Tensor


Rule = Callable[[Tensor, Tensor, Positives], Part]
"""A loss: from distances float `[R, B]`, not negative, negatives bool `[R, B]` and some positives to what these add."""


def over_positive_pairs(
    labels: Tensor, embeddings: Tensor, metric: DistanceMetric, rule: Rule
) -> tuple[Tensor, Tensor]:
    """The sum and the count of a loss over the positives of each anchor.

    Args:
        labels: `[B]`.
        embeddings: float32 or float64 `[B, D]`.
        metric: the distance.
        rule: the loss.

    Returns:
        Sums float `[B]`, with gradient in the embeddings, and counts float `[B]`, without.
    """
    batch = _Batch(labels)
    if callable(metric):
        return _of_matrix(batch, metric(embeddings), rule)

    @ops.custom_gradient
    def sums_and_counts(embeddings: Tensor) -> Any:
        pairs = AllPairs(embeddings, metric)
        result, gradient = _sweep(batch, pairs, rule, None)

        def backward(*arguments: Tensor, upstream: Tensor | None = None) -> Tensor:
            # PyTorch hands over the upstream gradient by name.
            weights = (arguments[0] if upstream is None else upstream)[:, 0]
            # Without sample weights all anchors weigh the same; with them the sum over the anchors is another one.
            return ops.cond(
                ops.all(weights == weights[0]),
                lambda: gradient * weights[0],
                lambda: _sweep(batch, pairs, rule, weights)[1],
            )

        return result, backward

    # Normalised out here, so that the slope of the length is Keras's to find.
    result = sums_and_counts(normalize(embeddings) if metric == "angular" else embeddings)
    return result[:, 0], ops.stop_gradient(result[:, 1])


def averaged(sums: Tensor, counts: Tensor) -> Tensor:
    """Values `[B]` whose mean is the sum of `sums` over that of `counts`; 0 where there is nothing to count."""
    mean = ops.mean(counts)
    # Not `divide_no_nan`: the sum may be NaN where nothing is counted.
    return sums / ops.where(mean > 0.0, mean, 1.0)


def picked(matrix: Tensor, columns: Tensor) -> Tensor:
    """Of each row of `[R, B]` the values in columns int32 `[R, C]`."""
    return ops.take(ops.reshape(matrix, (-1,)), _places(columns, matrix), axis=0)


def spread(columns: Tensor, values: Tensor, like: Tensor) -> Tensor:
    """A matrix shaped as `like`, `[R, B]`: values float `[R, C]` in columns int32 `[R, C]`, summed in each place."""
    flat = ops.segment_sum(
        ops.reshape(values, (-1,)), ops.reshape(_places(columns, like), (-1,)), ops.shape(like)[0] * ops.shape(like)[1]
    )
    return ops.reshape(flat, ops.shape(like))


def _places(columns: Tensor, matrix: Tensor) -> Tensor:
    """Where the columns of each row stand when the matrix is one row."""
    rows, width = ops.shape(matrix)[0], ops.shape(matrix)[1]
    return columns + width * ops.arange(rows, dtype="int32")[:, None]


class _Batch:
    """Where the rows of each class stand, so that positives are found without looking at all rows."""

    def __init__(self, labels: Tensor) -> None:
        self.labels, self.size = labels, ops.shape(labels)[0]
        self.rows = ops.arange(self.size, dtype="int32")
        self.by_class = ops.cast(ops.argsort(labels), "int32")
        ordered = ops.take(labels, self.by_class, axis=0)
        self.begin = ops.cast(ops.searchsorted(ordered, labels, side="left"), "int32")
        self.end = ops.cast(ops.searchsorted(ordered, labels, side="right"), "int32")
        self.largest_class = ops.max(self.end - self.begin)

    def positives(self, block: Block, first: Any, distances: Tensor) -> Positives:
        """Of each anchor's class the members from number `first` on, without the anchor itself."""
        places = first + ops.arange(POSITIVES_AT_ONCE, dtype="int32")[None, :]
        places = places + block.rows(self.begin)[:, None]
        columns = ops.take(self.by_class, ops.minimum(places, self.size - 1), axis=0)
        members = places < block.rows(self.end)[:, None]
        there = ops.logical_and(members, columns != block.rows(self.rows)[:, None])
        return Positives(columns, there, picked(distances, columns))


def _of_matrix(batch: _Batch, distances: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    fixed = ops.stop_gradient(distances)
    # Losses are of differences, so distances below 0, which a function may give, can all be raised by as much.
    raised = fixed - ops.minimum(ops.min(fixed), 0.0)
    part = _part(batch, Block(batch.size), raised, rule)
    return part.sums + ops.sum(part.slopes * (distances - fixed), axis=1), part.counts


def _sweep(batch: _Batch, pairs: AllPairs, rule: Rule, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Sums and counts `[B, 2]` of all anchors, and the gradient `[B, D]` of the sums' sum, each times its weight."""

    def of_block(block: Block) -> list[Tensor]:
        distances = pairs.distances(block)
        part = _part(batch, block, distances, rule)
        slopes = block.once(part.slopes)
        if weights is not None:
            slopes = slopes * block.rows(weights)[:, None]
        result = block.placed(block.once(ops.stack([part.sums, part.counts], axis=1)))
        return [result, pairs.gradient(block, distances, slopes)]

    result, gradient = pairs.over_blocks(of_block)
    return result, gradient


def _part(batch: _Batch, block: Block, distances: Tensor, rule: Rule) -> Part:
    """The rule over all positives of the anchors, some at a time."""
    negatives = block.rows(batch.labels)[:, None] != batch.labels[None, :]

    def of_some(first: Any) -> Part:
        return rule(distances, negatives, batch.positives(block, first, distances))

    def step(first: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
        return first + POSITIVES_AT_ONCE, *(one + other for one, other in zip(sums, of_some(first), strict=True))

    start = ops.convert_to_tensor(POSITIVES_AT_ONCE, "int32")
    return Part(*ops.while_loop(lambda first, *_: first < batch.largest_class, step, (start, *of_some(0)))[1:])
