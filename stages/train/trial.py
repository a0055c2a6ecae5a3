"""A part tried on its own before training, where what is wrong with it can be told in a line that names it.

In training the same would end in a traceback out of a compiled graph.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from stages.errors import UserError, said_by
from stages.train.losses import EmbeddingLoss


def try_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Ask an optimizer for its rate, and let a copy of one of Keras's make a step.

    Raises:
        UserError: it cannot, or its learning rate would lead away.
    """
    with _told("optimizer", optimizer):
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    if not rate >= 0:
        raise UserError(f"optimizer.learning_rate: found {rate:g} at the first step, expected a rate of at least 0")
    if not type(optimizer).__module__.startswith("keras."):
        return  # it may not know how to be copied
    with _told("optimizer", optimizer):
        copy = type(optimizer).from_config(optimizer.get_config() | {"learning_rate": 0.001})
        variable = keras.Variable(np.zeros(2, np.float32))
        copy.apply([keras.ops.ones(2)], [variable])


def try_loss(loss: keras.losses.Loss, batch: int, embedding_dim: int) -> None:
    """Let a loss that is none of this project's judge a batch.

    Args:
        loss: of Keras, or the user's own.
        batch: B, images in a batch.
        embedding_dim: D.

    Raises:
        UserError: it does not take labels int32 `[B]` and embeddings float32 `[B, D]`.
    """
    if isinstance(loss, EmbeddingLoss):
        return
    with _told("loss", loss, f"; expected a loss of labels [{batch}] and embeddings [{batch}, {embedding_dim}]"):
        embeddings = np.random.default_rng(0).normal(size=(batch, embedding_dim)).astype(np.float32)
        loss(np.zeros(batch, np.int32), keras.ops.convert_to_tensor(embeddings))


@contextmanager
def _told(section: str, part: Any, expected: str = "") -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # there is nothing that foreign code and backends would not raise
        raise UserError(
            f"{section}: {type(part).__name__} fails ({type(error).__name__}: {said_by(error)}){expected}"
        ) from error
