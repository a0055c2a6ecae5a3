"""Images of another size."""

import numpy as np
from PIL import Image
from tqdm import tqdm


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """Resize to squares with Pillow's bicubic filter, which is widened where it shrinks, so that nothing aliases.

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
    for index in tqdm(range(len(images)), desc="resize", unit=" images", disable=None, delay=2, leave=False):
        image = Image.fromarray(images[index] if images.shape[3] == 3 else images[index, :, :, 0])
        resized[index] = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)).reshape(side, side, -1)
    return resized
