"""From files of images to arrays: training, validation and test."""

from pathlib import Path

import numpy as np

from stages import config, store
from stages.errors import UserError
from stages.prepare.classes import index_classes
from stages.prepare.readers import csv
from stages.prepare.resizing import resize
from stages.prepare.splits import stratified


def run(data: config.Data, paths: config.Paths, seed: int) -> None:
    """Read the images of `data.path`, split off validation, write the arrays into `paths.prepared`.

    Raises:
        UserError: the files are missing or faulty; nothing has been written then.
    """
    train, test = csv.read(data.path, data.name, data.shape)
    classes, train_labels, test_labels = index_classes(train, test)
    train_rows, validation_rows = stratified(train_labels, data.validation, seed)
    if not len(validation_rows):
        raise UserError(
            f"data.validation: found {data.validation}, which gives none of {len(train_labels)} training images; "
            "expected a share that gives at least one"
        )
    images = {"train": train.images, "test": test.images}
    if data.image_size is not None:
        images = {part: resize(images[part], data.image_size) for part in images}
    splits = {
        "train": (images["train"], train_labels, train_rows),
        "validation": (images["train"], train_labels, validation_rows),
        "test": (images["test"], test_labels, np.arange(len(test_labels))),
    }
    prepared = Path(paths.prepared)
    for name, (all_images, all_labels, rows) in splits.items():
        store.save_array(prepared / f"{name}_images.npy", all_images if name == "test" else all_images[rows])
        store.save_array(prepared / f"{name}_labels.npy", all_labels[rows])
    store.save_json(prepared / "classes.json", classes)
    shape = list(images["train"].shape[1:])
    counts = {name: _per_class(classes, labels[rows]) for name, (_, labels, rows) in splits.items()}
    store.save_json(
        prepared / "summary.json",
        {
            "name": data.name,
            "files": [*train.files, *test.files],
            "image_shape": shape,
            "classes": len(classes),
            "images": {name: len(rows) for name, (_, _, rows) in splits.items()},
            "per_class": counts,
        },
    )
    sizes = ", ".join(f"{len(rows)} {name}" for name, (_, _, rows) in splits.items())
    print(f"{data.name}: {sizes} images of {' × '.join(map(str, shape))} in {len(classes)} classes → {prepared}")


def _per_class(classes: list[str], labels: np.ndarray) -> dict[str, int]:
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
