"""Fetches a data set of TensorFlow Datasets: `python -m stages.prepare.download mnist`.

Small grey images of one size become CSV files (`data=mnist`), others PNG files in class folders (`data=folder`).
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stages.command import call_or_exit
from stages.errors import UserError
from stages.prepare import class_folders, mnist_layout
from stages.prepare.fetching import PARTS, Fetched, fetch


def download(name: str, folder: str | Path, splits: Sequence[str] = (), label: str = "label") -> None:
    """Download, write CSV files or class folders into `folder`, and have DVC track them.

    Grey images of one size and at most 64 pixels a side become the four files of the MNIST layout, if there are both
    training and test images; all others `train/<class>/<number>.png` and `test/…`. A folder that has CSV files or one
    of these folders already is left as it is: they may be the user's.

    Args:
        name: of a TFDS data set of images with one label each.
        folder: where to; made if it does not exist.
        splits: of the data set, for training and perhaps for test; by default `train` and, if there is one, `test`.
        label: the name of the feature that is the class.

    Raises:
        UserError: no such data set, one of another kind, splits that share images, a server that is not reachable, a
            count that is wrong.
    """
    folder = Path(folder)
    present = _present(folder)
    ours = set(mnist_layout.names(PARTS))
    if present and (set(present) >= ours or set(present) - ours):
        print(f"{folder}: found {', '.join(present)}; nothing downloaded")
    else:
        _write(fetch(name, splits, label, folder), folder)
    _track(folder)


def _write(fetched: Fetched, folder: Path) -> None:
    parts = list(fetched.splits)
    if fetched.fits_csv and len(parts) == len(PARTS):
        mnist_layout.write(folder, {part: fetched.arrays(part) for part in parts})
        kind, source = "CSV files", "mnist"
    else:
        examples = {part: (fetched.count(part), fetched.examples(part)) for part in parts}
        class_folders.write(folder, examples, fetched.names)
        kind, source = "class folders", "folder"
    counts = " and ".join(f"{fetched.count(part)} {part}" for part in parts)
    settings = f"-S data={source} -S data.path={folder} -S data.name={folder.name}"
    print(f"{folder}: wrote {counts} images as {kind}, which `{settings}` reads")


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
        [sys.executable, "-m", "dvc", "add", *_present(folder)], cwd=folder, capture_output=True, text=True, check=False
    )
    if added.returncode:
        raise UserError(f"{folder}: `dvc add` failed: {' '.join(added.stderr.split())}")
    print(f"{folder}: tracked by DVC; its .dvc files belong into git")


def _present(folder: Path) -> list[str]:
    """CSV files, and the folders of the parts."""
    tables = [path.name for path in folder.glob("*.csv*") if path.name[0] != "." and path.suffix != ".dvc"]
    return sorted(tables) + [part for part in PARTS if (folder / part).is_dir()]


def _name(text: str) -> str:
    if not re.fullmatch(r"\w+(/[\w.-]+)?", text):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a name such as mnist or emnist/letters")
    return text


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.prepare.download", description=__doc__)
    parser.add_argument("name", type=_name, help="of a TensorFlow data set, such as mnist, kmnist or cifar10")
    parser.add_argument("--to", metavar="FOLDER", help="where to (default: data/NAME)")
    parser.add_argument(
        "--split",
        nargs="+",
        default=[],
        metavar=("TRAIN", "TEST"),
        help="splits to train and to test on, as in `--split train validation` or `--split 'train[:80%%]' "
        "'train[80%%:]'` (default: train and, if there is one, test)",
    )
    parser.add_argument("--label", metavar="KEY", default="label", help="feature that is the class (default: label)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args()
    if len(options.split) > len(PARTS):
        parser.error(f"--split: found {len(options.split)} splits, expected one to train on and one to test on")
    folder = options.to or Path("data", options.name.replace("/", "-"))
    call_or_exit("download", lambda: download(options.name, folder, options.split, options.label), debug=options.debug)


if __name__ == "__main__":
    _main()
