"""ResNet50 (He et al. 2015) without its classifier, from random weights or from those of ImageNet."""

import keras
from keras import layers, ops

from stages.train.networks.length import unit_length
from stages.train.networks.pretrained import checked_weights, reading

_IMAGENET_MEANS = (103.939, 116.779, 123.68)
"""Of blue, green and red, which the published weights take subtracted, in this order."""


def resnet50(input_shape: tuple[int, int, int], embedding_dim: int | None, weights: str | None) -> keras.Model:
    """ResNet50, its last features averaged over the image, with or without a dense layer after it.

    Grey images become three equal channels. Images may be of any size: what Keras refuses under 32 pixels a side is an
    `input_shape`, not the tensor that is given here. At 28 pixels the last of its five scales is a single pixel.

    Args:
        input_shape: height, width, and 1 or 3 channels.
        embedding_dim: D of a dense layer whose rows are then L2-normalised; None: the 2048 averages are the embedding.
        weights: None for random ones; `imagenet`, which Keras downloads once (95 MB); or the path of a file of them.

    Returns:
        A model from `[B, H, W, C]`, 0..255, to float32 `[B, D]`, of length 1 if `embedding_dim` is given.

    Raises:
        UserError: weights that are not there, cannot be fetched, or are not those of a ResNet50 without classifier.
        ValueError: another number of channels.
    """
    if input_shape[2] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels. Received: input_shape={tuple(input_shape)}")
    weights = checked_weights(weights)
    images = keras.Input(input_shape, name="images")
    with reading(weights):
        backbone = keras.applications.ResNet50(include_top=False, weights=weights, input_tensor=_as_published(images))
    # Here and not by `pooling`, to have it in float32 under every precision policy.
    x = layers.GlobalAveragePooling2D(dtype="float32", name="features")(backbone.output)
    if embedding_dim is not None:
        x = unit_length(layers.Dense(embedding_dim)(x))
    return keras.Model(images, x, name="resnet50")


def _as_published(images: keras.KerasTensor) -> keras.KerasTensor:
    """Blue, green, red, each without its mean over ImageNet, not scaled: what the published weights were trained on."""
    grey = images.shape[-1] == 1
    channels = layers.Concatenate(name="channels")([images] * 3) if grey else ops.flip(images, axis=-1)
    return layers.Rescaling(1.0, offset=[-mean for mean in _IMAGENET_MEANS], name="centred")(channels)
