"""Batches for Keras: what they hold, and that they are read ahead where Keras does not."""

import contextlib
import threading

import keras
import numpy as np
import pytest

from stages.train.feed import THREAD, PlannedBatches

LABELS = np.arange(20, dtype=np.int32)
PLAN = np.random.default_rng(0).integers(0, 20, (5, 4)).astype(np.int32)


class Images:
    """Of one pixel each, that holds the image's row; tells who has read which batch, of which one may be unreadable."""

    def __init__(self, unreadable=None):
        self.read, self.heard, self.unreadable = [], threading.Condition(), unreadable

    def __getitem__(self, rows):
        batch = next(i for i, planned in enumerate(PLAN) if (planned == rows).all())
        with self.heard:
            self.read.append((batch, threading.current_thread()))
            self.heard.notify()
        if batch == self.unreadable:
            raise OSError(f"batch {batch}")
        return rows[:, None, None, None].astype(np.uint8)


@pytest.fixture
def on_jax(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")


@contextlib.contextmanager
def batches_of(images):
    with contextlib.closing(PlannedBatches(images, LABELS, PLAN)) as batches:
        yield batches
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(THREAD)]


def assert_holds(batch, index):
    images, labels = batch
    np.testing.assert_array_equal(images[:, 0, 0, 0], PLAN[index])
    np.testing.assert_array_equal(labels, PLAN[index])


# Keras takes the first batch to build the model, then begins again.
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [0, 0, 1, 2], [3, 1, 2, 4, 0]])
def test_batches_are_those_of_the_plan_in_whatever_order_they_are_asked_for(on_jax, order):
    with batches_of(Images()) as batches:
        for index in order:
            assert_holds(batches[index], index)


def test_the_next_batch_is_read_in_a_thread_while_one_is_used(on_jax):
    images = Images()
    with batches_of(images) as batches:
        assert_holds(batches[0], 0)
        with images.heard:
            assert images.heard.wait_for(lambda: len(images.read) == 2, timeout=10)
        assert_holds(batches[1], 1)
        for index in (2, 3, 4):
            batches[index]
    assert [batch for batch, _ in images.read] == [0, 1, 2, 3, 4]  # each once
    here = threading.current_thread()
    assert [thread is here for _, thread in images.read] == [True, False, False, False, False]


def test_a_batch_that_cannot_be_read_fails_when_it_is_asked_for(on_jax):
    with batches_of(Images(unreadable=2)) as batches:
        for index in (0, 1):
            assert_holds(batches[index], index)
        with pytest.raises(OSError, match="batch 2"):
            batches[2]


def test_images_on_the_device_and_batches_of_tensorflow_need_no_thread(monkeypatch):
    images = Images()
    for backend, given in (("tensorflow", images), ("jax", None)):
        monkeypatch.setattr(keras.backend, "backend", lambda backend=backend: backend)
        with batches_of(given) as batches:
            for index in (0, 1):
                batches[index]
            assert not [thread for thread in threading.enumerate() if thread.name.startswith(THREAD)]
    assert {thread for _, thread in images.read} == {threading.current_thread()}
    rows, labels = PlannedBatches(None, LABELS, PLAN)[3]
    np.testing.assert_array_equal(rows, PLAN[3])
    np.testing.assert_array_equal(labels, PLAN[3])
