"""The train stage's whole loop, over any images and plan, for benchmarks to time."""

import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stages import config
from stages.prepared import Images
from stages.quiet import hidden_stderr


def stage_loop(settings: config.Config, validation: Images) -> Callable[[Images, np.ndarray], float]:
    """Everything that belongs to the loop: reading, augmentation, mining, loss, callbacks, checkpoints, MLflow's log.

    Args:
        settings: of the network, loss, optimizer, batches and training.
        validation: what an epoch ends with; the fewer, the less of it is timed.

    Returns:
        A function of training images and a plan int32 `[steps, B]`, taken as one epoch, to seconds for a step.
    """
    from stages import tracking

    with hidden_stderr():
        from stages.train import strategy
        from stages.train.augmentation import RandomAffine
        from stages.train.checkpoint import Checkpoint
        from stages.train.learner import Learner
        from stages.train.loop import fit
        from stages.train.stage import ANCHORS, ToRun
        from stages.train.statistics import TripletStatistics
        from stages.train.targets import build

    shape = validation.images.shape[1:]
    loss = build(settings.loss, "loss")
    learner = Learner(
        build(settings.network, "network", input_shape=shape),
        RandomAffine(**settings.train.augmentation.model_dump(), seed=0, dtype="float32"),
        TripletStatistics(loss, stride=max(1, settings.batches.size // ANCHORS)),
    )
    learner.compile(optimizer=build(settings.optimizer, "optimizer"), loss=loss, jit_compile=strategy.compiles())
    learner.build((None, *shape))

    def run(images: Images, plan: np.ndarray) -> float:
        with (
            tempfile.TemporaryDirectory() as place,
            contextlib.redirect_stdout(io.StringIO()),
            tracking.started(Path(place) / "run.json", "bench", {}) as mlflow,
        ):
            checkpoint, every = Checkpoint(Path(place) / "state"), settings.train.checkpoint_seconds
            began = time.perf_counter()
            fit(learner, images, validation, plan, len(plan), checkpoint, every, ToRun(mlflow))
            return (time.perf_counter() - began) / len(plan)

    return run
