"""Training with Keras's `fit`: logging of steps, choice of the best epoch by validation, checkpoints."""

import contextlib
import functools
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

import keras
import numpy as np

from stages import interruption, ranking
from stages.errors import UserError
from stages.prepared import Images
from stages.train import health, processes, rates, strategy
from stages.train.checkpoint import Checkpoint, Progress, Row
from stages.train.encoding import embed
from stages.train.feed import PlannedBatches
from stages.train.learner import Learner

LOG_EVERY = 10
"""Steps that are averaged into one logged point."""
SAVED_FOR = 20
"""A save that took a second is followed by so many of training, at least: large states cost a twentieth of the time."""


class Log(Protocol):
    """Where figures go."""

    def add(self, figures: Mapping[str, float], step: int) -> None:
        """Take figures by name, and the number of steps made."""

    def flush(self) -> None:
        """Return when all that was added would outlive this process."""


def fit(
    learner: Learner,
    training: Images,
    validation: Images,
    plan: np.ndarray,
    steps_per_epoch: int,
    checkpoint: Checkpoint,
    checkpoint_seconds: float,
    log: Log,
) -> Progress:
    """Train a compiled learner on all batches of the plan; its encoder and head end with the weights of the best epoch.

    The best epoch is that of the highest recall@1 among the validation images, of equal ones that of the highest MAP@R.

    Args:
        learner: built and compiled.
        training: what the plan's indices point into.
        validation: by what the epoch is chosen.
        plan: int32 `[steps, batch]`.
        steps_per_epoch: a divisor of the number of steps.
        checkpoint: where the state is kept, and taken up from if it is there; not removed at the end.
        checkpoint_seconds: so often the state is saved, after the step that is under way, or less often where a save
            takes long; at the end always. 0: after each step.
        log: takes figures of the steps and of the epochs.

    Raises:
        UserError: the training diverged, or the embedding collapsed to a point.
        Interrupted: by SIGINT or SIGTERM, after the state was saved.
    """
    learner.optimizer.build(learner.trainable_variables)
    progress, best = checkpoint.restore(learner) or (Progress(), [])
    for row in progress.history:
        _log_epoch(log, row)
    selection = _Selection(learner, validation, progress, best)
    steps = _Steps(learner, steps_per_epoch, plan.shape[1], progress, log)
    keep = _Keep(checkpoint, checkpoint_seconds, len(plan), progress, selection, log)
    epochs = len(plan) // steps_per_epoch
    images = training.images if learner.images is None else None
    with interruption.deferred(), strategy.synchronized(learner):
        while progress.step < len(plan):
            # An epoch that was cut off is a shorter one to Keras; those after it are whole.
            left = steps_per_epoch - len(progress.rows)
            batches = PlannedBatches(images, training.labels, strategy.share(plan[progress.step :]))
            with contextlib.closing(batches):
                learner.fit(
                    batches,
                    epochs=progress.epoch + 1 if progress.rows else epochs,
                    initial_epoch=progress.epoch,
                    steps_per_epoch=left,
                    shuffle=False,  # the plan is the order
                    callbacks=[steps, selection, _History(progress, log), keep],
                    verbose=(1 if sys.stdout.isatty() else 2) if processes.here().writes else 0,
                )
    for variable, weight in zip(learner.lasting, selection.best_weights, strict=True):
        variable.assign(weight)
    return progress


class _Steps(keras.callbacks.Callback):
    """Keeps and logs the figures of the steps, logged as means of a few; ends a training that leads nowhere."""

    def __init__(self, learner: Learner, steps_per_epoch: int, batch_size: int, progress: Progress, log: Log) -> None:
        super().__init__()
        # Not `self.model`: on JAX, Keras settles all its variables for whoever asks for that.
        self.learner = learner
        self.steps_per_epoch, self.batch_size, self.progress, self.log = steps_per_epoch, batch_size, progress, log
        self.before: Row | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any]) -> None:
        self.rate_at = rates.by_step(self.learner.optimizer)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        progress, loss = self.progress, self.learner.statistics.loss
        figures = _take_figures(logs, self.learner)
        rate = functools.partial(self.rate_at, progress.step)
        progress.step += 1
        health.check_finite(figures, progress.step, rate, self.before, loss)
        self.before = figures
        progress.rows.append(figures)
        at_a_point = health.is_at_a_point(figures, loss, self.batch_size)
        progress.at_a_point = progress.at_a_point + 1 if at_a_point else 0
        done = len(progress.rows)
        if done % LOG_EVERY == 0 or done == self.steps_per_epoch:
            # "step/" and not the bare name: an epoch's figure of the same name is another series.
            means = _means(progress.rows[-(done % LOG_EVERY or LOG_EVERY) :])
            point = {f"step/{name.removeprefix('step_')}": value for name, value in means.items()}
            self.log.add(point | {"step/learning_rate": rate()}, progress.step)
        health.check_collapse(progress.at_a_point, figures, progress.step, rate, loss, self.batch_size)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        _take_figures(logs, self.learner)
        figures = _means(self.progress.rows)
        # Keras's own running mean is in float32, and of a resumed epoch's latter part alone.
        logs["loss"] = figures.pop("step_loss")
        logs.update(figures | {"learning_rate": self.rate_at(self.progress.step - 1)})


