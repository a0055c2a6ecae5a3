"""Time and memory of the prepare stage on MNIST: of CSV files against Arrow alone, of PNG files against Pillow alone.

Allowed: 1.5 times Arrow's time and 600 MB above the interpreter; twice Pillow's, for all headers are read before the
first image, and 150 MB.
"""

import contextlib
import io
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from stages import config

_ROOT = Path(__file__).resolve().parents[2]
MNIST = next(
    (f for f in (_ROOT / "data/mnist", _ROOT.parent / "shared/data/mnist") if any(f.glob("*.csv*"))),
    _ROOT / "data/mnist",
)
REPEATS = 5
Works = dict[str, Callable[[Path], None]]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MNIST
    if not any(folder.glob("*.csv*")):
        print(f"{folder}: not there; give the folder of MNIST's CSV files as argument")
        return
    of_csv: Works = {
        "Arrow, uint8 columns": arrow_alone,
        "readers.csv (all four files)": read,
        "prepare (reads, splits, writes)": partial(prepare, "mnist"),
    }
    of_png: Works = {"Pillow, two threads": pillow_alone, "prepare, PNG files": partial(prepare, "folder")}
    with tempfile.TemporaryDirectory() as pictures:
        in_a_fresh_process(write_pictures, folder, Path(pictures))
        kinds = [(folder, of_csv), (Path(pictures), of_png)]
        # First, while this process is small: a child's peak begins with its parent's size.
        peaks = {name: megabytes(work, where) for where, works in kinds for name, work in works.items()}
        print(f"{'':<32} {'seconds':>8} {'ratio':>6} {'MB above the interpreter':>25}")
        for where, works in kinds:
            first = None
            for name, work in works.items():
                best = min(seconds(work, where) for _ in range(REPEATS))
                first = first or best
                print(f"{name:<32} {best:8.2f} {best / first:6.2f} {peaks[name]:25.0f}", flush=True)


def write_pictures(folder: Path, pictures: Path) -> None:
    """The images of CSV files as PNG files in class folders."""
    from stages.prepare import class_folders
    from stages.prepare.readers import csv

    parts = dict(zip(("train", "test"), csv.read(folder, "mnist"), strict=True))
    examples = {name: (len(part.codes), zip(part.images, part.codes, strict=True)) for name, part in parts.items()}
    class_folders.write(pictures, examples, parts["train"].names)


def pillow_alone(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    def decode(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image)

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(decode, folder.rglob("*.png"), chunksize=64):
            pass


def arrow_alone(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv

    for path in sorted(folder.glob("*.csv.gz")):
        pixels = [f"{row}x{column}" for row in range(28) for column in range(28)]
        options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys([*pixels, "label"], pa.uint8()))
        pyarrow.csv.read_csv(path, convert_options=options)


def read(folder: Path) -> None:
    from stages.prepare.readers import csv

    csv.read(folder, "mnist")


def prepare(source: str, folder: Path) -> None:
    from stages.prepare.stage import run

    described = config.parse(config.compose([f"data={source}"]), "conf").data
    data = described.model_copy(update={"path": str(folder)})
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()):
        run(data, config.Paths(**{name: f"{out}/{name}" for name in config.Paths.model_fields}), seed=0, threads=2)


def seconds(work: Callable[[Path], None], folder: Path) -> float:
    start = time.perf_counter()
    work(folder)
    return time.perf_counter() - start


def megabytes(work: Callable[[Path], None], folder: Path) -> float:
    """Peak of a fresh process that does the work, less what a process has that only starts."""
    return in_a_fresh_process(_peak, work, folder) - in_a_fresh_process(_peak, None, folder)


def in_a_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(function, arguments)


def _peak(work: Callable[[Path], None] | None, folder: Path) -> float:
    if work is not None:
        work(folder)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
