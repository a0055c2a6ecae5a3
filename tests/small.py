"""A small prepared data set, and settings for it, for the stages that come after prepare."""

from pathlib import Path

import numpy as np

from stages import config, store

OVERRIDES = (
    "network.widths=[2,4,4]",
    "network.embedding_dim=3",
    "train.steps=4",
    "train.steps_per_epoch=2",
)
BATCHES = ("batches.classes_per_batch=4", "batches.samples_per_class=3")  # where a test chooses no other layout


def settings(folder: Path, *overrides: str) -> config.Config:
    """A valid configuration whose paths lie in `folder`."""
    names = config.parse(config.compose(), "conf").paths.model_dump()
    paths = [f"paths.{name}={folder / path}" for name, path in names.items()]
    batches = () if any(override.startswith("batches=") for override in overrides) else BATCHES
    return config.parse(config.compose([*OVERRIDES, *batches, *paths, *overrides]), "conf")


def write_prepared(settings: config.Config) -> None:
    """Images of four classes that differ in brightness, and a plan for them."""
    rng = np.random.default_rng(0)
    prepared = Path(settings.paths.prepared)
    for split, count in (("train", 40), ("validation", 12), ("test", 12)):
        labels = np.arange(count, dtype=np.int32) % 4
        images = (rng.integers(0, 60, (count, 8, 8, 1)) + 60 * labels[:, None, None, None]).astype(np.uint8)
        store.save_array(prepared / f"{split}_images.npy", images)
        store.save_array(prepared / f"{split}_labels.npy", labels)
    store.save_json(prepared / "classes.json", ["ant", "bee", "cat", "dog"])
    plan = rng.integers(0, 40, (settings.train.steps, settings.batches.size), dtype=np.int32)
    store.save_array(settings.paths.batches, plan)
