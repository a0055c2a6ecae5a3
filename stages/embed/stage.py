"""The embed stage: embeddings of every image, by the trained encoder and by the network it began as."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stages import config, store
from stages.embedded import SPLITS
from stages.errors import UserError
from stages.train import strategy
from stages.train.encoding import embed
from stages.train.targets import build


def run(network: dict[str, Any], paths: config.Paths, seed: int, threads: int, allowed_targets: Sequence[str]) -> None:
    """Write embeddings, trained and untrained, and labels of each split."""
    strategy.set_up(seed, threads)
    images = {split: _images(paths.prepared, split) for split in SPLITS}
    shape = images["train"].shape[1:]
    # Built first and after the same seed as in training, the network has the weights that training began with.
    untrained = build(network, "network", allowed_targets, input_shape=shape)
    trained = _load(Path(paths.model) / "embedder.keras", shape)
    folder = Path(paths.embeddings)
    for split in SPLITS:
        labels = store.load_array(Path(paths.prepared) / f"{split}_labels.npy", np.int32, 1)
        progress = sys.stdout.isatty()
        store.save_array(folder / f"{split}_embeddings.npy", embed(trained, images[split], progress=progress))
        store.save_array(folder / f"{split}_untrained.npy", embed(untrained, images[split], progress=progress))
        store.save_array(folder / f"{split}_labels.npy", labels)
    print(f"embedded {sum(map(len, images.values())):,} images in {trained.output_shape[1]} dimensions")


def _images(folder: str, split: str) -> np.ndarray:
    return store.load_array(Path(folder) / f"{split}_images.npy", np.uint8, 4, memory_map=True)


def _load(path: Path, shape: tuple[int, ...]) -> keras.Model:
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the output of the train stage (run `dvc repro`)")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise UserError(f"{path}: not readable as a Keras model ({' '.join(str(error).split())})") from None
    if tuple(model.input_shape[1:]) != tuple(shape):
        raise UserError(f"{path}: found a model of images {list(model.input_shape[1:])}, expected {list(shape)}")
    return model
