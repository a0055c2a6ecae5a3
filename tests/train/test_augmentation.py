import numpy as np
import pytest
from keras import ops

from stages.train.augmentation import RandomAffine


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (64, 9, 9, 1)).astype(np.float32)


def test_is_the_identity_outside_training(images):
    layer = RandomAffine(shift=3, rotation=20, scale=0.2, shear=0.2, seed=1)
    np.testing.assert_array_equal(layer(images, training=False), images)


def test_switched_off_it_is_the_identity_in_training(images):
    np.testing.assert_array_equal(RandomAffine(seed=1)(images, training=True), images)


def test_every_image_is_changed_in_its_own_way_and_the_seed_repeats_it(images):
    images[:] = images[0]
    first, again = (np.asarray(RandomAffine(shift=2, rotation=10, seed=1)(images, training=True)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first.reshape(64, -1), axis=0)) == 64


def test_shift_stays_within_its_limit_in_pixels():
    dot = np.zeros((500, 15, 15, 1), np.float32)
    dot[:, 7, 7] = 1.0
    moved = np.asarray(RandomAffine(shift=2, seed=0)(dot, training=True))[..., 0]
    rows = (moved.sum(axis=2) * np.arange(15)).sum(axis=1)
    assert np.abs(rows - 7).max() <= 2.0
    assert rows.min() < 5.2
    assert rows.max() > 8.8


def test_rotation_keeps_the_centre_and_turns_by_at_most_its_limit():
    line = np.zeros((500, 31, 31, 1), np.float32)
    line[:, 15, 15:28] = 1.0
    turned = np.asarray(RandomAffine(rotation=30, seed=0)(line, training=True))[..., 0]
    assert turned[:, 15, 15].min() > 0.9
    column, row = turned.sum(axis=1) @ (np.arange(31) - 15), turned.sum(axis=2) @ (np.arange(31) - 15)
    angles = np.degrees(np.arctan2(row, column))
    assert np.abs(angles).max() < 30.5
    assert np.abs(angles).max() > 27


def test_scale_changes_the_area_by_at_most_its_factor():
    square = np.zeros((500, 31, 31, 1), np.float32)
    square[:, 10:21, 10:21] = 1.0
    areas = np.asarray(ops.sum(RandomAffine(scale=0.2, seed=0)(square, training=True), axis=(1, 2, 3))) / 121
    assert areas.min() > 1 / 1.45
    assert areas.max() < 1.45
    assert areas.max() - areas.min() > 0.4
