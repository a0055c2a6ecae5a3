"""From files of images to arrays: training, validation and test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stages import config, store
from stages.errors import UserError
from stages.prepare.classes import Classes, index_classes, listed
from stages.prepare.readers import csv
from stages.prepare.resizing import resize
from stages.prepare.splits import stratified


def run(data: config.Data, paths: config.Paths, seed: int) -> None:
    """Read the images of `data.path`, split off validation, write the arrays into `paths.prepared`.

    Images of held-out classes go into the test split alone. A class has the same index in every split.

    Raises:
        UserError: the files are missing or faulty, or the settings do not fit them; nothing has been written then.
    """
    train, test = csv.read(data.path, data.name, data.shape)
    classes = index_classes(train, test, data.holdout_classes)
    rows = _split(classes, data.validation, seed)
    images = {"train": train.images, "test": test.images}
    if data.image_size is not None:
        images = {part: resize(images[part], data.image_size) for part in images}
    labels = {name: classes.train_labels[chosen] for name, chosen in rows.items()} | {"test": classes.test_labels}
    prepared = Path(paths.prepared)
    for name, chosen in rows.items():
        store.save_array(prepared / f"{name}_images.npy", images["train"][chosen])
    store.save_array(prepared / "test_images.npy", images["test"])
    for name in labels:
        store.save_array(prepared / f"{name}_labels.npy", labels[name])
    store.save_json(prepared / "classes.json", classes.names)
    shape = list(images["train"].shape[1:])
    source = {"name": data.name, "files": [*train.files, *test.files], "image_shape": shape}
    store.save_json(prepared / "summary.json", source | _counts(classes, labels))
    sizes = ", ".join(f"{len(labels[name])} {name}" for name in labels)
    print(f"{data.name}: {sizes} images of {' × '.join(map(str, shape))} in {_described(classes)} → {prepared}")


def _split(classes: Classes, share: float, seed: int) -> dict[str, np.ndarray]:
    """Rows of the training files that go into training and into validation, ascending."""
    seen = classes.seen_rows
    train, validation = stratified(classes.train_labels[seen], share, seed)
    if not len(validation):
        raise UserError(
            f"data.validation: found {share}, which gives none of {len(seen)} training images; "
            "expected a share that gives at least one"
        )
    return {"train": seen[train], "validation": seen[validation]}


def _counts(classes: Classes, labels: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Numbers of classes and images, for the summary."""
    return {
        "classes": len(classes.names),
        "images": {name: len(labels[name]) for name in labels},
        "per_class": {name: _per_class(classes.names, labels[name]) for name in labels},
        "held_out": {
            "classes": classes.held_out_names,
            "training_images_left_out": len(classes.train_labels) - len(classes.seen_rows),
            "test_images": int(np.isin(classes.test_labels, classes.held_out).sum()),
        },
    }


def _per_class(names: list[str], labels: np.ndarray) -> dict[str, int]:
    return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))


def _described(classes: Classes) -> str:
    number = f"{len(classes.names)} classes"
    if not len(classes.held_out):
        return number
    return f"{number}, {len(classes.held_out)} of them held out from training ({listed(classes.held_out_names)})"
