"""What `dvc repro` on the digits takes beside training: `make bench`, or `python -m tests.benchmarks.bench_start_up`.

In a fresh copy of the repository, so that every stage runs, starting, importing, t-SNE and MLflow included.
"""

import subprocess
import tempfile
import time
from pathlib import Path

from stages import store
from tests.repository import copy_of_repository, environment

ALLOWED = 40.0  # seconds outside training
BEGINS = "Running stage '"  # as DVC says it


def main() -> None:
    """Print seconds of each stage, and of all outside training."""
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_repository(Path(folder))
        seconds = timed(copy)
        training = float(store.load_json(copy / "artifacts/model/training.json")["train_seconds"])
    for stage, taken in seconds.items():
        print(f"{stage:10} {taken:6.1f} s" + (f", of which training {training:.1f} s" if stage == "train" else ""))
    outside = sum(seconds.values()) - training
    print(f"outside training {outside:.1f} s, {ALLOWED:.0f} allowed: {'ok' if outside <= ALLOWED else 'MISSED'}")


def timed(folder: Path) -> dict[str, float]:
    """Seconds of each stage of `dvc repro`, with what DVC does before it; of DVC's end as well."""
    seconds: dict[str, float] = {}
    began, stage = time.perf_counter(), "dvc"
    with subprocess.Popen(
        ["dvc", "repro"], cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        for line in running.stdout or ():
            if line.startswith(BEGINS):
                now = time.perf_counter()
                seconds[stage] = now - began
                began, stage = now, line.removeprefix(BEGINS).partition("'")[0]
    seconds[stage] = time.perf_counter() - began
    if running.returncode:
        raise RuntimeError(f"dvc repro ended with {running.returncode}")
    return seconds


if __name__ == "__main__":
    main()
