"""Which reader reads a source, and what all images go through then."""

import os
import unicodedata
from pathlib import Path

import numpy as np

from stages import config
from stages.errors import UserError
from stages.prepare.dividing import divide
from stages.prepare.images import Changed, Images
from stages.prepare.labelled import Labelled
from stages.prepare.readers import csv, folder, idx
from stages.prepare.readers.folder_images import Reading
from stages.prepare.readers.opening import check_folder
from stages.prepare.resizing import resize


def read(data: config.Data, seed: int, workers: int) -> tuple[Labelled[Images], Labelled[Images]]:
    """Training and test images of `data.path`.

    Args:
        data: where they are and how they are read.
        seed: of the draw of test images, where the files have none.
        workers: threads that decode PNG and JPEG files.

    Raises:
        UserError: the files are missing or faulty, or the settings do not fit them.
        PermissionError: they may not be read.
    """
    check_folder(Path(data.path))
    train, test = _read(data, seed, workers)
    for name in (*train.files, *test.files, *train.names, *test.names):
        _check_name(data.path, name)
    return train, test


def _read(data: config.Data, seed: int, workers: int) -> tuple[Labelled[Images], Labelled[Images]]:
    if data.source == "csv":
        return csv.read(data.path, data.name, data.shape)
    if data.source == "idx":
        return idx.read(data.path)
    if data.max_pixels is None or data.skip_unreadable is None:
        raise UserError(
            "data: found source folder and no max_pixels or no skip_unreadable, expected both as in "
            "conf/data/folder.yaml"
        )
    reading = Reading(data.image_size, data.channels, data.max_pixels, data.skip_unreadable, workers)
    train, test = folder.read(data.path, reading)
    return (train, test) if test else divide(train, data.test, data.holdout_classes, seed)


def _check_name(folder: str, name: str) -> None:
    """Refuse what the files that are written, lines and tables in UTF-8, could not hold, or a terminal would obey."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{folder}: found the name {os.fsencode(name)!r}, expected names in UTF-8") from None
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise UserError(f"{folder}: found the name {name!r}, expected names without control characters")


def as_wanted(images: Images, data: config.Data) -> Images:
    """Images turned upright and resized as the settings say, when they are read."""
    if data.transpose:
        _, height, width, channels = images.shape
        images = Changed(images, (width, height, channels), _transpose)
    side = data.image_size
    if side is not None and images.shape[1:3] != (side, side):
        images = Changed(images, (side, side, images.shape[3]), lambda block: resize(block, side))
    return images


def _transpose(images: np.ndarray) -> np.ndarray:
    return np.swapaxes(images, 1, 2)
