"""The train stage: from prepared images and the plan to an encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stages import config, store, tracking
from stages.errors import UserError
from stages.train import curves, strategy
from stages.train.augmentation import RandomAffine
from stages.train.checkpoint import Checkpoint
from stages.train.learner import Learner
from stages.train.loop import Images, embed, fit
from stages.train.losses import EmbeddingLoss
from stages.train.statistics import TripletStatistics
from stages.train.targets import build

_ANCHORS = 256
"""Of a batch, for counting kinds of triplets: sorting every row of a large one would cost more than the loss."""


def run(
    data: config.Data,
    batches: config.ClassBalanced | config.Shuffled,
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
    """Train the network on the planned batches and keep the encoder of the epoch that validates best."""
    strategy.set_up(seed, threads)
    training, validation = (_load(paths.prepared, split) for split in ("train", "validation"))
    plan = store.load_array(paths.batches, np.int32, 2)
    _check_plan(plan, len(training.labels), paths.batches)
    encoder = build(network, "network", allowed_targets, input_shape=training.images.shape[1:])
    learner = _learner(encoder, build(loss, "loss", allowed_targets), train, plan.shape[1], seed)
    learner.compile(
        optimizer=build(optimizer, "optimizer", allowed_targets), loss=learner.statistics.loss, jit_compile=False
    )
    learner.build((None, *training.images.shape[1:]))
    settings = {
        "data": {"name": data.name},
        "batches": batches.model_dump(),
        "network": network,
        "loss": loss,
        "optimizer": optimizer,
        "train": train.model_dump(),
        "seed": seed,
        "threads": threads,
    }
    prepared = [Path(paths.prepared) / f"{name}.npy" for name in ("train_images", "train_labels")]
    checkpoint = Checkpoint.of(paths.checkpoints, settings, [*prepared, Path(paths.batches)])
    folder = Path(paths.model)
    points: list[tuple[Any, int]] = []
    name = f"{data.name} {_short(network)} {_short(loss)}"
    tags = {"data": data.name, "network": _short(network), "loss": _short(loss)}
    with tracking.started(folder / "run.json", name, tags) as run:
        run.params(settings | {"parameters": encoder.count_params()})
        run.artifact(params_file)
        run.dataset(training.images, training.labels, data.name, data.path)
        progress = fit(
            learner,
            training,
            validation,
            plan,
            train.steps_per_epoch,
            checkpoint,
            log=lambda figures, step: points.append((figures, step)),
        )
        with store.replacing(folder / "embedder.keras") as path:
            encoder.save(path)
        curves.write(progress.history, folder / "history.csv", Path(paths.plots) / "training.png")
        run.points(points)
        run.metrics({"best_epoch": progress.best_epoch, "best_val_recall_at_1": progress.best[0]}, train.steps)
        run.artifact(Path(paths.plots) / "training.png", "plots")
        run.artifact(folder / "history.csv")
        examples = training.images[:2]
        run.model(encoder, examples, embed(encoder, examples))
    checkpoint.remove()
    print(
        f"{encoder.count_params():,} parameters, {train.steps} steps of {plan.shape[1]} images; kept epoch "
        f"{progress.best_epoch} of {progress.epoch}: validation recall@1 {progress.best[0]:.4f}, "
        f"MAP@R {progress.best[1]:.4f}"
    )


def _load(folder: str, split: str) -> Images:
    images = store.load_array(Path(folder) / f"{split}_images.npy", np.uint8, 4, memory_map=True)
    labels = store.load_array(Path(folder) / f"{split}_labels.npy", np.int32, 1)
    if len(images) != len(labels):
        raise UserError(f"{folder}: found {len(images)} {split} images and {len(labels)} labels, expected as many")
    return Images(images, labels)


def _check_plan(plan: np.ndarray, images: int, path: str) -> None:
    if plan.size and not (plan.min() >= 0 and plan.max() < images):
        raise UserError(f"{path}: found indices from {plan.min()} to {plan.max()}, expected 0 to {images - 1}")


def _learner(encoder: keras.Model, loss: Any, train: config.Train, batch: int, seed: int) -> Learner:
    if not isinstance(loss, EmbeddingLoss):
        raise UserError(f"loss._target_: found {type(loss).__name__}, expected a loss of embeddings")
    if len(encoder.output_shape) != 2:
        raise UserError(f"network: found output of shape {encoder.output_shape}, expected [batch, embedding_dim]")
    augmentation = RandomAffine(**train.augmentation.model_dump(), seed=seed)
    return Learner(encoder, augmentation, TripletStatistics(loss, stride=max(1, batch // _ANCHORS)))


def _short(section: dict[str, Any]) -> str:
    return section["_target_"].rpartition(".")[2]
