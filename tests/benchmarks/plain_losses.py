"""The losses from matrices and cubes, with the gradient through all of it: as TensorFlow Addons computed hard and
semi-hard, and batch-all, which it lacked, likewise.

Written from the definitions, as something to compare with. A minimum over part of a row is taken as there, by
arithmetic: shift the row so that what is masked out, times 0, cannot win.
"""

import tensorflow as tf


def hard(labels: tf.Tensor, embeddings: tf.Tensor, margin: float = 1.0) -> tf.Tensor:
    """Batch-hard, from the whole matrix `[B, B]`.

    Args:
        labels: int `[B]`.
        embeddings: float32 `[B, D]`.
        margin: how much farther a negative shall be than a positive.

    Returns:
        Scalar: the mean over all anchors.
    """
    distances = distance_matrix(embeddings)
    positive, negative = _pairs(labels)
    farthest, nearest = _masked_maximum(distances, positive), _masked_minimum(distances, negative)
    return tf.reduce_mean(tf.nn.relu(farthest - nearest + margin))


def semi_hard(labels: tf.Tensor, embeddings: tf.Tensor, margin: float = 1.0) -> tf.Tensor:
    """Semi-hard, with a row of all B distances for each of the B² pairs of anchor and positive: `[B², B]`.

    Args and result: as `hard`, but the mean is over the ordered positive pairs, NaN where there is none.
    """
    distances = distance_matrix(embeddings)
    positive, negative = _pairs(labels)
    size = tf.shape(distances)[0]
    # Row p·B + a: anchor a against all, to be compared with the distance from a to p.
    tiled, of_pair = tf.tile(distances, [size, 1]), tf.reshape(tf.transpose(distances), [-1, 1])
    farther = tf.logical_and(tf.tile(negative, [size, 1]), tiled > of_pair)
    found = tf.transpose(tf.reshape(tf.reduce_any(farther, axis=1), [size, size]))
    nearest_farther = tf.transpose(tf.reshape(_masked_minimum(tiled, farther), [size, size]))
    farthest = _masked_maximum(distances, negative)[:, None]
    values = tf.nn.relu(distances - tf.where(found, nearest_farther, farthest) + margin)
    weights = tf.cast(positive, values.dtype)
    return tf.reduce_sum(values * weights) / tf.reduce_sum(weights)


def batch_all(labels: tf.Tensor, embeddings: tf.Tensor, margin: float = 1.0) -> tf.Tensor:
    """All triplets, from the cube `[B, B, B]` of anchor, positive, negative.

    Args and result: as `hard`, but the mean is over the triplets whose loss is above 0; 0 where there is none.
    """
    distances = distance_matrix(embeddings)
    positive, negative = _pairs(labels)
    valid = tf.logical_and(positive[:, :, None], negative[:, None, :])
    differences = distances[:, :, None] - distances[:, None, :] + margin
    values = tf.nn.relu(tf.where(valid, differences, 0.0))
    active = tf.reduce_sum(tf.cast(values > 0.0, values.dtype))
    return tf.math.divide_no_nan(tf.reduce_sum(values), active)


def distance_matrix(embeddings: tf.Tensor) -> tf.Tensor:
    """Euclidean distances `[B, B]` from the products of all rows; the diagonal and its gradient are 0."""
    products = tf.matmul(embeddings, embeddings, transpose_b=True)
    norms = tf.linalg.diag_part(products)
    squares = tf.nn.relu(norms[:, None] - 2.0 * products + norms[None, :])
    zero = tf.cast(squares <= 0.0, squares.dtype)
    off_diagonal = 1.0 - tf.eye(tf.shape(squares)[0], dtype=squares.dtype)
    # The root's slope at 0 is infinite: a small number stands there instead, and is taken out again.
    return tf.sqrt(squares + zero * 1e-16) * (1.0 - zero) * off_diagonal


def _pairs(labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    same = labels[:, None] == labels[None, :]
    itself = tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    return tf.logical_and(same, tf.logical_not(itself)), tf.logical_not(same)


def _masked_maximum(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    least = tf.reduce_min(values, axis=1, keepdims=True)
    return tf.reduce_max((values - least) * tf.cast(mask, values.dtype), axis=1) + least[:, 0]


def _masked_minimum(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    greatest = tf.reduce_max(values, axis=1, keepdims=True)
    return tf.reduce_min((values - greatest) * tf.cast(mask, values.dtype), axis=1) + greatest[:, 0]
