"""The embed stage: embeddings of every image, by the trained encoder and by the network it began as."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import config, prepared, store
from stages.embed.models import head_weights, load_encoder
from stages.embedded import SPLITS
from stages.errors import UserError
from stages.train import strategy
from stages.train.checkpoint import Checkpoint
from stages.train.encoding import embed
from stages.train.targets import build


def run(
    network: dict[str, Any],
    train: config.Train,
    paths: config.Paths,
    seed: int,
    threads: int,
    allowed_targets: Sequence[str],
) -> None:
    """Write embeddings, trained and untrained, and labels of each split; the head's weights where there is a head.

    Raises:
        UserError: a file is missing, malformed, or of other images; a head that is not `w·|left - right| + b`.
    """
    strategy.set_up(seed, threads, train.precision)
    loaded = {split: prepared.load(paths.prepared, split) for split in SPLITS}
    images = {split: rows.images for split, rows in loaded.items()}
    shape = images["train"].shape[1:]
    for split in SPLITS:
        if images[split].shape[1:] != shape:
            raise UserError(
                f"{paths.prepared}/{split}_images.npy: found images of {list(images[split].shape[1:])}, expected "
                f"{list(shape)} as in train_images.npy (run `dvc repro prepare`)"
            )
    # Built first and after the same seed as in training, the network has the weights that training began with.
    untrained = build(network, "network", allowed_targets, input_shape=shape)
    trained = load_encoder(Path(paths.model) / "embedder.keras", shape)
    head = head_weights(Path(paths.model) / "head.keras", trained.output_shape[1])
    folder = Path(paths.embeddings)
    progress = sys.stdout.isatty()
    with store.together():
        store.remove(folder / "head.npy")  # of an earlier model
        if head is not None:
            store.save_array(folder / "head.npy", head)
        for split in SPLITS:
            store.save_array(folder / f"{split}_embeddings.npy", embed(trained, images[split], progress=progress))
            store.save_array(folder / f"{split}_untrained.npy", embed(untrained, images[split], progress=progress))
            store.save_array(folder / f"{split}_labels.npy", loaded[split].labels)
    # Kept until here, since a training killed before DVC had its outputs would have begun anew.
    checkpoint = _checkpoint(paths)
    if checkpoint is not None:
        checkpoint.remove()
    print(f"embedded {sum(map(len, images.values())):,} images in {trained.output_shape[1]} dimensions")


def _checkpoint(paths: config.Paths) -> Checkpoint | None:
    """The state of the training that made the model, if it says so and can be read: no embedding depends on it."""
    try:
        facts = store.load_json(Path(paths.model) / "training.json")
    except UserError:
        return None
    return Checkpoint.named(paths.checkpoints, facts.get("checkpoint")) if isinstance(facts, dict) else None
