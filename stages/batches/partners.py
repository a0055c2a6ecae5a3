"""The possible partners of an image, by number: the others of its class, and the images of other classes.

With the images in the order of their classes a class is a range of places, and the place of a partner is arithmetic:
nothing is kept for a class or searched in it.
"""

from dataclasses import dataclass

import numpy as np

from stages.errors import UserError


@dataclass(frozen=True)
class Partners:
    """Images in the order of their classes; `place` is a position in this order.

    Attributes:
        images: int `[N]`, the image at each place.
        starts: int `[N]`, where the class of each place begins.
        counts: int `[N]`, number of images in the class of each place.
    """

    images: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @property
    def alone(self) -> np.ndarray:
        """Bool `[N]`: whether the image at each place is alone in its class."""
        return self.counts == 1

    def number_of_same(self, places: np.ndarray) -> np.ndarray:
        """How many others the class of each place has."""
        return self.counts[places] - 1

    def number_of_different(self, places: np.ndarray) -> np.ndarray:
        """How many images are of other classes than that of each place."""
        return len(self.images) - self.counts[places]

    def same(self, places: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Places of the others of a class; numbers from 0 to `number_of_same - 1`."""
        others = self.starts[places] + numbers
        return others + (others >= places)  # skips the place itself

    def different(self, places: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Places of images of other classes; numbers from 0 to `number_of_different - 1`."""
        return numbers + np.where(numbers >= self.starts[places], self.counts[places], 0)  # skips the class


def partners(labels: np.ndarray, layout: str) -> Partners:
    """Order images by class; `layout` is what they are to be used in, for the message of an error.

    Args:
        labels: int `[N]`.
        layout: its name in the settings.

    Raises:
        UserError: there are fewer than two classes, or no class has two images.
    """
    classes, counts = np.unique(labels, return_counts=True)
    found = f"batches.layout: found {layout!r} with"
    if len(classes) < 2:
        raise UserError(f"{found} training images of {len(classes)} class, expected at least 2 classes")
    if counts.max() < 2:
        raise UserError(f"{found} one training image in each class, expected at least one class of 2 or more")
    starts = np.cumsum(counts) - counts
    return Partners(np.argsort(labels, kind="stable"), np.repeat(starts, counts), np.repeat(counts, counts))
