"""The train stage: from prepared images and the plan to an encoder, and to the loss's head if it has one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stages import config, grid, own_code, prepared, ranking, store, tracking
from stages.errors import UserError
from stages.train import curves, processes, strategy
from stages.train.augmentation import RandomAffine
from stages.train.checkpoint import Checkpoint, Progress
from stages.train.encoding import embed
from stages.train.learner import Learner
from stages.train.loop import Log, fit
from stages.train.losses import ContrastiveLoss, EmbeddingLoss
from stages.train.statistics import TripletStatistics
from stages.train.targets import build
from stages.train.trial import try_loss, try_optimizer

ANCHORS = 64
"""Of a batch, for counting kinds of triplets: sorting every row of a large one would cost more than the loss."""


def run(
    data: config.Data,
    batches: config.Batches,
    network: dict[str, Any],
    loss: dict[str, Any],
    optimizer: dict[str, Any],
    train: config.Train,
    paths: config.Paths,
    seed: int,
    threads: int,
    allowed_targets: Sequence[str],
    params_file: Path,
) -> None:
    """Train the network on the planned batches and keep the encoder of the epoch that validates best.

    Raises:
        UserError: inputs that are missing or do not go together, a part that cannot be built, a training that diverged.
    """
    with strategy.joined(train.strategy):
        strategy.set_up(seed, threads, train.precision)
        objective = build(loss, "loss", allowed_targets, keras.losses.Loss)
        _check_layout(objective, batches.layout)
        training, validation = (prepared.load(paths.prepared, split) for split in ("train", "validation"))
        if np.unique(validation.labels, return_counts=True)[1].max(initial=0) < 2:
            raise UserError(
                f"data.validation: found {data.validation}, which gives no class two validation images; expected a "
                "share that does, for epochs are compared by them"
            )
        plan = store.load_array(paths.batches, np.int32, 2)
        _check_plan(plan, paths.batches, len(training.labels), batches, train.steps)

        scope = strategy.scope_of(train.strategy, plan.shape[1])
        settings = {
            "data": data.model_dump(exclude={"path"}),
            "batches": batches.model_dump(),
            "network": network,
            "loss": loss,
            "optimizer": optimizer,
            "train": train.model_dump(exclude={"checkpoint_seconds"}),
            "seed": seed,
            "threads": threads,
        }
        files = [*_files_behind(paths), *own_code.files((network, loss, optimizer), allowed_targets)]
        with scope():
            behind = settings | {"by": strategy.computes_with()}
        checkpoint = Checkpoint.of(paths.checkpoints, behind, files)
        processes.agree_on("settings, prepared images, batches, code, packages or precision", checkpoint.folder.name)

        # Another one than is to train: that one makes steps on its devices only.
        try_optimizer(build(optimizer, "optimizer", allowed_targets, keras.optimizers.Optimizer))
        with scope():
            encoder = build(network, "network", allowed_targets, keras.Model, input_shape=training.images.shape[1:])
            built_optimizer = build(optimizer, "optimizer", allowed_targets, keras.optimizers.Optimizer)
            resident = training.images if strategy.keeps(training.images) else None
            learner = _learner(encoder, objective, built_optimizer, train.augmentation, plan.shape[1], seed, resident)
            if processes.here().writes:
                print(strategy.described(threads, resident is not None), flush=True)

        def train_with(log: Log) -> Progress:
            how = (plan, train.steps_per_epoch, checkpoint, train.checkpoint_seconds, log)
            with scope():
                return fit(learner, training, validation, *how)

        if not processes.here().writes:
            train_with(Unheard())
            return
        folder, figure = Path(paths.model), Path(paths.plots) / "training.png"
        names = {"data": data.name, "network": _short(network), "loss": _short(loss)}
        unfinished = checkpoint.folder / "run.json"
        # Of other settings, by a process that was killed: only one at a time trains here.
        tracking.end_killed(file for file in checkpoint.folder.parent.glob("*/run.json") if file != unfinished)
        with tracking.started(folder / "run.json", " ".join(names.values()), names, unfinished) as run:
            run.params(behind | {"parameters": encoder.count_params()})
            run.params({"network": names["network"], "loss": names["loss"]})  # MLflow's charts cut `_target_` short
            run.artifact(params_file)
            run.dataset(training.images, training.labels, data.name, paths.prepared)
            progress = train_with(ToRun(run))
            recall, map_at_r = progress.best
            best = {"best_epoch": progress.best_epoch, "best_val_recall_at_1": recall, "best_val_map_at_r": map_at_r}
            facts = {
                "train_seconds": round(progress.seconds, 1),
                "step_ms": round(progress.step_ms, 2),
                "parameters": encoder.count_params(),
            }
            with store.together():
                heads = _save(learner, folder)
                curves.write(progress.history, folder / "history.csv", figure)
                store.save_json(
                    folder / "training.json", facts | {"by": behind["by"], "checkpoint": checkpoint.folder.name}
                )
                store.save_json(folder / "run.json", {"run_id": run.run_id})
            for head in heads:
                run.artifact(head)
            run.metrics(best | facts, train.steps)
            run.artifact(figure, "plots")
            run.artifact(folder / "history.csv")
            examples = training.images[:2]
            with scope():
                run.model(encoder, examples, embed(encoder, examples))
        print(
            f"{encoder.count_params():,} parameters, {train.steps} steps of {plan.shape[1]} images; kept epoch "
            f"{progress.best_epoch} of {progress.epoch}: validation recall@1 {recall:.4f}, MAP@R {map_at_r:.4f}"
        )


def _learner(
    encoder: keras.Model,
    objective: keras.losses.Loss,
    optimizer: keras.optimizers.Optimizer,
    augmentation: config.Augmentation,
    batch: int,
    seed: int,
    resident: np.ndarray | None,
) -> Learner:
    """The model to train, compiled and built, whose loss was tried."""
    if not encoder.built or len(encoder.output_shape) != 2:
        found = f"output of shape {encoder.output_shape}" if encoder.built else "a network without input and output"
        raise UserError(f"network: found {found}, expected [batch, embedding_dim]")
    try_loss(objective, batch, encoder.output_shape[1])
    learner = Learner(
        encoder,
        # float32 under every policy: positions between pixels need the digits.
        RandomAffine(**augmentation.model_dump(), seed=seed, dtype="float32"),
        TripletStatistics(objective, stride=max(1, batch // ANCHORS)),
        _head(objective, encoder.output_shape[1]),
        resident,
    )
    learner.compile(optimizer=optimizer, loss=objective, jit_compile=strategy.compiles())
    learner.build(encoder.input_shape)
    return learner


def _check_layout(loss: keras.losses.Loss, layout: str) -> None:
    """Refuse batches whose rows the loss would misread; a loss that names no layouts takes any."""
    layouts = getattr(loss, "layouts", None)
    if layouts is None or layout in layouts:
        return
    name = type(loss).__name__
    if isinstance(loss, ContrastiveLoss):
        raise UserError(
            f"loss: {name} takes distances, a network gives embeddings; PairContrastiveLoss is meant: "
            "add loss=contrastive and batches=pairs"
        )
    expected = (
        f"expected {' or '.join(layouts)}: add batches={layouts[0]}" if layouts else "and it names none that it takes"
    )
    raise UserError(f"loss: {name} cannot work with batches.layout {layout!r}, {expected}")


def _check_plan(plan: np.ndarray, path: str, images: int, batches: config.Batches, steps: int) -> None:
    expected = [steps, batches.size]
    if list(plan.shape) != expected:
        raise UserError(f"{path}: found a plan of shape {list(plan.shape)}, expected {expected} (run `dvc repro`)")
    if plan.min() < 0 or plan.max() >= images:
        raise UserError(f"{path}: found indices from {plan.min()} to {plan.max()}, expected 0 to {images - 1}")


def _head(loss: keras.losses.Loss, embedding_dim: int) -> keras.Model | None:
    """The loss's head, made after the encoder, so that a head changes nothing of the weights that one begins with."""
    return loss.head(embedding_dim) if isinstance(loss, EmbeddingLoss) else None


