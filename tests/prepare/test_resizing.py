import numpy as np
import pytest

from stages.prepare.resizing import resize


def test_same_size_is_the_same_array() -> None:
    images = np.zeros((2, 8, 8, 1), np.uint8)
    assert resize(images, 8) is images


@pytest.mark.parametrize("channels", [1, 3])
def test_fine_checks_shrink_to_grey_not_to_noise(channels: int) -> None:
    checks = np.indices((32, 32)).sum(0) % 2 * 255
    images = np.repeat(checks[None, :, :, None], channels, axis=3).astype(np.uint8)
    shrunk = resize(images, 8)
    assert shrunk.shape == (1, 8, 8, channels)
    assert np.abs(shrunk[:, 2:-2, 2:-2].astype(int) - 127).max() <= 3


def test_images_stay_apart_and_upright() -> None:
    images = np.zeros((2, 8, 4, 1), np.uint8)
    images[1, :4] = 200
    resized = resize(images, 16)
    assert resized[0].max() == 0
    assert resized[1, 3, 8] == 200
    assert resized[1, 12, 8] == 0
