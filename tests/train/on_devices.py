"""Trains a tiny network with each loss, by each strategy, and prints losses and weights: on one device and on two.

A program of its own: how many devices a processor is divided into is settled once in a process, and several processes
may be what trains.
"""

import contextlib
import json
import sys
import tempfile
import threading
from pathlib import Path

import keras
import numpy as np
from keras import ops

from stages.errors import UserError
from stages.prepared import Images
from stages.train import strategy
from stages.train.augmentation import RandomAffine
from stages.train.checkpoint import Checkpoint
from stages.train.learner import Learner
from stages.train.loop import fit
from stages.train.losses import TripletHardLoss
from stages.train.stage import Unheard
from stages.train.statistics import TripletStatistics
from stages.train.targets import build

STEPS, BATCH = 6, 24
FIGURES = ("loss", "active", "hard", "semi_hard", "hardest_negative", "norm", "val_map_at_r")


class Cutting(Unheard):
    """Cuts the training off in the last step of the second epoch, which gives the third figures."""

    added = 0

    def add(self, figures, step):
        self.added += 1
        if self.added == 3:
            raise Cut


class Mixed(keras.losses.Loss):
    """A scalar, of which Keras has given a device its part of one term, and the whole of the other."""

    def call(self, y_true, y_pred):
        return TripletHardLoss()(y_true, y_pred) + 0.1 * ops.mean(ops.square(y_pred))


def network(regularizer):
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, use_bias=False, kernel_initializer=keras.initializers.GlorotUniform(seed=1)),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(
                5, kernel_initializer=keras.initializers.GlorotUniform(seed=2), kernel_regularizer=regularizer
            ),
        ]
    )


class Cut(Exception):
    """As a kill."""


def trained(loss, how, cut=False):
    """Figures of the epochs, and weights afterwards; if asked for, of a training that was cut off and went on.

    Args:
        loss: a section of the configuration; of this test are `rate` and `l2`.
        how: a strategy; with " resident" the images lie on the device.
        cut: whether it is cut off.
    """
    how, _, resident = how.partition(" ")
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(4, dtype=np.int32), 12)
    data = Images(
        (rng.integers(0, 60, (48, 4, 4, 1)) + 60 * (labels[:, None, None, None] % 3)).astype(np.uint8), labels
    )
    plan = np.stack([rng.permutation(48)[:BATCH] for _ in range(STEPS)]).astype(np.int32)
    with strategy.scope_of(how, BATCH)():
        keras.utils.set_random_seed(0)
        section = {key: value for key, value in loss.items() if key not in ("rate", "l2")}
        objective = build(section, "loss", [loss["_target_"]])
        learner = Learner(
            network(keras.regularizers.L2(loss.get("l2", 0.0))),
            RandomAffine(shift=1, rotation=20, scale=0.2, shear=0.2, seed=1),
            TripletStatistics(objective),
            objective.head(5) if hasattr(objective, "head") else None,
            data.images if resident else None,
        )
        learner.compile(
            optimizer=keras.optimizers.SGD(loss.get("rate", 0.02), momentum=0.9),
            loss=objective,
            jit_compile=strategy.compiles(),
        )
        learner.build((None, 4, 4, 1))
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Checkpoint(Path(folder))
            if cut:
                with contextlib.suppress(Cut):
                    fit(learner, data, data, plan, STEPS // 2, checkpoint, 0, Cutting())
                learner.encoder.set_weights([np.zeros_like(weight) for weight in learner.encoder.get_weights()])
            progress = fit(learner, data, data, plan, STEPS // 2, checkpoint, 0, Unheard())
        return {
            "figures": [[row[name] for name in FIGURES] for row in progress.history],
            "weights": [weight.ravel().tolist() for weight in map(np.asarray, learner.lasting)],
            "synchronized": any(getattr(layer, "synchronized", False) for layer in learner.encoder.layers),
        }


def refused(how, batch):
    try:
        strategy.scope_of(how, batch)
    except UserError as error:
        return str(error)
    return None


def main(losses, hows):
    with strategy.joined(hows[-1].split()[0]):
        if "mirrored" in hows:
            import tensorflow as tf

            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        strategy.set_up(seed=0, threads=2)
        found = {name: {how: trained(loss, how) for how in hows} for name, loss in losses.items()}
        first = next(iter(losses))
        cut = trained(losses[first], hows[-1], cut=True)
        threads = [thread.name for thread in threading.enumerate()]
        told = {"losses": found, "cut": cut, "refused": refused(hows[-1].split()[0], 25), "threads": threads}
        print("\n" + json.dumps(told))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
