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
    images = np.zeros((2, 8, 8, 1), np.uint8)
    images[1, :4] = 200
    resized = resize(images, 16)
    assert resized[0].max() == 0
    assert resized[1, 3, 8] == 200
    assert resized[1, 12, 8] == 0


@pytest.mark.parametrize("upright", [True, False])
def test_the_square_in_the_middle_is_kept_in_its_proportions(upright: bool) -> None:
    image = np.zeros((40, 20, 1), np.uint8)
    image[10:30] = 100
    image[15:25, 5:15] = 200  # a square within the square
    expected = np.full((20, 20), 100)
    expected[5:15, 5:15] = 200
    images = image[None] if upright else image[None].swapaxes(1, 2)
    np.testing.assert_array_equal(resize(images, 20)[0, :, :, 0], expected)
