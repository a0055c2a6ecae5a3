import io
import itertools
import os
import signal
import zipfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from stages import interruption
from stages.errors import UserError
from stages.prepared import Images
from stages.train import health, processes, strategy
from stages.train.augmentation import RandomAffine
from stages.train.checkpoint import Checkpoint
from stages.train.learner import Learner
from stages.train.loop import fit
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


def learner(seed=0, loss=LOSSES[0], rate=0.01, images=None):
    strategy.set_up(seed, 2)
    encoder = compact((8, 8, 1), 4, (4, 4, 8))
    augmentation = RandomAffine(shift=1, rotation=10, seed=1)
    model = Learner(encoder, augmentation, TripletStatistics(loss), loss.head(4), images)
    schedule = keras.optimizers.schedules.CosineDecay(rate, 12)
    model.compile(optimizer=keras.optimizers.Adam(schedule), loss=loss)
    model.build((None, 8, 8, 1))
    return model


class Log:
    """Keeps what was logged, and hears of each step that is."""

    def __init__(self, heard=lambda step: None):
        self.points, self.heard, self.flushed = [], heard, 0

    def add(self, figures, step):
        self.points.append((figures, step))
        self.heard(step)

    def flush(self):
        self.flushed = len(self.points)


def train(model, data, checkpoint, log=None, seconds=0):
    training, validation, plan = data
    return fit(model, training, validation, plan, STEPS_PER_EPOCH, checkpoint, seconds, log or Log())


class Cut(Exception):
    """As a kill: nothing is saved because of it."""


def cut_before_saving(monkeypatch, step):
    """Let the state after `step` steps not be saved any more."""
    save = Checkpoint.save

    def save_or_die(self, model, best, progress):
        if progress.step >= step:
            raise Cut
        save(self, model, best, progress)

    monkeypatch.setattr(Checkpoint, "save", save_or_die)


@pytest.fixture(scope="module", params=LOSSES, ids=NAMES)
def unbroken(request, data, tmp_path_factory):
    model, log = learner(loss=request.param), Log()
    progress = train(model, data, Checkpoint(tmp_path_factory.mktemp("whole")), log)
    return request.param, model, progress, log.points


@pytest.mark.parametrize("step", [4, 6])  # begun again at the end of an epoch, and within one
def test_a_training_cut_at_any_step_goes_on_to_the_same_weights_history_and_log(
    unbroken, data, tmp_path, monkeypatch, capsys, step
):
    loss, whole, expected, points = unbroken
    checkpoint, first = Checkpoint(tmp_path), Log()
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_before_saving(patch, step)
        train(learner(loss=loss), data, checkpoint, first)
    resumed, second = learner(seed=5, loss=loss), Log()  # weights and random numbers come from the checkpoint
    progress = train(resumed, data, checkpoint, second)

    assert f"going on after step {step - 1}, from" in capsys.readouterr().out
    assert progress == expected
    assert len(progress.history) == 4
    for there, here in zip(weights(whole), weights(resumed), strict=True):
        for one, other in zip(there, here, strict=True):
            np.testing.assert_array_equal(other, one)
    logged = {(s, next(iter(figures))): figures for figures, s in [*first.points, *second.points]}
    assert list(logged.items()) == [((s, next(iter(figures))), figures) for figures, s in points]


def test_images_that_lie_on_the_device_train_the_same_and_are_no_part_of_the_state(unbroken, data, tmp_path):
    loss, whole, expected, points = unbroken
    resident, log = learner(loss=loss, images=data[0].images), Log()
    assert train(resident, data, Checkpoint(tmp_path), log) == expected
    assert log.points == points
    for there, here in zip(weights(whole), weights(resident), strict=True):
        for one, other in zip(there, here, strict=True):
            np.testing.assert_array_equal(other, one)
    for path in Checkpoint(tmp_path).files:
        with np.load(path, allow_pickle=False) as state:
            assert data[0].images.shape not in [state[name].shape for name in state.files]


