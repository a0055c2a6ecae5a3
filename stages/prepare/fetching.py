"""Data sets of TensorFlow Datasets: fetched, checked, and read as arrays or one example after the other."""

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests

from stages.errors import UserError, said_by
from stages.prepare import mnist_layout
from stages.prepare.class_folders import CHANNELS
from stages.progress import bar

_ROOT = Path(__file__).resolve().parents[2]
PARTS = ("train", "test")
_SECONDS = 20  # to wait for the server's first answer
_SIDE = 64  # pixels, of images that CSV files are made of
_AT_ONCE = 1000  # images


@dataclass(frozen=True)
class Fetched:
    """A data set on this machine.

    Attributes:
        builder: of TFDS.
        splits: what to read by the name of the part, `train` and perhaps `test`.
        label: the name of the feature that is the class.
    """

    builder: Any
    splits: dict[str, str]
    label: str

    @property
    def names(self) -> list[str]:
        """Of the classes."""
        return self.builder.info.features[self.label].names

    @property
    def fits_csv(self) -> bool:
        """Whether these are small grey images of one size."""
        return _fits_csv(self.builder)

    def count(self, part: str) -> int:
        """How many examples there should be."""
        return self.builder.info.splits[self.splits[part]].num_examples

    def arrays(self, part: str) -> tuple[np.ndarray, list[str]]:
        """All images, uint8 `[N, H, W, C]`, and the names of their classes."""
        batches = list(self._read(part, _AT_ONCE))
        images = np.concatenate([batch["image"] for batch in batches])
        labels = np.concatenate([batch[self.label] for batch in batches])
        self._check(part, len(images), int(labels.min(initial=0)))
        return images, [self.names[label] for label in labels]

    def examples(self, part: str) -> Iterator[tuple[np.ndarray, int]]:
        """Images, uint8 `[H, W, C]`, and the indices of their classes."""
        number = 0
        with bar(part, self.count(part), "images") as progress:
            for number, example in enumerate(self._read(part, None), 1):
                label = int(example[self.label])
                if label < 0:
                    self._check(part, number, label)
                yield example["image"], label
                progress.update()
        self._check(part, number, 0)

    def _read(self, part: str, batch_size: int | None) -> Any:
        import tensorflow_datasets as tfds

        return tfds.as_numpy(self.builder.as_dataset(split=self.splits[part], batch_size=batch_size))

    def _check(self, part: str, count: int, smallest: int) -> None:
        if smallest < 0:
            raise UserError(
                f"{self.builder.name}: found {part} images without a label, expected one for each; choose another "
                "--split"
            )
        if count != self.count(part):
            raise UserError(
                f"{self.builder.name}: found {count} {part} images, expected {self.count(part)}; delete .tfds and try "
                "again"
            )


def fetch(name: str, splits: Sequence[str], label: str, folder: Path) -> Fetched:
    """Download a data set, unless an earlier download is complete.

    Args:
        name: of the data set.
        splits: for training and perhaps for test, as TFDS writes them (`train[:80%]`); none for `train` and `test`.
        label: the name of the feature that is the class.
        folder: where a user may put other files instead, for messages.

    Raises:
        UserError: no such data set or split, one of another kind, splits that share images, a server that is not
            reachable.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    builder = _builder(tfds, name, label)
    files = mnist_layout.names(PARTS) if _fits_csv(builder) else [f"{part}/<class>/<image>.png" for part in PARTS]
    by_hand = f"or put {', '.join(files)} into {folder} by hand"
    if not builder.data_path.exists():
        _check_reachable(next(iter(builder.url_infos), None), by_hand)
    try:
        builder.download_and_prepare()
    except AssertionError as error:  # of a data set whose publisher lets nobody fetch it but by hand
        raise UserError(
            f"{name}: not to be downloaded by a program ({said_by(error)}); do as it says, {by_hand}"
        ) from None
    except (OSError, tfds.download.DownloadError, _damaged(tfds)) as error:
        raise UserError(f"{name}: download failed ({said_by(error)}); try again, {by_hand}") from None
    return Fetched(builder, _parts(builder, splits), label)


def _damaged(tfds: Any) -> type[Exception]:
    """What TFDS raises of a download that is not what was published."""
    return tfds.core.download.download_manager.NonMatchingChecksumError


def _builder(tfds: Any, name: str, label: str) -> Any:
    # The cache must outlive an experiment's temporary copy of the repository.
    cache = Path(os.environ.get("DVC_ROOT", _ROOT)) / ".tfds"
    try:
        builder = tfds.builder(name, data_dir=cache)
    except tfds.core.DatasetNotFoundError:
        raise UserError(
            f"{name}: no such data set, expected one of TensorFlow Datasets, such as mnist or kmnist"
        ) from None
    except (ValueError, OSError) as error:
        family, _, chosen = name.partition("/")
        known = tfds.builder_cls(family).builder_configs
        if chosen and chosen not in known:
            expected = " or ".join(f"{family}/{configuration}" for configuration in known) or family
            raise UserError(f"{name}: no such configuration or version, expected {expected}") from None
        raise UserError(f"{name}: {said_by(error)}") from None
    features = dict(builder.info.features)
    image = features.get("image")
    if not isinstance(image, tfds.features.Image):
        raise UserError(f"{name}: found no image, expected a data set for image classification")
    classes = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    if label not in classes:
        expected = f"--label {' or '.join(classes)}" if classes else "a data set for image classification"
        raise UserError(f"{name}: found no class called {label}, expected {expected}")
    if image.shape[2] not in CHANNELS or np.dtype(image.np_dtype) != np.uint8:
        raise UserError(
            f"{name}: found {np.dtype(image.np_dtype).name} images of shape {list(image.shape)}, expected uint8 and "
            f"{', '.join(map(str, CHANNELS))} channels"
        )
    return builder


def _fits_csv(builder: Any) -> bool:
    height, width, channels = builder.info.features["image"].shape
    return channels == 1 and None not in (height, width) and max(height, width) <= _SIDE


def _check_reachable(url: str | None, by_hand: str) -> None:
    """TFDS retries for minutes before it says that there is no network."""
    if url is None:
        return
    try:
        requests.head(url, timeout=_SECONDS)
    except requests.RequestException as error:
        reason = type(error).__name__
        raise UserError(f"{url}: not reachable ({reason}); connect this machine to the network, {by_hand}") from None


def _parts(builder: Any, splits: Sequence[str]) -> dict[str, str]:
    there = sorted(builder.info.splits)
    chosen = splits or [name for name in PARTS if name in there]
    for split in chosen:
        try:
            builder.info.splits[split]
        except (KeyError, ValueError):
            raise UserError(f"{builder.name}: found no split {split}, expected some of {', '.join(there)}") from None
    if not splits and "train" not in chosen:
        raise UserError(f"{builder.name}: found splits {', '.join(there)}, expected train; choose by --split")
    if len(chosen) == len(PARTS) and _overlap(*(builder.info.splits[split] for split in chosen)):
        raise UserError(
            f"{builder.name}: found images that are in {chosen[0]} and in {chosen[1]}, expected splits that share none"
        )
    return dict(zip(PARTS, chosen, strict=False))


def _overlap(one: Any, other: Any) -> bool:
    """Whether two splits share examples: each says which ones of which files it takes."""
    return any(
        mine.filename == theirs.filename
        and mine.skip < theirs.skip + theirs.take
        and theirs.skip < mine.skip + mine.take
        for mine, theirs in itertools.product(one.file_instructions, other.file_instructions)
    )