def _files_behind(paths: config.Paths) -> list[Path]:
    """What a training depends on beside its settings: images, plan, code, the packages' versions."""
    images = [file for split in ("train", "validation") for file in prepared.files(paths.prepared, split).values()]
    code = [*Path(__file__).parent.rglob("*.py"), *Path(ranking.__file__).parent.glob("*.py"), Path(grid.__file__)]
    lock = Path(__file__).parents[2] / "requirements.lock"
    return [*images, Path(paths.batches), *sorted(code), lock]


def _save(learner: Learner, folder: Path) -> list[Path]:
    """Write the encoder and, where the loss has one, its head; returns the path of the head's file, if there is one."""
    head = folder / "head.keras"
    store.remove(head)  # of an earlier loss: it would judge embeddings that it does not know
    with store.replacing(folder / "embedder.keras") as path:
        learner.encoder.save(path)
    if learner.head is None:
        return []
    # Probabilities, for whoever loads it knows nothing of this loss.
    probability = keras.layers.Activation("sigmoid", dtype="float32", name="probability")(learner.head.output)
    with store.replacing(head) as path:
        keras.Model(learner.head.inputs, probability, name="head").save(path)
    return [head]


class ToRun:
    """Sends figures to an MLflow run, many at once: a call to MLflow costs far more than a number.

    What an earlier attempt sent, which did not come to its end, is not logged twice.
    """

    def __init__(self, run: tracking.Run) -> None:
        self._run = run
        self._points: dict[str, list[tracking.Point]] = {"step": [], "epoch": []}

    def add(self, figures: Mapping[str, float], step: int) -> None:
        """Take figures; those of an epoch, and of its steps, are sent with it."""
        kind = next(iter(figures)).partition("/")[0]
        self._points[kind].append(tracking.Point(figures, step))
        if kind == "epoch":
            self._send()

    def flush(self) -> None:
        """Send what was taken; return when it would outlive this process."""
        self._send()
        self._run.flush()

    def _send(self) -> None:
        for kind, points in self._points.items():
            if points:
                self._run.points(points, series=f"{kind}/loss")
            self._points[kind] = []


class Unheard:
    """Takes the figures of a process whose figures are those of process 0."""

    def add(self, figures: Mapping[str, float], step: int) -> None:
        """Take figures."""

    def flush(self) -> None:
        """Nothing is kept."""


def _short(section: dict[str, Any]) -> str:
    return section["_target_"].rpartition(".")[2]