def test_a_signal_is_heard_after_the_step_and_the_same_command_goes_on(unbroken, data, tmp_path):
    loss, whole, expected, _ = unbroken
    steps = []

    def kill_once(step):
        steps.append(step)
        if steps.count(6) == 1 and step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    said = "step 6 of 12 is kept in .*; the same command goes on"
    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    interruption.handle()
    try:
        with pytest.raises(interruption.Interrupted, match=said) as end:
            train(learner(loss=loss), data, Checkpoint(tmp_path), Log(kill_once), seconds=1000)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert end.value.status == 143
    resumed = learner(seed=5, loss=loss)
    assert train(resumed, data, Checkpoint(tmp_path)) == expected
    np.testing.assert_array_equal(resumed.get_weights()[0], whole.get_weights()[0])


def test_what_was_logged_is_safe_before_the_state_is_saved(data, tmp_path, monkeypatch):
    log, saved = Log(), []
    monkeypatch.setattr(Checkpoint, "save", lambda *_: saved.append((log.flushed, len(log.points))))
    train(learner(), data, Checkpoint(tmp_path), log)
    assert len(saved) == 12
    assert all(flushed == added for flushed, added in saved)


@pytest.mark.parametrize(
    ("seconds", "takes", "expected"),
    [
        (1000, 0, [12]),
        (5, 0, [5, 10, 12]),
        (4, 0, [4, 8, 12]),
        (1, 0.25, [1, 7, 12]),  # 20 times as long is trained before the next
        (0, 0.25, [*range(1, 13)]),
    ],
)
def test_the_state_is_saved_as_often_as_asked_and_at_the_end(data, tmp_path, monkeypatch, seconds, takes, expected):
    saved, clock = [], itertools.count(1)
    now = 0

    def second_a_step(*_):
        nonlocal now
        now = next(clock)

    monkeypatch.setattr(health, "check_collapse", second_a_step)  # which is asked after each step
    monkeypatch.setattr("stages.train.loop.time", SimpleNamespace(perf_counter=lambda: now))

    def save(_, model, best, progress):
        nonlocal now
        saved.append(progress.step)
        now += takes

    monkeypatch.setattr(Checkpoint, "save", save)
    train(learner(), data, Checkpoint(tmp_path), seconds=seconds)
    assert saved == expected


def test_steps_do_not_ask_keras_for_the_model_which_on_jax_would_settle_it(data, tmp_path, monkeypatch):
    asked = []

    def model(callback):
        asked.append(type(callback).__module__)
        return callback._model

    monkeypatch.setattr(keras.callbacks.Callback, "model", property(model))
    train(learner(), data, Checkpoint(tmp_path), seconds=1000)
    assert fit.__module__ not in asked


def test_batches_come_in_the_order_of_the_plan(data, tmp_path, monkeypatch):
    seen = []
    model = learner()
    model.run_eagerly = True
    monkeypatch.setattr(model.statistics, "update_state", lambda labels, embeddings: seen.append(np.asarray(labels)))
    train(model, data, Checkpoint(tmp_path))
    training, _, plan = data
    np.testing.assert_array_equal(seen[-len(plan) :], training.labels[plan])


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_encoder_and_head_end_with_the_weights_of_their_best_epoch(data, tmp_path, monkeypatch, loss):
    scores = iter([0.5, 0.9, 0.9, 0.7])
    monkeypatch.setattr(
        "stages.ranking.means", lambda ranked, **measures: dict(zip(measures, (next(scores), 0.5), strict=True))
    )
    kept = []
    model = learner(loss=loss)
    remember = keras.callbacks.Callback()
    remember.on_epoch_end = lambda epoch, logs=None: kept.append(weights(model))
    monkeypatch.setattr("stages.train.loop._Keep", lambda *arguments: remember)
    progress = train(model, data, Checkpoint(tmp_path))
    assert (progress.best_epoch, progress.best) == (2, [0.9, 0.5])
    for part, best, last in zip(weights(model), kept[1], kept[3], strict=True):
        for expected, found in zip(best, part, strict=True):
            np.testing.assert_array_equal(found, expected)
        assert any((a != b).any() for a, b in zip(best, last, strict=True))


