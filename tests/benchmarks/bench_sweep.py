"""Launchers: four trainings one after the other against two at a time. `make bench`, or alone:

python -m tests.benchmarks.bench_sweep
"""

import os
import tempfile
import time
from pathlib import Path

from stages.sweep import records
from tests.repository import copy_of_repository, run

JOBS = ("loss.margin=0.2,0.5", "network.embedding_dim=8,64")
WAYS = {
    "one after the other, 1 thread each": ("threads=1",),
    "one after the other, 2 threads each": ("threads=2",),
    "two at a time, 1 thread each": ("threads=1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "two at a time, 2 threads each": ("threads=2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
}


def main() -> None:
    """Sweep over the same four jobs in each way, computing all anew; print wall times and their ratio to the first."""
    print(f"4 trainings on the digits, {os.cpu_count()} cores; wall time of the sweep, and a job's training in it")
    first = None
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_repository(Path(folder))
        for number, (way, overrides) in enumerate(WAYS.items()):
            began = time.perf_counter()
            place = f"multirun/{number}"
            run(copy, "python", "-m", "stages.sweep", "-m", *JOBS, *overrides, f"hydra.sweep.dir={place}", "--force")
            seconds = time.perf_counter() - began
            first = first or seconds
            training = [record.train_seconds or 0 for record in records.load_all(copy / place)]
            mean = sum(training) / len(training)
            print(f"{way:36} {seconds:5.0f} s {seconds / first:5.2f} ×   {mean:5.1f} s", flush=True)


if __name__ == "__main__":
    main()
