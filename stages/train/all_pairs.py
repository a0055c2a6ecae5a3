"""Distances from some rows of a batch to all of them, and the gradient of what is made of such distances."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from stages.train.distances import ROUNDING, Tensor, has_float64, is_float64, slopes_in_differences, unit_of

_DISTANCES_AT_ONCE = 2**19  # small enough for the processor's caches, large enough to be worth the calls
_COORDINATES_AT_ONCE = 2**24  # of differences between rows, where those are summed


class Block:
    """Some rows of a batch, as anchors.

    Args:
        size: B, of the batch.
        anchors: int32 `[R]`; None for all rows in their order.
        fresh: bool `[R]`, False for anchors that another block has already.
    """

    def __init__(self, size: Any, anchors: Tensor | None = None, fresh: Tensor | None = None) -> None:
        self.size, self.anchors, self.fresh = size, anchors, fresh

    def rows(self, values: Tensor) -> Tensor:
        """Of values `[B, …]` those of the anchors, `[R, …]`."""
        return values if self.anchors is None else ops.take(values, self.anchors, axis=0)

    def once(self, values: Tensor) -> Tensor:
        """Values `[R]` or `[R, n]`, 0 for anchors that another block has."""
        if self.fresh is None:
            return values
        return ops.where(self.fresh if len(values.shape) == 1 else self.fresh[:, None], values, 0)

    def placed(self, values: Tensor) -> Tensor:
        """Values `[R]` or `[R, n]` at their places in the batch, `[B]` or `[B, n]`, 0 elsewhere."""
        return values if self.anchors is None else ops.segment_sum(values, self.anchors, self.size)


class AllPairs:
    """The rows of a batch, made ready for distances from any of them to all.

    `|a|² + |b|² - 2ab` is one product of matrices for all pairs, but in float32 a small distance between long rows
    drowns in it. In float64 it keeps all digits that float32 can show. Where there is no float64 (JAX), or the rows are
    of it themselves, squared differences are summed: XLA does that without writing the differences out.

    Args:
        rows: float32 or float64 `[B, D]`, the embeddings; normalised ones for `"angular"`.
        metric: a name of `distances.NAMES`.
        exact: False for the product in the rows' own type, which takes half the time and is good enough to choose by.

    Attributes:
        size: B, an int where it is known, else a tensor.
    """

    def __init__(self, rows: Tensor, metric: str, exact: bool = True) -> None:
        self._rows, self._metric = rows, metric
        self.size = ops.shape(rows)[0]
        self._is_wide = exact and has_float64() and not is_float64(rows)
        self._by_product = self._is_wide or not exact
        wide = ops.cast(rows, "float64") if self._is_wide else rows
        # Distances do not change when all rows are moved.
        self._centred = wide - ops.mean(wide, axis=0, keepdims=True)
        unit, inverse = _plain_unit_of(self._centred) if exact else unit_of(self._centred)
        self._unit, self._inverse = ops.cast(unit, rows.dtype), ops.cast(inverse, rows.dtype)
        if self._by_product:
            self._prepare_product(inverse * self._centred)

    def distances(self, block: Block) -> Tensor:
        """Distances `[R, B]` from the block's anchors, in the rows' data type; 0 between equal rows."""
        squares = self.squares(block)
        if self._metric == "L2":
            return self._unit * ops.sqrt(squares)
        return ops.square(self._unit) * (0.5 * squares if self._metric == "angular" else squares)

    def squares(self, block: Block) -> Tensor:
        """What is ordered as the distances are, not negative, `[R, B]`: their squares in a unit of this batch."""
        if self._by_product:
            squares = ops.cast(ops.matmul(block.rows(self._left), self._right), self._rows.dtype)
            # Not `maximum`: NaN shall stay NaN.
            squares = ops.where(squares <= self._least, 0.0, squares)
        else:
            squares = ops.sum(ops.square(self._differences(block) * self._inverse), axis=2)
        if self._metric != "angular":
            return squares
        # The cosine to a row of zeros is 0, as if the square were 2.
        zero = ops.all(self._rows == 0.0, axis=1)
        missing = ops.logical_or(block.rows(zero)[:, None], zero[None, :])
        return ops.where(missing, 2.0 * ops.square(self._inverse), squares)

    def gradient(self, block: Block, distances: Tensor, slopes: Tensor) -> Tensor:
        """The gradient `[B, D]` in the rows of a value that has these slopes in these `distances`, both `[R, B]`."""
        weights = slopes_in_differences(slopes, distances, self._metric)
        if self._by_product:
            return ops.cast(self._weighted_by_product(block, ops.cast(weights, self._centred.dtype)), slopes.dtype)
        weighted = weights[:, :, None] * self._differences(block)
        return block.placed(ops.sum(weighted, axis=1)) - ops.sum(weighted, axis=0)

    def over_blocks(self, of_block: Callable[[Block], Sequence[Tensor]]) -> tuple[Tensor, ...]:
        """The sums over blocks, which together have each row as anchor, of what `of_block` gives.

        Blocks are of one length. If that does not divide the batch, the last begins earlier, with some anchors again.
        """
        length = self._block_length()
        if isinstance(length, int) and length == self.size:
            return tuple(of_block(Block(self.size)))
        offsets = ops.arange(length, dtype="int32")

        def step(first: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
            anchors = ops.minimum(first, self.size - length) + offsets
            more = of_block(Block(self.size, anchors, anchors >= first))
            return first + length, *(one + other for one, other in zip(sums, more, strict=True))

        start = ops.convert_to_tensor(length, dtype="int32")
        total = of_block(Block(self.size, offsets))
        return tuple(ops.while_loop(lambda first, *_: first < self.size, step, (start, *total))[1:])

    def _block_length(self) -> Any:
        """How many anchors are best taken at once: int where the size of the batch is known, else a tensor."""
        at_once = _DISTANCES_AT_ONCE
        if not self._by_product:
            dimensions = self._rows.shape[1] or 1024  # not known: as many as are usual
            at_once = min(at_once, max(1, _COORDINATES_AT_ONCE // dimensions))
        if isinstance(self.size, int):
            return max(1, min(self.size, at_once // self.size))
        return ops.maximum(1, ops.minimum(self.size, at_once // self.size))

    def _prepare_product(self, rows: Tensor) -> None:
        lengths = ops.sum(ops.square(rows), axis=1, keepdims=True)
        self._least = ops.cast(ROUNDING * ops.max(lengths), self._rows.dtype) if self._is_wide else 0.0
        ones = ops.ones_like(lengths)
        # With the lengths as further columns the product is the square at once.
        self._left = ops.concatenate([-2.0 * rows, lengths, ones], axis=1)
        self._right = ops.transpose(ops.concatenate([rows, ones, lengths], axis=1))

    def _differences(self, block: Block) -> Tensor:
        return block.rows(self._rows)[:, None, :] - self._rows[None, :, :]

    def _weighted_by_product(self, block: Block, weights: Tensor) -> Tensor:
        """Of each row the weighted sum of its differences from others, from whichever end of a pair."""
        rows = self._centred
        if block.anchors is None:
            both = weights + ops.transpose(weights)
            return ops.sum(both, axis=1, keepdims=True) * rows - ops.matmul(both, rows)
        left = block.rows(rows)
        own = ops.sum(weights, axis=1, keepdims=True) * left - ops.matmul(weights, rows)
        others = ops.sum(weights, axis=0)[:, None] * rows - ops.matmul(ops.transpose(weights), left)
        return others + block.placed(own)


def _plain_unit_of(values: Tensor) -> tuple[Tensor, Tensor]:
    """As `unit_of`, but 1 where that does: numbers that are exact stay so, and equal distances equal."""
    largest, _ = unit_of(values)
    unit = ops.where(largest > 0.0, largest / ops.clip(largest, 1e-12, 1e12), 1.0)
    return unit, 1.0 / unit