def test_of_several_processes_all_choose_the_epoch_that_the_first_would(data, tmp_path, monkeypatch):
    first = iter([[0.5, 0.1], [0.9, 0.2], [0.9, 0.1], [0.7, 0.1]])
    asked = []

    def from_the_first(content):
        asked.append(content)
        # Of a checkpoint there is none.
        return None if content is None else np.array(next(first)).tobytes()

    monkeypatch.setattr(processes, "from_the_first", from_the_first)
    progress = train(learner(), data, Checkpoint(tmp_path))
    assert (progress.best_epoch, progress.best) == (2, [0.9, 0.2])
    assert [row["val_map_at_r"] for row in progress.history] == [0.1, 0.2, 0.1, 0.1]
    assert len(asked) == 5


def weights(model):
    """Of the encoder, and of the head where there is one."""
    return [part.get_weights() for part in (model.encoder, model.head) if part is not None]


def test_steps_and_epochs_are_logged_once_each(data, tmp_path):
    log = Log()
    train(learner(), data, Checkpoint(tmp_path), log)
    assert [step for figures, step in log.points if "step/loss" in figures] == [3, 6, 9, 12]
    epochs = [(figures, step) for figures, step in log.points if "epoch/loss" in figures]
    assert [step for _, step in epochs] == [3, 6, 9, 12]
    for (step_figures, _), (epoch_figures, _) in zip(log.points[::2], epochs, strict=True):
        assert epoch_figures["epoch/loss"] == pytest.approx(step_figures["step/loss"])
        assert epoch_figures["epoch/easy"] == pytest.approx(step_figures["step/easy"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"",
        lambda whole: without(whole, "best_0000.npy"),
        lambda whole: flipped(whole, len(whole) // 2),  # in the largest array
        lambda whole: flipped(whole, whole.rindex(b"PK\x01\x02") + 8),  # of the last array, whether it is encrypted
        lambda whole: flipped(whole, whole.index(b"PK\x01\x02") + 6, 0b0111_1111),  # the version that could read it
    ],
)
def test_of_two_states_the_one_before_is_used_where_the_newest_is_damaged(data, tmp_path, capsys, damage):
    checkpoint = Checkpoint(tmp_path)
    train(learner(), data, checkpoint)
    newest, before = checkpoint.files
    assert (newest.name, before.name) == ("step_0000000012.npz", "step_0000000011.npz")
    newest.write_bytes(damage(newest.read_bytes()))
    assert step_of(checkpoint) == 11
    assert f"{newest} is damaged and is not used" in capsys.readouterr().out
    before.write_bytes(b"PK\x03\x04 not an archive")
    assert checkpoint.restore(learner()) is None


def step_of(checkpoint):
    restored = checkpoint.restore(learner(seed=5))
    assert restored is not None
    return restored[0].step


def without(whole, name):
    """The archive, as if it had never had a member."""
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(kept, "w") as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
    return kept.getvalue()


def flipped(whole, place, bits=1):
    return whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :]


def test_checkpoint_of_other_settings_or_data_is_another_folder(tmp_path):
    file = tmp_path / "labels.npy"
    np.save(file, np.arange(3))
    first = Checkpoint.of(tmp_path, {"margin": 0.5}, [file])
    assert Checkpoint.of(tmp_path, {"margin": 0.5}, [file]) == first
    assert Checkpoint.of(tmp_path, {"margin": 0.3}, [file]) != first
    np.save(file, np.arange(4))
    assert Checkpoint.of(tmp_path, {"margin": 0.5}, [file]) != first


@pytest.mark.parametrize("name", ["../../etc", "", "0123456789abcdef/..", None, 5, "/home"])
def test_a_checkpoint_named_by_a_file_lies_in_its_folder(tmp_path, name):
    assert Checkpoint.named(tmp_path, name) is None
    assert Checkpoint.named(tmp_path, "0123456789abcdef") == Checkpoint(tmp_path / "0123456789abcdef")


