"""Thumbnails are means of whole blocks, and come back from their address in a page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from stages.render.thumbnails import data_uri, thumbnails


@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_become_means_of_blocks(channels):
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 8, channels), dtype=np.uint8)
    found = thumbnails(images, np.array([3, 1]), largest=4)
    assert found.shape == (2, 4, 3, channels)
    for small, image in zip(found, images[[3, 1]], strict=True):
        for y, x in np.ndindex(4, 3):
            block = image[3 * y : 3 * y + 3, 3 * x : 3 * x + 3].astype(float)
            np.testing.assert_allclose(small[y, x], block.mean(axis=(0, 1)), atol=1)  # Pillow sums up in whole numbers


def test_small_images_stay_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 1), dtype=np.uint8)
    np.testing.assert_array_equal(thumbnails(images, np.array([0, 2]), largest=6), images[[0, 2]])


def test_grey_comes_back_exactly_and_colour_nearly():
    ramp = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    np.testing.assert_array_equal(decoded(data_uri(ramp[:, :, None])), ramp)
    coloured = np.stack([ramp, ramp[::-1], np.full_like(ramp, 90)], axis=2)
    assert np.abs(decoded(data_uri(coloured)).astype(int) - coloured).mean() < 8


def decoded(address):
    kind, _, content = address.partition(";base64,")
    assert kind in ("data:image/png", "data:image/webp")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
