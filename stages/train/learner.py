"""The model that is trained: augmentation, encoder, the loss's head if it has one, and figures of each step."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.losses import loss as keras_losses

from stages.train import strategy
from stages.train.statistics import TripletStatistics


class Learner(keras.Model):
    """An encoder with what it needs in training only; afterwards the encoder goes on alone, or with the head.

    Args:
        encoder: images `[B, H, W, C]` to embeddings `[B, D]`.
        augmentation: a layer from images to images.
        statistics: figures to log for each step, beside the loss.
        head: embeddings left and right, each `[N, D]`, to what the loss takes, `[N, 1]`; None: it takes embeddings.
        images: uint8 `[N, H, W, C]`, to lie on the device; it is called with rows of them then, int32 `[B]`, in place
            of images. None: with images.
    """

    def __init__(
        self,
        encoder: keras.Model,
        augmentation: keras.layers.Layer,
        statistics: TripletStatistics,
        head: keras.Model | None = None,
        images: np.ndarray | None = None,
    ) -> None:
        super().__init__(name="learner")
        self.encoder = encoder
        self.augmentation = augmentation
        self.statistics = statistics
        self.head = head
        self.images: keras.Variable | None = None
        if images is not None:
            # A variable, for a constant would be compiled into the step.
            self.images = self.add_weight(
                shape=images.shape, dtype="uint8", initializer="zeros", trainable=False, name="images"
            )
            self.images.assign(images)

    @property
    def changing(self) -> list[keras.Variable]:
        """The variables that training changes, those of the figures and of random numbers included."""
        return [variable for variable in self.variables if variable is not self.images]

    @property
    def lasting(self) -> list[keras.Variable]:
        """The variables that outlive the training: the encoder's, then the head's."""
        return [*self.encoder.weights, *(self.head.weights if self.head is not None else ())]

    def build(self, input_shape: Any) -> None:
        """Nothing is left to build: encoder and head come with their weights."""
        self.augmentation.build(input_shape)

    def compile(self, *, loss: keras.losses.Loss, **others: Any) -> None:
        """As in Keras, with one loss, whose values it keeps of each step for the statistics."""
        self._watched = _watched(loss)
        super().compile(loss=self._watched, **others)

    def call(self, images: Any, training: bool = False) -> Any:
        """Embeddings of augmented images."""
        if self.images is not None:
            images = keras.ops.take(self.images, images, axis=0)
        return self.encoder(self.augmentation(images, training=training), training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss of the embeddings; with a head, of what it makes of each two rows, left and right.

        It is the loss of the whole batch on each device. Gradients are summed over the devices, so each gives its part.
        """
        y, y_pred = strategy.gathered(y), strategy.gathered(y_pred)
        judged = y_pred if self.head is None else self.head([y_pred[0::2], y_pred[1::2]], training=training)
        with _undivided():
            loss = super().compute_loss(x, y, judged, sample_weight, training=training)
        values, self._watched.values = self._watched.values, None
        self.statistics.update_loss(loss, loss if values is None else values)
        return loss / strategy.parts_in_sync()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The mean loss of the epoch so far, and the figures of this batch."""
        self.statistics.update_state(strategy.gathered(y), strategy.gathered(y_pred))
        return self.get_metrics_result()


_divide = keras_losses.scale_loss_for_distribution


@contextlib.contextmanager
def _undivided() -> Iterator[None]:
    """Let Keras give the whole loss on each device during the block.

    Else it gives a device its part of means and regularisers, but the whole of sums and scalars; which of them a loss
    is made of, which may call others, cannot be told from outside. There is no public way to this.
    """
    keras_losses.scale_loss_for_distribution = lambda value: value
    try:
        yield
    finally:
        keras_losses.scale_loss_for_distribution = _divide


def _watched(loss: keras.losses.Loss) -> keras.losses.Loss:
    """The same loss, whose `values` are those that Keras last reduced: computing them again would double its cost."""
    # By hand: copy.copy would go through Keras's serialization, which a loss of the user's own may not know.
    watched = object.__new__(type(loss))
    vars(watched).update(vars(loss))

    def call(y_true: Any, y_pred: Any) -> Any:
        watched.values = loss.call(y_true, y_pred)
        return watched.values

    watched.call, watched.values = call, None
    return watched
