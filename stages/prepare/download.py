"""Fetches a data set of TensorFlow Datasets as CSV files: `python -m stages.prepare.download mnist`."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import requests

from stages.command import call_or_exit
from stages.errors import UserError
from stages.prepare import mnist_layout

_ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("train", "test")
_SECONDS = 20  # to wait for the server's first answer


def download(name: str, folder: str | Path) -> None:
    """Download, write the four files of the MNIST layout into `folder`, and have DVC track it.

    A folder that has CSV files already is left as it is: they may be the user's.

    Args:
        name: of a TFDS data set with splits `train` and `test` of grey images of one size and one label each.
        folder: where to; made if it does not exist.

    Raises:
        UserError: no such data set, one of another kind, a server that is not reachable, a count that is wrong.
    """
    folder = Path(folder)
    present = _tables(folder)
    ours = set(mnist_layout.names(_PARTS))
    if set(present) >= ours or set(present) - ours:
        print(f"{folder}: found {', '.join(present)}; nothing downloaded")
    else:
        parts = _fetch(name, folder)
        mnist_layout.write(folder, parts)
        print(
            f"{folder}: wrote "
            + " and ".join(f"{len(images)} {part}" for part, (images, _) in parts.items())
            + " images"
        )
    _track(folder)


def _fetch(name: str, folder: Path) -> dict[str, tuple[np.ndarray, list[str]]]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    by_hand = f"or put {', '.join(mnist_layout.names(_PARTS))} into {folder} by hand"
    builder = _builder(tfds, name)
    if not builder.data_path.exists():  # else an earlier download is complete, and needs no network
        _check_reachable(next(iter(builder.url_infos), None), by_hand)
    try:
        builder.download_and_prepare()
    except (OSError, tfds.download.DownloadError) as error:
        raise UserError(f"{name}: download failed ({' '.join(str(error).split())}); try again, {by_hand}") from None
    return {part: _load(tfds, builder, part) for part in _PARTS}


def _builder(tfds: Any, name: str) -> Any:
    # The cache must outlive an experiment's temporary copy of the repository.
    cache = Path(os.environ.get("DVC_ROOT", _ROOT)) / ".tfds"
    try:
        builder = tfds.builder(name, data_dir=cache)
    except tfds.core.DatasetNotFoundError:
        raise UserError(
            f"{name}: no such data set, expected one of TensorFlow Datasets, such as mnist or kmnist"
        ) from None
    image, label = (dict(builder.info.features).get(key) for key in ("image", "label"))
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise UserError(f"{name}: found no image with a label, expected a data set for image classification")
    if None in image.shape or image.shape[2] != 1 or np.dtype(image.np_dtype) != np.uint8:
        raise UserError(
            f"{name}: found images of shape {list(image.shape)}, expected grey ones of one size, which fit into CSV; "
            "others will be read from folders, which this version does not do yet"
        )
    return builder


def _check_reachable(url: str | None, by_hand: str) -> None:
    """TFDS retries for minutes before it says that there is no network."""
    if url is None:
        return
    try:
        requests.head(url, timeout=_SECONDS)
    except requests.RequestException as error:
        reason = type(error).__name__
        raise UserError(f"{url}: not reachable ({reason}); connect this machine to the network, {by_hand}") from None


def _load(tfds: Any, builder: Any, part: str) -> tuple[np.ndarray, list[str]]:
    if part not in builder.info.splits:
        raise UserError(f"{builder.name}: found splits {sorted(builder.info.splits)}, expected {' and '.join(_PARTS)}")
    batches = list(tfds.as_numpy(builder.as_dataset(split=part, batch_size=1000)))
    images = np.concatenate([batch["image"] for batch in batches])
    labels = np.concatenate([batch["label"] for batch in batches])
    expected = builder.info.splits[part].num_examples
    if len(images) != expected:
        raise UserError(
            f"{builder.name}: found {len(images)} {part} images, expected {expected}; delete .tfds and try again"
        )
    names = builder.info.features["label"].names
    return images, [names[label] for label in labels]


def _track(folder: Path) -> None:
    """`dvc add`, without which `dvc exp run --temp` and `--queue` would not see files that git ignores.

    The files and not the folder: where it is missing DVC does not start the stage that would say how to fill it, so git
    keeps it, with a README, and cannot keep a file of a folder that DVC tracks.
    """
    folder = folder.resolve()
    if not any((parent / ".dvc").is_dir() for parent in folder.parents):
        print(f"{folder} is in no DVC repository: not added to one")
        return
    added = subprocess.run(
        [sys.executable, "-m", "dvc", "add", *_tables(folder)], cwd=folder, capture_output=True, text=True, check=False
    )
    if added.returncode:
        raise UserError(f"{folder}: `dvc add` failed: {' '.join(added.stderr.split())}")
    print(f"{folder}: tracked by DVC; its .dvc files belong into git")


def _tables(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.csv*") if path.name[0] != "." and path.suffix != ".dvc")


def _name(text: str) -> str:
    if not re.fullmatch(r"\w+(/[\w.-]+)?", text):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a name such as mnist or emnist/letters")
    return text


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.prepare.download", description=__doc__)
    parser.add_argument("name", type=_name, help="of a TensorFlow data set, such as mnist, fashion_mnist or kmnist")
    parser.add_argument("--to", metavar="FOLDER", help="where to (default: data/NAME)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args()
    folder = options.to or Path("data", options.name.replace("/", "-"))
    call_or_exit("download", lambda: download(options.name, folder), debug=options.debug)


if __name__ == "__main__":
    _main()
