"""Embeddings of length 1, with which most networks end."""

import keras
from keras import layers


def unit_length(x: keras.KerasTensor) -> keras.KerasTensor:
    """Rows `[B, D]` divided by their lengths.

    float32 under every precision policy: distances between nearly equal embeddings need the digits.
    """
    return layers.UnitNormalization(dtype="float32", name="embeddings")(x)
