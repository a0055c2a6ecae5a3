"""Small networks of convolutions, trained from nothing."""

import keras
from keras import layers

from stages.train.networks.length import unit_length


def compact(input_shape: tuple[int, int, int], embedding_dim: int, widths: tuple[int, int, int]) -> keras.Model:
    """Five batch-normalised convolutions in three widths, L2-normalised embeddings.

    Images of more than 16 pixels are halved by the first convolution, where most of the time would go.

    Args:
        input_shape: height, width, channels.
        embedding_dim: D.
        widths: channels of the first, the middle and the last convolutions.

    Returns:
        A model from `[B, H, W, C]`, 0..255, to float `[B, D]` of length 1.
    """
    first, middle, last = widths
    large = min(input_shape[:2]) > 16
    images = keras.Input(input_shape, name="images")
    x = layers.Rescaling(1 / 255)(images)
    x = _convolution(x, first, 5 if large else 3, strides=2 if large else 1)
    x = _convolution(x, middle, 3)
    x = _convolution(x, middle, 3)
    x = layers.MaxPooling2D()(x)
    x = _convolution(x, last, 3)
    x = _convolution(x, last, 3)
    x = layers.Flatten()(x)
    x = layers.Dense(embedding_dim)(x)
    return keras.Model(images, unit_length(x), name="compact")


def tutorial(input_shape: tuple[int, int, int], embedding_dim: int, dropout: float) -> keras.Model:
    """The network of the semi-hard tutorial: two small convolutions with dropout, L2-normalised embeddings.

    Args:
        input_shape: height, width, channels; at least 4 pixels a side.
        embedding_dim: D.
        dropout: share of the values that each of the two dropouts sets to 0 in training.

    Returns:
        A model from `[B, H, W, C]`, 0..255, to float `[B, D]` of length 1.
    """
    images = keras.Input(input_shape, name="images")
    x = layers.Rescaling(1 / 255)(images)
    for width in (64, 32):
        x = layers.Conv2D(width, 2, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
        x = layers.Dropout(dropout)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(embedding_dim)(x)
    return keras.Model(images, unit_length(x), name="tutorial")


def conv_blog(input_shape: tuple[int, int, int], embedding_dim: int) -> keras.Model:
    """The network of the batch-hard article: two large convolutions on raw pixels, embeddings not normalised.

    Args:
        input_shape: height, width, channels.
        embedding_dim: D.

    Returns:
        A model from `[B, H, W, C]`, 0..255, to float `[B, D]`.
    """

    def normal() -> keras.initializers.Initializer:
        # One for each layer: an initializer gives the same numbers each time it is called.
        return keras.initializers.TruncatedNormal(stddev=1.0)

    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(128, 7, padding="same", activation="relu", kernel_initializer=normal())(images)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(256, 5, padding="same", activation="relu", kernel_initializer=normal())(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(embedding_dim, kernel_initializer=normal())(x)
    return keras.Model(images, x, name="conv_blog")


def _convolution(x: keras.KerasTensor, width: int, size: int, strides: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(width, size, strides=strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))
