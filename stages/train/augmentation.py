"""Random affine changes of training images."""

import math
from typing import Any

import keras
from keras import ops

from stages.train import strategy


class RandomAffine(keras.layers.Layer):
    """Shift, rotate, scale and shear each image at random, in one interpolation; the identity outside training.

    One matrix for all four changes keeps small images sharp, where a layer for each would blur them four times.

    Args:
        shift: largest shift along each axis, in pixels.
        rotation: largest rotation in degrees.
        scale: each axis is scaled by a factor between 1 / (1 + scale) and 1 + scale.
        shear: largest tangent of the shear angle.
        seed: of the random numbers.
    """

    def __init__(
        self,
        shift: float = 0.0,
        rotation: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=False, **kwargs)
        self.shift, self.rotation, self.scale, self.shear = shift, rotation, scale, shear
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Change images `[B, H, W, C]`; what comes in from outside the frame is 0."""
        images = ops.cast(images, self.compute_dtype)
        if not training or not any((self.shift, self.rotation, self.scale, self.shear)):
            return images
        height, width = images.shape[1:3]
        transforms = self._transforms(ops.shape(images)[0], height, width)
        return ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode="constant")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"shift": self.shift, "rotation": self.rotation, "scale": self.scale, "shear": self.shear}
        return super().get_config() | own | {"seed": self.seed}

    def _transforms(self, count: Any, height: int, width: int) -> Any:
        # Rows a0 a1 a2 b0 b1 b2 0 0 of the map from an output pixel to the input pixel it is taken from.
        whole = count * strategy.parts_in_sync()

        def uniform(limit: float) -> Any:
            # Of the whole batch: devices draw the same numbers, for Keras gives each the same state of the generator.
            return strategy.own_part(keras.random.uniform((whole,), -limit, limit, seed=self.generator))

        angle = uniform(math.radians(self.rotation))
        scale_x = ops.exp(uniform(math.log1p(self.scale)))
        scale_y = ops.exp(uniform(math.log1p(self.scale)))
        shear = uniform(self.shear)
        cosine, sine = ops.cos(angle), ops.sin(angle)
        a0, a1 = cosine * scale_x, (cosine * shear - sine) * scale_y
        b0, b1 = sine * scale_x, (sine * shear + cosine) * scale_y
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        a2 = centre_x - a0 * centre_x - a1 * centre_y + uniform(self.shift)
        b2 = centre_y - b0 * centre_x - b1 * centre_y + uniform(self.shift)
        zero = ops.zeros_like(a0)
        return ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
