"""The model that is trained: augmentation, encoder, and figures of the triplets."""

from typing import Any

import keras

from stages.train.statistics import TripletStatistics


class Learner(keras.Model):
    """An encoder with what it needs in training only; afterwards the encoder goes on alone.

    Args:
        encoder: images `[B, H, W, C]` to embeddings `[B, D]`.
        augmentation: a layer from images to images.
        statistics: figures to log for each step, beside the loss.
    """

    def __init__(self, encoder: keras.Model, augmentation: keras.layers.Layer, statistics: TripletStatistics) -> None:
        super().__init__(name="learner")
        self.encoder = encoder
        self.augmentation = augmentation
        self.statistics = statistics

    def build(self, input_shape: Any) -> None:
        """Nothing is left to build: the encoder comes with its weights."""
        self.augmentation.build(input_shape)

    def call(self, images: Any, training: bool = False) -> Any:
        """Embeddings of augmented images."""
        return self.encoder(self.augmentation(images, training=training), training=training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The mean loss of the epoch so far, and the figures of this batch."""
        self.statistics.update_state(y, y_pred)
        return self.get_metrics_result()
