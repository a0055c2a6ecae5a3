"""From images to embeddings, block by block."""

import keras
import numpy as np

from stages.train import strategy

_AT_ONCE = 500


def embed(encoder: keras.Model, images: np.ndarray, *, progress: bool = False) -> np.ndarray:
    """Embeddings float32 `[N, D]` of images uint8 `[N, H, W, C]`, with a progress bar if asked for."""
    blocks = range(0, len(images), _AT_ONCE)
    bar = keras.utils.Progbar(len(blocks), unit_name="block", verbose=int(progress))
    infer = strategy.inference(encoder)
    embeddings = np.empty((len(images), encoder.output_shape[1]), np.float32)
    for i, begin in enumerate(blocks):
        block = slice(begin, begin + _AT_ONCE)
        embeddings[block] = infer(images[block])
        bar.update(i + 1)
    return embeddings
