"""Choosing rows of a batch, by index and without gradient."""

from keras import ops

from stages.train.all_pairs import AllPairs, Block
from stages.train.distances import Tensor, is_float64, normalize


def hardest(labels: Tensor, embeddings: Tensor, metric: str) -> Tensor:
    """The farthest positive and the nearest negative of each anchor (Hermans et al. 2017, arXiv 1703.07737).

    Args:
        labels: `[B]`, of any type that can be compared.
        embeddings: float32 or float64 `[B, D]`.
        metric: a name of `distances.NAMES`.

    Returns:
        Int32 `[2, B]`, rows of the batch: positives, then negatives. Where an anchor has no positive, its own; where it
        has no negative, the farthest row.
    """
    rows = ops.stop_gradient(embeddings)
    pairs = AllPairs(normalize(rows) if metric == "angular" else rows, metric, exact=False)
    is_one_class = ops.all(labels == labels[0])

    def of_block(block: Block) -> list[Tensor]:
        squares = pairs.squares(block)
        same = block.rows(labels)[:, None] == labels[None, :]
        # An anchor without other positives is its own farthest one.
        positive = largest(ops.where(same, squares, -1.0))
        negative = smallest(ops.where(same, float("inf"), squares))
        # Without negatives the farthest row is the farthest positive.
        negative = ops.where(is_one_class, positive, negative)
        return [block.placed(block.once(chosen)) for chosen in (positive, negative)]

    return ops.stack(pairs.over_blocks(of_block), axis=0)


def smallest(values: Tensor) -> Tensor:
    """Along the last axis the place, int32, of the smallest of values that are not below 0."""
    return ops.argmin(_bits(values), axis=-1)


def largest(values: Tensor) -> Tensor:
    """Along the last axis the place, int32, of the largest of values, one of which is not below 0."""
    return ops.argmax(_bits(values), axis=-1)


def _bits(values: Tensor) -> Tensor:
    # As integers the bits of floats that are not negative have the floats' order, and those of others are below them.
    # Of floats, Keras 3.15 on TensorFlow first looks for -0.0, which takes twice as long as the search itself.
    integer = "int64" if is_float64(values) else "int32"
    # The axis more is there because `view` wants to know the last one's length.
    return ops.squeeze(ops.view(ops.expand_dims(values, -1), integer), -1)