def test_nan_ends_the_training_at_its_step_and_keeps_the_last_good_state(data, tmp_path):
    model, checkpoint = learner(), Checkpoint(tmp_path)

    def poison(step):
        if step == 6:
            model.encoder.trainable_variables[0].assign(np.nan * model.encoder.trainable_variables[0])

    # The log hears of step 6 before its state is saved, and step 7 is the first that is computed from it.
    with pytest.raises(UserError) as caught:
        train(model, data, checkpoint, Log(poison), seconds=1000)
    line = str(caught.value)
    assert line.startswith("training diverged at step 7: found loss nan (")
    for part in (
        "one step before), mean length of the embeddings nan, learning rate 0.",
        "try a lower learning rate (optimizer.learning_rate, or its peak)",
    ):
        assert part in line
    assert "\n" not in line
    with pytest.raises(UserError, match="training diverged: weights are NaN or infinite after step 6; try"):
        train(learner_poisoned_at(6), data, checkpoint)
    assert checkpoint.files[0].name == "step_0000000005.npz"
    assert step_of(checkpoint) == 5


def learner_poisoned_at(step):
    model = learner()
    apply = model.optimizer.apply

    def poisoning(*given, **named):
        apply(*given, **named)
        if int(model.optimizer.iterations) == step:
            variable = model.encoder.trainable_variables[0]
            variable.assign(np.nan * variable)

    model.optimizer.apply = poisoning
    model.run_eagerly = True
    return model


FIGURES = {"step_loss": 0.6, "hardest_negative": 0.3, "norm": 1.0}


@pytest.mark.parametrize(
    ("loss", "at_a_point"),
    [
        (TripletHardLoss(0.5), 0.5),
        (TripletHardLoss(soft=True), 0.69),
        (TripletHardLoss(0.5, distance_metric="angular"), 0.5),
        (TripletLoss(0.4), 0.4),
        (TripletLoss(0.4, reduction="sum"), 1.6),
        (SiameseLoss(), 0.69),
        (PairContrastiveLoss(0.8), 0.32),
        (PairContrastiveLoss(0.8, convention="hadsell"), 0.16),
    ],
)
def test_a_point_is_told_from_progress(loss, at_a_point):
    near = {"squared-L2": 1e-6, "angular": 5e-7}.get(getattr(loss, "distance_metric", "L2"), 1e-3)
    point = FIGURES | {"step_loss": at_a_point, "hardest_negative": near}
    assert health.is_at_a_point(point, loss, rows=12)
    assert not health.is_at_a_point(point | {"step_loss": at_a_point / 2}, loss, rows=12)
    assert not health.is_at_a_point(point | {"hardest_negative": 100 * near}, loss, rows=12)


def test_of_a_loss_that_says_nothing_of_a_point_none_is_seen():
    figures = FIGURES | {"step_loss": 1.0, "hardest_negative": 1e-9}
    assert not health.is_at_a_point(figures, keras.losses.MeanSquaredError(), rows=12)


def test_an_embedding_that_stays_a_point_ends_the_training(data, tmp_path, monkeypatch):
    monkeypatch.setattr(health, "PATIENCE", 5)
    model = learner(rate=0.0)
    layer = model.encoder.layers[-1] if model.encoder.layers[-1].weights else model.encoder.layers[-2]
    for weight in layer.trainable_variables:
        weight.assign(np.full(weight.shape, 1e-9) if len(weight.shape) > 1 else np.ones(weight.shape))
    with pytest.raises(UserError) as caught:
        train(model, data, Checkpoint(tmp_path))
    line = str(caught.value)
    assert (
        "the embedding collapsed to a point, seen at step 5: for 5 steps found the loss at what a point costs, 0.5"
        in line
    )
    assert "loss.soft=true" in line
    assert "\n" not in line