class _Selection(keras.callbacks.Callback):
    """Measures the encoder on the validation images and keeps the weights, also of the head, of the best epoch."""

    def __init__(self, learner: Learner, validation: Images, progress: Progress, best: list[np.ndarray]) -> None:
        super().__init__()
        self.learner, self.validation, self.progress = learner, validation, progress
        self.best_weights = best

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        embeddings = embed(self.learner.encoder, self.validation.images)
        if not np.isfinite(embeddings).all():
            raise UserError(
                f"training diverged in epoch {epoch + 1} (loss {logs['loss']:.3g}): found embeddings that are NaN or "
                f"infinite, expected finite ones; {health.advice(self.learner.statistics.loss)}"
            )
        found = ranking.means(
            ranking.leave_one_out(embeddings, self.validation.labels),
            val_recall_at_1=functools.partial(ranking.hits, k=1),
            val_map_at_r=ranking.average_precisions,
        )
        if found is None:
            raise ValueError("no class has two validation images")
        score = _of_the_first(list(found.values()))
        logs.update(zip(found, score, strict=True))
        if score > self.progress.best:
            self.progress.best, self.progress.best_epoch = score, epoch + 1
            self.best_weights = [np.array(variable) for variable in self.learner.lasting]


def _of_the_first(score: list[float]) -> list[float]:
    """As process 0 has it: last digits may differ between machines, but all must choose the same epoch."""
    told = processes.from_the_first(np.array(score).tobytes())
    return score if told is None else np.frombuffer(told).tolist()


class _History(keras.callbacks.Callback):
    """Writes the epoch's row."""

    def __init__(self, progress: Progress, log: Log) -> None:
        super().__init__()
        self.progress, self.log = progress, log

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        row = {name: float(value) for name, value in logs.items()}
        self.progress.history.append({"epoch": epoch + 1, "step": self.progress.step, **row})
        self.progress.rows = []
        _log_epoch(self.log, self.progress.history[-1])
        # The terminal's line has room for what tells most.
        for name in [name for name in logs if name not in ("loss", "active", "val_recall_at_1", "val_map_at_r")]:
            del logs[name]


class _Keep(keras.callbacks.Callback):
    """Saves the state every so often, at the end, and before an interruption."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        every: float,
        last_step: int,
        progress: Progress,
        selection: _Selection,
        log: Log,
    ) -> None:
        super().__init__()
        self.checkpoint, self.every, self.last_step = checkpoint, every, last_step
        self.pause = every
        self.progress, self.selection, self.log = progress, selection, log
        self.counted = self.saved = time.perf_counter()
        self.steps_ended: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any]) -> None:
        self.steps_ended = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.steps_ended.append(time.perf_counter())
        if batch + 1 < self.params["steps"]:  # else the epoch's end follows
            self._save_if_due()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if len(self.steps_ended) > 1:
            self.progress.step_ms = 1000 * float(np.median(np.diff(self.steps_ended)))
        self._save_if_due()

    def _save_if_due(self) -> None:
        stop = processes.all_stop(self.progress.step, interruption.requested() is not None)
        now = time.perf_counter()
        due = stop or now - self.saved >= self.pause or self.progress.step == self.last_step
        if due and processes.here().writes:
            self.progress.seconds += now - self.counted
            self.counted = now
            # Before the state: what it says was logged must not be lost with this process.
            self.log.flush()
            learner = self.selection.learner
            strategy.settle(learner)
            try:
                self.checkpoint.save(learner, self.selection.best_weights, self.progress)
            except FloatingPointError as error:
                raise UserError(f"training diverged: {error}; {health.advice(learner.statistics.loss)}") from None
            self.saved = time.perf_counter()
            if self.every:
                self.pause = max(self.every, SAVED_FOR * (self.saved - now))
        if stop:
            interruption.end(
                f"step {self.progress.step:,} of {self.last_step:,} is kept in {self.checkpoint.folder}; the same "
                "command goes on from there"
            )


def _take_figures(logs: dict[str, Any], model: Learner) -> Row:
    return {name: float(logs.pop(name)) for name in model.statistics.figures if name in logs}


def _log_epoch(log: Log, row: Row) -> None:
    log.add({f"epoch/{name}": value for name, value in row.items() if name not in ("epoch", "step")}, int(row["step"]))


def _means(rows: list[Row]) -> Row:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
