"""Telling of jobs as they end, whatever launcher runs them, by the files that they leave."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from stages import progress
from stages.evaluate.table import number
from stages.sweep import records
from stages.sweep.cell import LOG
from stages.sweep.measure import Measure
from stages.sweep.records import Record
from stages.sweep.state import Sweep

_EVERY = 0.5  # seconds


@contextmanager
def reporting(folder: Path, sweep: Sweep, jobs: int | None, measure: Measure) -> Iterator[None]:
    """Print a line for each job of the sweep that ends while the block runs, under a bar with the time left.

    Args:
        folder: of the sweep.
        sweep: the same.
        jobs: how many there will be, with those that have ended before; None if that is not known.
        measure: of which the lines tell.
    """
    ended = threading.Event()
    known = _written(folder)
    watcher = threading.Thread(target=_watch, args=(folder, sweep, jobs, measure, known, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(
    folder: Path,
    sweep: Sweep,
    jobs: int | None,
    measure: Measure,
    known: dict[Path, int],
    ended: threading.Event,
) -> None:
    with progress.bar("sweep", jobs, "jobs") as bar:
        bar.update(sum(record.finished for record in records.load_all(folder)))
        last = False
        while not last:
            last = ended.wait(_EVERY)  # once more after the end, for what was written since
            written = _written(folder)
            for path in sorted(path for path, time in written.items() if known.get(path) != time):
                record = records.load(path.parent)
                if record is not None:
                    tqdm.write(line(record, sweep.varied(record.overrides), measure, path.parent))
                    bar.update()
            known = written


def _written(folder: Path) -> dict[Path, int]:
    """The records that there are, and when they were written: a job that is computed again writes another."""
    found = {}
    for path in folder.glob(f"*/{records.FILE}"):
        with contextlib.suppress(FileNotFoundError):  # removed in this moment, for its job begins anew
            found[path] = path.stat().st_mtime_ns
    return found


def line(record: Record, varied: str, measure: Measure, folder: Path) -> str:
    """What has become of a job.

    >>> job = Record(3, ["loss.margin=0.2"], "", "failed", error="train: training diverged")
    >>> line(job, "loss.margin=0.2", Measure("map_at_r"), Path("multirun/x/3"))
    'job 3, loss.margin=0.2: failed: train: training diverged (multirun/x/3/log.txt)'
    """
    what = f"job {record.job}, {varied}"
    if not record.finished:
        return f"{what}: failed: {record.error} ({folder / LOG})"
    how = f", as computed in {record.reused}" if record.reused else f", trained in {record.train_seconds:.0f} s"
    return f"{what}: {measure.title} {number(measure.value(record))}{how}"
