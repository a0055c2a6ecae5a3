import keras
import numpy as np
import pytest

from stages.train import strategy
from stages.train.augmentation import RandomAffine
from stages.train.checkpoint import Checkpoint
from stages.train.learner import Learner
from stages.train.loop import Images, collapse_warning, fit
from stages.train.losses import PairContrastiveLoss, SiameseLoss, TripletHardLoss, TripletLoss
from stages.train.networks import compact
from stages.train.statistics import TripletStatistics

STEPS_PER_EPOCH = 3


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.int32) % 4
    images = (rng.integers(0, 60, (60, 8, 8, 1)) + 60 * (labels[:, None, None, None] % 3)).astype(np.uint8)
    plan = np.stack([rng.permutation(60)[:16] for _ in range(4 * STEPS_PER_EPOCH)]).astype(np.int32)
    return Images(images[:40], labels[:40]), Images(images[40:], labels[40:]), plan % 40


LOSSES = [TripletHardLoss(margin=0.5), SiameseLoss()]
NAMES = ["batch_hard", "siamese"]


def learner(seed=0, loss=LOSSES[0]):
    strategy.set_up(seed, 2)
    encoder = compact((8, 8, 1), 4, (4, 4, 8))
    augmentation = RandomAffine(shift=1, rotation=10, seed=1)
    model = Learner(encoder, augmentation, TripletStatistics(loss), loss.head(4))
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 12)
    model.compile(optimizer=keras.optimizers.Adam(schedule), loss=loss)
    model.build((None, 8, 8, 1))
    return model


def train(model, data, checkpoint, log=lambda figures, step: None):
    training, validation, plan = data
    return fit(model, training, validation, plan, STEPS_PER_EPOCH, checkpoint, log)


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_interrupted_training_goes_on_to_the_same_weights_and_history(data, tmp_path, capsys, loss):
    whole = learner(loss=loss)
    unbroken = train(whole, data, Checkpoint(tmp_path / "whole" / "training.npz"))

    class Cut(Exception):
        pass

    def cut_in_third_epoch(figures, step):
        if step > 2 * STEPS_PER_EPOCH:
            raise Cut

    checkpoint = Checkpoint(tmp_path / "cut" / "training.npz")
    with pytest.raises(Cut):
        train(learner(loss=loss), data, checkpoint, cut_in_third_epoch)
    resumed = learner(seed=5, loss=loss)  # weights and random numbers come from the checkpoint
    progress = train(resumed, data, checkpoint)

    assert "going on after epoch 2" in capsys.readouterr().out
    assert progress == unbroken
    assert len(progress.history) == 4
    assert (loss.head(4) is None) == (whole.head is None)
    for expected, found in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_batches_come_in_the_order_of_the_plan(data, tmp_path, monkeypatch):
    seen = []
    model = learner()
    model.run_eagerly = True
    monkeypatch.setattr(model.statistics, "update_state", lambda labels, embeddings: seen.append(np.asarray(labels)))
    train(model, data, Checkpoint(tmp_path / "training.npz"))
    training, _, plan = data
    np.testing.assert_array_equal(seen[-len(plan) :], training.labels[plan])


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_encoder_and_head_end_with_the_weights_of_their_best_epoch(data, tmp_path, monkeypatch, loss):
    scores = iter([0.5, 0.9, 0.9, 0.7])
    monkeypatch.setattr("stages.ranking.recall_at_k", lambda ranked, ks: {1: next(scores)})
    monkeypatch.setattr("stages.ranking.map_at_r", lambda ranked: 0.5)
    kept = []
    model = learner(loss=loss)
    remember = keras.callbacks.Callback()
    remember.on_epoch_end = lambda epoch, logs=None: kept.append(weights(model))
    monkeypatch.setattr("stages.train.loop._Keep", lambda *arguments: remember)
    progress = train(model, data, Checkpoint(tmp_path / "training.npz"))
    assert (progress.best_epoch, progress.best) == (2, [0.9, 0.5])
    for part, best, last in zip(weights(model), kept[1], kept[3], strict=True):
        for expected, found in zip(best, part, strict=True):
            np.testing.assert_array_equal(found, expected)
        assert any((a != b).any() for a, b in zip(best, last, strict=True))


def weights(model):
    """Of the encoder, and of the head where there is one."""
    return [part.get_weights() for part in (model.encoder, model.head) if part is not None]


def test_steps_and_epochs_are_logged_once_each(data, tmp_path):
    logged = []
    train(learner(), data, Checkpoint(tmp_path / "training.npz"), lambda figures, step: logged.append((figures, step)))
    assert [step for figures, step in logged if "step/loss" in figures] == [3, 6, 9, 12]
    epochs = [(figures, step) for figures, step in logged if "epoch/loss" in figures]
    assert [step for _, step in epochs] == [3, 6, 9, 12]
    for (step_figures, _), (epoch_figures, _) in zip(logged[::2], epochs, strict=True):
        assert epoch_figures["epoch/loss"] == pytest.approx(step_figures["step/loss"])
        assert epoch_figures["epoch/easy"] == pytest.approx(step_figures["step/easy"])


def test_damaged_checkpoint_is_not_used(data, tmp_path, capsys):
    checkpoint = Checkpoint(tmp_path / "training.npz")
    checkpoint.path.write_bytes(b"PK\x03\x04 not an archive")
    assert checkpoint.restore(learner()) is None
    assert "damaged" in capsys.readouterr().out


def test_checkpoint_of_other_settings_or_data_is_another_file(tmp_path):
    file = tmp_path / "labels.npy"
    np.save(file, np.arange(3))
    first = Checkpoint.of(tmp_path, {"margin": 0.5}, [file])
    assert Checkpoint.of(tmp_path, {"margin": 0.5}, [file]) == first
    assert Checkpoint.of(tmp_path, {"margin": 0.3}, [file]) != first
    np.save(file, np.arange(4))
    assert Checkpoint.of(tmp_path, {"margin": 0.5}, [file]) != first


START = {"loss": 0.6, "hardest_negative": 0.3, "norm": 1.0}


@pytest.mark.parametrize(
    ("loss", "collapsed"),
    [
        (TripletHardLoss(0.5), 0.5),
        (TripletHardLoss(soft=True), 0.69),
        (TripletLoss(0.4), 0.4),
        (SiameseLoss(), 0.69),
        (PairContrastiveLoss(0.8), 0.32),
        (PairContrastiveLoss(0.8, convention="hadsell"), 0.16),
    ],
)
def test_collapse_is_told_and_progress_is_not(loss, collapsed):
    warning = collapse_warning([START, START | {"loss": collapsed, "hardest_negative": 0.001}], loss)
    assert warning is not None
    assert "collapses" in warning
    assert ("loss.soft=true" in warning) == (getattr(loss, "soft", None) is False)
    assert collapse_warning([START, START | {"loss": collapsed / 2, "hardest_negative": 0.001}], loss) is None
    assert collapse_warning([START, START | {"loss": collapsed}], loss) is None


@pytest.mark.parametrize("loss", [TripletLoss(reduction="sum"), keras.losses.MeanSquaredError()])
def test_a_loss_that_says_nothing_of_a_collapse_is_not_warned_of(loss):
    assert collapse_warning([START, START | {"loss": 1.0, "hardest_negative": 0.001}], loss) is None
