"""Images of another size."""

import numpy as np
from PIL import Image, ImageOps


def square(image: Image.Image, side: int) -> Image.Image:
    """The largest square in the middle of an image, resized: nothing is distorted, nothing is added at the borders.

    Pillow's bicubic filter is widened where it shrinks, so that nothing aliases.

    >>> square(Image.new("L", (40, 20)), 8).size
    (8, 8)
    """
    return ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """`square` of each image.

    Args:
        images: uint8 `[N, H, W, C]`, C 1 or 3.
        side: in pixels; images of that size are returned as they are.

    Returns:
        uint8 `[N, side, side, C]`.

    >>> resize(np.full((1, 8, 8, 1), 7, np.uint8), 4)[0, :, :, 0].tolist()
    [[7, 7, 7, 7], [7, 7, 7, 7], [7, 7, 7, 7], [7, 7, 7, 7]]
    """
    if images.shape[1:3] == (side, side):
        return images
    resized = np.empty((len(images), side, side, images.shape[3]), np.uint8)
    for index, pixels in enumerate(images):
        image = Image.fromarray(pixels if images.shape[3] == 3 else pixels[:, :, 0])
        resized[index] = np.asarray(square(image, side)).reshape(side, side, -1)
    return resized
