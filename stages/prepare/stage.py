"""From files of images to arrays: training, validation and test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stages import config, cores, store
from stages.errors import UserError
from stages.prepare import blocks, sources
from stages.prepare.classes import Classes, index_classes, listed
from stages.prepare.images import Chosen, Images
from stages.prepare.splits import stratified
from stages.progress import bar


def run(data: config.Data, paths: config.Paths, seed: int, threads: int) -> None:
    """Read the images of `data.path`, split off validation, write the arrays into `paths.prepared`.

    Images of held-out classes go into the test split alone. A class has the same index in every split.

    Raises:
        UserError: the files are missing or faulty, or the settings do not fit them; nothing has been written then.
    """
    train, test = sources.read(data, seed, cores.limit(threads))
    classes = index_classes(train, test, data.holdout_classes)
    rows = _split(classes, data.validation, seed)
    labels = {name: classes.train_labels[chosen] for name, chosen in rows.items()} | {"test": classes.test_labels}
    images: dict[str, Images] = {name: Chosen(train.images, chosen) for name, chosen in rows.items()}
    images = {name: sources.as_wanted(part, data) for name, part in (images | {"test": test.images}).items()}
    prepared = Path(paths.prepared)
    shape = list(images["train"].shape[1:])
    files = [*dict.fromkeys([*train.files, *test.files])]  # a folder that was divided is one
    skipped = {**train.skipped, **test.skipped}
    source = {"name": data.name, "files": files, "image_shape": shape, "skipped": skipped}
    with store.together():
        _save(images, prepared)
        for name in labels:
            store.save_array(prepared / f"{name}_labels.npy", labels[name])
        store.save_json(prepared / "classes.json", classes.names)
        store.save_json(prepared / "summary.json", source | _counts(classes, labels))
    sizes = ", ".join(f"{len(labels[name])} {name}" for name in labels)
    if np.bincount(classes.test_labels).max() < 2:
        print(f"{data.name}: no class has two test images: of test only the k-NN accuracy can be measured")
    print(f"{data.name}: {sizes} images of {' × '.join(map(str, shape))} in {_described(classes)} → {prepared}")


def _save(images: Mapping[str, Images], prepared: Path) -> None:
    """Write all arrays of images; only decoding may show that a file is cut off."""
    with bar("prepare", sum(map(len, images.values())), "images") as progress:
        for name, part in images.items():
            with store.replacing(prepared / f"{name}_images.npy") as file:
                blocks.save(file, part, progress)


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
        return f"{number} ({listed(classes.names)})"
    return f"{number}, {len(classes.held_out)} of them held out from training ({listed(classes.held_out_names)})"
