"""What a step of training computes: the loss, once, of embeddings or of what the head makes of them."""

import keras
import numpy as np
import pytest
from keras import ops

from stages.train.augmentation import RandomAffine
from stages.train.learner import Learner
from stages.train.losses import PairContrastiveLoss, SiameseLoss, TripletHardLoss, TripletLoss
from stages.train.statistics import TripletStatistics

LABELS = np.array([0, 0, 1, 2, 2, 2, 0, 1, 1, 0, 2, 1], np.int32)


def learner(loss, eager=False, **dense):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4, 4, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    encoder = keras.Sequential([*layers, keras.layers.Dense(3, **dense)])
    head = loss.head(3) if hasattr(loss, "head") else None
    model = Learner(encoder, RandomAffine(seed=0), TripletStatistics(loss), head)
    model.compile(loss=loss, optimizer=keras.optimizers.SGD(0.1), run_eagerly=eager, jit_compile=False)
    model.build((None, 4, 4, 1))
    return model


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 4, 4, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    "loss",
    [TripletHardLoss(), TripletLoss(), TripletLoss(reduction="sum"), PairContrastiveLoss(), SiameseLoss()],
    ids=["batch_hard", "triplet", "triplet_sum", "contrastive", "siamese"],
)
@pytest.mark.parametrize("regularized", [False, True])
def test_step_loss_is_kerass_own(images, loss, regularized):
    model = learner(loss, kernel_regularizer=keras.regularizers.L2(0.1) if regularized else None)
    figures = model.train_on_batch(images, LABELS, return_dict=True)
    assert float(figures["step_loss"]) == pytest.approx(float(figures["loss"]), rel=1e-6)
    assert figures["step_loss"] > 0


def test_a_head_judges_the_rows_of_each_pair_and_learns_with_the_encoder(images):
    model = learner(SiameseLoss())
    before = [part.get_weights() for part in (model.encoder, model.head)]
    embeddings = model.encoder.predict_on_batch(images).astype(np.float64)
    w, b = (weight.astype(np.float64) for weight in model.head.get_weights())
    logits = [np.abs(embeddings[i] - embeddings[i + 1]) @ w[:, 0] + b[0] for i in range(0, 12, 2)]
    same = [LABELS[i] == LABELS[i + 1] for i in range(0, 12, 2)]
    expected = np.mean([np.log1p(np.exp(-z if y else z)) for z, y in zip(logits, same, strict=True)])
    assert float(model.train_on_batch(images, LABELS)[0]) == pytest.approx(expected, rel=1e-5)
    for part, start in zip((model.encoder, model.head), before, strict=True):
        assert all((a != b).any() for a, b in zip(part.get_weights(), start, strict=True) if b.ndim > 1)
    assert model(images).shape == (12, 3)


def test_values_of_a_loss_are_computed_once_a_step(images):
    class Counted(TripletHardLoss):
        calls = 0

        def call(self, y_true, y_pred):
            type(self).calls += 1
            return super().call(y_true, y_pred)

    model = learner(Counted(), eager=True)
    model.train_on_batch(images, LABELS)
    assert Counted.calls == 1
    model.train_on_batch(images, LABELS)
    assert Counted.calls == 2


def test_active_is_the_share_of_values_above_zero(images):
    class Fixed(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return ops.sum(0.0 * y_pred, axis=1) + ops.array([1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2.0])

    figures = learner(Fixed()).train_on_batch(images, LABELS, return_dict=True)
    assert float(figures["active"]) == pytest.approx(2 / 12)
    assert float(figures["step_loss"]) == pytest.approx(0.25)


def test_a_loss_that_reduces_by_itself_is_active_as_a_whole(images):
    class Whole(keras.losses.Loss):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return ops.sum(ops.square(y_pred))

    figures = learner(Whole()).train_on_batch(images, LABELS, return_dict=True)
    assert float(figures["active"]) == 1.0
    assert float(figures["step_loss"]) == pytest.approx(float(figures["loss"]), rel=1e-6)
