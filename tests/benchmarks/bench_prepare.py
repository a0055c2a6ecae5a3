"""Time and memory of the prepare stage on MNIST against reading the same files with Arrow alone.

Allowed: 1.5 times Arrow's time, and 600 MB above the interpreter.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stages import config

_ROOT = Path(__file__).resolve().parents[2]
MNIST = next(
    (f for f in (_ROOT / "data/mnist", _ROOT.parent / "shared/data/mnist") if any(f.glob("*.csv*"))),
    _ROOT / "data/mnist",
)
REPEATS = 5


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MNIST
    if not any(folder.glob("*.csv*")):
        print(f"{folder}: not there; give the folder of MNIST's CSV files as argument")
        return
    # First, while this process is small: a child's peak begins with its parent's size.
    peaks = {work: megabytes(work, folder) for work in (arrow_alone, read, prepare)}
    alone = [seconds(arrow_alone, folder) for _ in range(REPEATS)]
    print(f"{'':<32} {'seconds':>8} {'ratio':>6} {'MB above the interpreter':>25}")
    print(f"{'Arrow, uint8 columns':<32} {min(alone):8.2f} {1:6.2f} {peaks[arrow_alone]:25.0f}")
    for name, work in (("readers.csv (all four files)", read), ("prepare (reads, splits, writes)", prepare)):
        times = [seconds(work, folder) for _ in range(REPEATS)]
        print(f"{name:<32} {min(times):8.2f} {min(times) / min(alone):6.2f} {peaks[work]:25.0f}")


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


def prepare(folder: Path) -> None:
    from stages.prepare.stage import run

    described = config.parse(config.compose(["data=mnist"]), "conf").data
    data = described.model_copy(update={"path": str(folder)})
    with tempfile.TemporaryDirectory() as out:
        run(data, config.Paths(**{name: f"{out}/{name}" for name in config.Paths.model_fields}), seed=0, threads=2)


def seconds(work: Callable[[Path], None], folder: Path) -> float:
    start = time.perf_counter()
    work(folder)
    return time.perf_counter() - start


def megabytes(work: Callable[[Path], None], folder: Path) -> float:
    """Peak of a fresh process that does the work, less what a process has that only starts."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(_peak, (work, folder)) - pool.apply(_peak, (None, folder))


def _peak(work: Callable[[Path], None] | None, folder: Path) -> float:
    if work is not None:
        work(folder)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
