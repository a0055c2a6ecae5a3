"""One job of a sweep, as a process of its own: `python -m stages.sweep.job FOLDER`.

It calls the functions that DVC's stages call, with the settings in `FOLDER/params.yaml`. Neither a crash nor the memory
or the threads of one job touch another, and its figures do not depend on what ran before it or beside it.
"""

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from filelock import FileLock

from stages import config, interruption, store, tracking
from stages.command import arguments_for, call_or_exit
from stages.quiet import hidden_stderr
from stages.tracking.runs import run_id_in
from stages.tracking.sweeps import take_over

STAGES = ("train", "embed", "evaluate")
PROGRESS = "progress.json"
LOCK = ".lock"


def run_stages(folder: Path, key: str) -> None:
    """Run the stages from prepare to evaluate; prepared images and batches that another job has made are used.

    Stages that an earlier attempt at the same job has come through are not run again. A stage's `UserError` ends the
    process with status 1 and one line.

    Args:
        folder: of the job.
        key: hash of all that its figures depend on.
    """
    # Of embed's models, each of which is traced once more in the process that trained one.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    settings = config.load(folder / "params.yaml")
    prepared, batches = Path(settings.paths.prepared), Path(settings.paths.batches)
    _once("prepare", prepared / "summary.json", folder, settings)  # the last file that prepare writes
    _once("batches", batches, folder, settings)
    done = _come_through(folder, key)
    for stage in STAGES:
        if stage in done:
            print(f"{stage}: done before", flush=True)
            continue
        _call(stage, folder, settings)
        done.append(stage)
        store.save_json(folder / PROGRESS, {"key": key, "done": done})


def _come_through(folder: Path, key: str) -> list[str]:
    if not (folder / PROGRESS).is_file():
        return []
    content = store.load_json(folder / PROGRESS)
    return content["done"] if content["key"] == key else []


def _once(stage: str, made: Path, folder: Path, settings: config.Config) -> None:
    """Run a stage whose output other jobs use too, unless it is there."""
    lock = Path(f"{made.parent}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not made.is_file():
            _call(stage, folder, settings)


def _call(stage: str, folder: Path, settings: config.Config) -> None:
    def call() -> None:
        with hidden_stderr():
            run = importlib.import_module(f"stages.{stage}.stage").run
        run(**arguments_for(run, settings, folder / "params.yaml"))

    call_or_exit(stage, call, debug=False)


def reuse(folder: Path, earlier: Path) -> None:
    """Take the outputs of an earlier job of the same content, and log a run of this sweep with its figures."""
    settings, other = (config.load(place / "params.yaml") for place in (folder, earlier))
    for name in ("model", "embeddings", "metrics", "plots", "measures"):
        # Of another MLflow run, and what one who was killed had half written.
        store.copy(Path(getattr(other.paths, name)), Path(getattr(settings.paths, name)), "run.json", ".*")
    run_file = Path(settings.paths.model) / "run.json"
    run_id = run_id_in(Path(other.paths.model) / "run.json")
    with tracking.started(run_file, settings.data.name, {"reused": run_id}) as run:
        take_over(run, run_id)
        run.artifact(folder / "params.yaml")
        for file in Path(settings.paths.metrics).glob("*.json"):
            run.artifact(file, "metrics")
        for file in (*Path(settings.paths.plots).glob("*.png"), *Path(settings.paths.measures).iterdir()):
            run.artifact(file, "plots")


def _end_with(pipe: int) -> None:
    """Interrupt this process when the other end of a pipe is closed: whoever started it is gone.

    By SIGINT, after which the job is not one that failed: its state is saved, and the sweep to go on.
    """

    def watch() -> None:
        while os.read(pipe, 1):
            pass
        if not interruption.heard():
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.sweep.job", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the job, with its params.yaml")
    parser.add_argument(
        "--key", default="", help="hash of the job's content, by which it knows what it has done before"
    )
    parser.add_argument("--reuse", type=Path, metavar="FOLDER", help="take the outputs of this job")
    parser.add_argument("--attached", action="store_true", help="end when standard input is closed")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    def compute() -> None:
        # Whoever started it may be gone, and another attempt begin.
        with FileLock(options.folder / LOCK):
            if options.reuse:
                reuse(options.folder, options.reuse)
            else:
                run_stages(options.folder, options.key)

    with interruption.handled():
        if options.attached:
            _end_with(os.dup(sys.stdin.fileno()))
        call_or_exit("job", compute, debug=False)


if __name__ == "__main__":
    _main()
