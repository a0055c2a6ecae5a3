"""Small copies of images, and the text by which a page holds one without a file."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


def thumbnails(images: np.ndarray, rows: np.ndarray, largest: int) -> np.ndarray:
    """Some of the images, averaged down by a whole factor to at most `largest` pixels a side.

    Args:
        images: uint8 `[N, H, W, C]`, read one at a time, so that a memory map of large ones stays on the disk.
        rows: int `[n]`, which ones.
        largest: pixels; smaller images are left as they are.

    Returns:
        uint8 `[n, h, w, C]`.
    """
    factor = -(-max(images.shape[1:3]) // largest)
    if factor == 1:
        return images[rows]
    height, width = (-(-side // factor) for side in images.shape[1:3])
    small = np.empty((len(rows), height, width, images.shape[3]), np.uint8)
    for place, row in enumerate(rows):
        small[place] = np.asarray(picture(images[row]).reduce(factor)).reshape(small.shape[1:])
    return small


def data_uri(image: np.ndarray) -> str:
    """A `data:` address with the image in it: grey without loss as PNG, colour as WebP.

    Args:
        image: uint8 `[H, W, C]`.
    """
    grey = image.shape[2] == 1
    file = io.BytesIO()
    if grey:
        picture(image).save(file, "PNG", compress_level=9)
    else:
        picture(image).save(file, "WEBP", quality=85, method=4)
    return f"data:image/{'png' if grey else 'webp'};base64,{base64.b64encode(file.getvalue()).decode()}"


def picture(image: np.ndarray) -> "Image":
    """The image `[H, W, C]` for Pillow."""
    from PIL.Image import fromarray

    return fromarray(np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image))
