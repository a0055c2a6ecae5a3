"""Training with Keras's `fit`: logging of steps, choice of the best epoch by validation, checkpoints."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from stages import ranking
from stages.errors import UserError
from stages.train.checkpoint import Checkpoint, Progress, Row
from stages.train.encoding import embed
from stages.train.feed import PlannedBatches
from stages.train.learner import Learner

LOG_EVERY = 10
"""Steps that are averaged into one logged point."""

Log = Callable[[Mapping[str, float], int], None]
"""Takes figures by name and the number of steps made."""


@dataclass(frozen=True)
class Images:
    """Images uint8 `[N, H, W, C]` with labels int32 `[N]`."""

    images: np.ndarray
    labels: np.ndarray


def fit(
    learner: Learner,
    training: Images,
    validation: Images,
    plan: np.ndarray,
    steps_per_epoch: int,
    checkpoint: Checkpoint,
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
        checkpoint: where the state is kept after each epoch, and taken up from if it is there.
        log: called with figures of the steps and of the epochs.
    """
    learner.optimizer.build(learner.trainable_variables)
    progress, best = checkpoint.restore(learner) or (Progress(), [])
    if progress.epoch:
        print(f"going on after epoch {progress.epoch}, from {checkpoint.path}", flush=True)
        for row in progress.history:
            _log_epoch(log, row)
    selection = _Selection(learner, validation, progress, best)
    if progress.epoch * steps_per_epoch < len(plan):
        learner.fit(
            PlannedBatches(training.images, training.labels, plan[progress.epoch * steps_per_epoch :]),
            epochs=len(plan) // steps_per_epoch,
            initial_epoch=progress.epoch,
            steps_per_epoch=steps_per_epoch,
            shuffle=False,  # the plan is the order
            callbacks=[
                _StepLog(steps_per_epoch, log),
                selection,
                _History(steps_per_epoch, progress, log),
                _Keep(checkpoint, progress, selection),
            ],
            verbose=1 if sys.stdout.isatty() else 2,
        )
    for variable, weight in zip(learner.lasting, selection.best_weights, strict=True):
        variable.assign(weight)
    return progress


class _StepLog(keras.callbacks.Callback):
    """Logs the figures of the steps, averaged over a few, and puts the epoch's averages into the epoch's row."""

    def __init__(self, steps_per_epoch: int, log: Log) -> None:
        super().__init__()
        self.steps_per_epoch, self.log = steps_per_epoch, log
        self.window: list[Row] = []
        self.epoch_rows: list[Row] = []
        self.steps = 0
        self.rate = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any]) -> None:
        self.steps = epoch * self.steps_per_epoch
        self.window, self.epoch_rows = [], []

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any]) -> None:
        # Here, for the schedule is a step further once the batch has ended.
        self.rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        figures = _take_figures(logs, self.model)
        self.window.append(figures)
        self.epoch_rows.append(figures)
        if len(self.window) == LOG_EVERY or batch + 1 == self.steps_per_epoch:
            # "step/" and not the bare name: an epoch's figure of the same name is another series.
            point = {f"step/{name.removeprefix('step_')}": value for name, value in _means(self.window).items()}
            point["step/learning_rate"] = self.rate
            self.log(point, self.steps + batch + 1)
            self.window = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        _take_figures(logs, self.model)
        figures = _means(self.epoch_rows)
        # Keras's own running mean is in float32; the mean of the steps' losses is the same number with more digits.
        logs["loss"] = figures.pop("step_loss")
        logs.update(figures | {"learning_rate": self.rate})


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
                f"training diverged in epoch {epoch + 1} (loss {logs['loss']:.3g}): embeddings are NaN or infinite; "
                f"{_advice('a lower rate (optimizer.learning_rate)', self.learner.statistics.loss)}"
            )
        ranked = list(ranking.leave_one_out(embeddings, self.validation.labels))
        recall, map_at_r = ranking.recall_at_k(ranked, [1])[1], ranking.map_at_r(ranked)
        if recall is None or map_at_r is None:
            raise ValueError("no class has two validation images")
        logs.update({"val_recall_at_1": recall, "val_map_at_r": map_at_r})
        score = [recall, map_at_r]
        if score > self.progress.best:
            self.progress.best, self.progress.best_epoch = score, epoch + 1
            self.best_weights = [np.array(variable) for variable in self.learner.lasting]


class _History(keras.callbacks.Callback):
    """Writes the epoch's row, and warns of a collapse."""

    def __init__(self, steps_per_epoch: int, progress: Progress, log: Log) -> None:
        super().__init__()
        self.steps_per_epoch, self.progress, self.log = steps_per_epoch, progress, log

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        row = {name: float(value) for name, value in logs.items()}
        steps = (epoch + 1) * self.steps_per_epoch
        self.progress.history.append({"epoch": epoch + 1, "step": steps, **row})
        _log_epoch(self.log, self.progress.history[-1])
        warning = collapse_warning(self.progress.history, self.model.statistics.loss)
        if warning:
            print(warning, flush=True)
        # The terminal's line has room for what tells most.
        for name in [name for name in logs if name not in ("loss", "active", "val_recall_at_1", "val_map_at_r")]:
            del logs[name]


class _Keep(keras.callbacks.Callback):
    """Saves the state after each epoch."""

    def __init__(self, checkpoint: Checkpoint, progress: Progress, selection: _Selection) -> None:
        super().__init__()
        self.checkpoint, self.progress, self.selection = checkpoint, progress, selection
        self.since = time.perf_counter()
        self.steps_ended: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any]) -> None:
        self.steps_ended = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.steps_ended.append(time.perf_counter())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        self.progress.epoch = epoch + 1
        now = time.perf_counter()
        self.progress.seconds += now - self.since
        self.since = now
        if len(self.steps_ended) > 1:
            self.progress.step_ms = 1000 * float(np.median(np.diff(self.steps_ended)))
        self.checkpoint.save(self.model, self.selection.best_weights, self.progress)


def collapse_warning(history: list[Row], loss: Any) -> str | None:
    """A line if the embeddings draw together to a point while the loss stays where a point leaves it.

    In a point all distances are 0, and hardly any gradient leads out of it. The loss says by `collapsed` what it is
    there; one that does not say, or says None, is never warned of.
    """
    plateau = getattr(loss, "collapsed", None)
    first, latest = history[0], history[-1]
    if plateau is None or not latest["loss"] > 0.9 * plateau > 0:
        return None
    if latest["hardest_negative"] >= 0.02 * first["hardest_negative"]:
        return None
    return (
        f"the embedding collapses: loss {latest['loss']:.3f} of {plateau:.3f} at a point, mean distance to the hardest "
        f"negative {latest['hardest_negative']:.3g}; {_advice('a lower rate', loss)}"
    )


def _advice(first: str, loss: Any) -> str:
    soften = getattr(loss, "soft", None) is False
    return f"try {first}, a longer warm-up, or loss.soft=true" if soften else f"try {first} or a longer warm-up"


def _take_figures(logs: dict[str, Any], model: Learner) -> Row:
    return {name: float(logs.pop(name)) for name in model.statistics.figures if name in logs}


def _log_epoch(log: Log, row: Row) -> None:
    log({f"epoch/{name}": value for name, value in row.items() if name not in ("epoch", "step")}, int(row["step"]))


def _means(rows: list[Row]) -> Row:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
