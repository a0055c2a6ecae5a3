"""What a Hydra launcher calls for each job: settle its settings, then compute it, or take what was computed before."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from stages import config, store
from stages.errors import UserError
from stages.sweep import content, records, state
from stages.sweep.job import LOCK, PROGRESS
from stages.sweep.measure import Measure
from stages.sweep.records import Record
from stages.tracking import sweeps
from stages.tracking.runs import TAGS, run_id_in

LOG = "log.txt"
JOB = (sys.executable, "-m", "stages.sweep.job")
_INTERRUPTED = (130, -signal.SIGINT, -signal.SIGUSR1, -signal.SIGUSR2)  # the last two by a cluster, to queue it again
_TOLD = (129, 143, -signal.SIGHUP, -signal.SIGTERM)  # this job alone, by somebody who did not end the sweep
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Launchers set these as they like; figures and times are to depend on the configuration alone."""


def compute(composed: DictConfig) -> float | None:
    """Hydra's task function: the value of the measure to rank by, as it is; None where the job failed.

    It raises for no failure of a job, for that would end the sweep: `job.json` in its folder says what happened.
    """
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    folder = state.shown(Path(hydra.runtime.output_dir))
    overrides = [override for override in hydra.overrides.task if not state.is_of_sweep(override)]
    sections = yaml.safe_load(OmegaConf.to_yaml(composed, resolve=True))
    sweep = sections.pop("sweep")
    with FileLock(folder / LOCK):
        pass  # an earlier attempt has come to its end, which outlives the sweep that was killed by seconds
    record = _settled(hydra.job.num, overrides, sections, folder, Path(hydra.sweep.dir), force=sweep["force"])
    return Measure.named(sweep["metric"]).value(record)


def _settled(
    number: int, overrides: list[str], sections: dict[str, Any], folder: Path, sweep: Path, *, force: bool
) -> Record:
    try:
        settings = _in_folder(sections, folder, sweep)
    except UserError as refused:
        store.save_text(folder / LOG, f"{refused}\n")
        run_id = _tell_failure(str(refused), _tags(overrides, number, sweep), None, [folder / LOG])
        record = Record(number, overrides, key="", status=records.FAILED, error=str(refused), run_id=run_id)
        records.save(folder, record)
        return record
    key = content.of_job(settings)
    existing = records.load(folder)
    if existing and existing.finished and existing.key == key and not force:
        return existing
    if existing and existing.finished and existing.key != key:
        print(f"job {number}: settings, data or code are not those of before: computed again", flush=True)
    (folder / records.FILE).unlink(missing_ok=True)
    store.save_text(folder / "params.yaml", config.as_yaml(settings))
    if force or (existing and existing.key != key):
        # Its MLflow run has ended, and is not to be taken for that of the new attempt.
        for file in (folder / PROGRESS, Path(settings.paths.model) / "run.json"):
            file.unlink(missing_ok=True)
    earlier = None if force else _earlier(key, folder, sweep)
    tags = _tags(overrides, number, sweep)
    error = _run(folder, ["--key", key, *(["--reuse", str(earlier)] if earlier else [])], _environment(tags, settings))
    if error:
        known = _run_id(settings)
        run_id = _tell_failure(error, tags, known, [folder / LOG, folder / "params.yaml"])
        record = Record(number, overrides, key, status=records.FAILED, error=error, run_id=run_id)
    else:
        reused = str(earlier) if earlier else None
        record = Record(number, overrides, key, status=records.FINISHED, reused=reused, **_found(settings))
    records.save(folder, record)
    return record


def _tell_failure(error: str, tags: Mapping[str, str], run_id: str | None, files: list[Path]) -> str | None:
    """End the job's MLflow run as failed, with its log; returns its id."""
    try:
        return sweeps.close_failed(run_id, error, tags, files)
    except UserError as refused:
        print(f"MLflow was not told of a failed job: {refused}", flush=True)
        return run_id


def _in_folder(sections: dict[str, Any], folder: Path, sweep: Path) -> config.Config:
    """The settings with every output in the job's folder, except those that jobs of the sweep share."""
    paths = {name: str(folder / path) for name, path in sections["paths"].items()}
    settings = config.validate({**sections, "paths": paths}, "conf")
    shared = state.shown(sweep)
    paths["prepared"] = str(shared / "prepared" / content.of_prepared(settings))
    paths["batches"] = str(shared / "batches" / f"{content.of_batches(settings)}.npy")
    return config.validate({**sections, "paths": paths}, "conf")


def _earlier(key: str, folder: Path, sweep: Path) -> Path | None:
    """The folder of a finished job with this key, of this sweep or of another one beside it."""
    for path in sorted(state.shown(sweep).parent.glob(f"*/*/{records.FILE}")):
        try:
            record = records.load(path.parent)
        except UserError:
            continue
        if record and record.finished and record.key == key and path.parent != folder:
            return path.parent
    return None


def _tags(overrides: list[str], number: int, sweep: Path) -> dict[str, str]:
    """Of the job's MLflow run: what it is part of, and its name."""
    around = state.load(sweep)
    return {
        sweeps.PARENT: around.run_id,
        "mlflow.runName": around.varied(overrides) or f"job {number}",
        "sweep": around.name,
        "sweep.job": str(number),
    }


def _environment(tags: Mapping[str, str], settings: config.Config) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _THREADS}
    if settings.threads:
        environment |= dict.fromkeys(_THREADS, str(settings.threads))
    return environment | {TAGS: json.dumps(tags), "PYTHONUNBUFFERED": "1"}


def _run(folder: Path, arguments: list[str], environment: Mapping[str, str]) -> str | None:
    """Compute the job in a process of its own; returns why it failed, in one line, or None."""
    command = [*JOB, str(folder), "--attached", *arguments]
    with (folder / LOG).open("ab") as log:
        start = log.tell()
        # Its standard input closes with this process, however that ends, and it ends then.
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
        ) as process:
            status = process.wait()
    if status == 0:
        return None
    if status in _INTERRUPTED:
        raise KeyboardInterrupt
    if status in _TOLD:
        return "told to end: what was computed is kept, and --resume goes on from there"
    if status < 0:
        memory = ", perhaps for want of memory" if status == -signal.SIGKILL else ""
        return f"killed by {signal.Signals(-status).name}{memory}"
    said = (folder / LOG).read_bytes()[start:].decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(said) if line.strip()), f"ended with status {status}")


def _run_id(settings: config.Config) -> str | None:
    run_file = Path(settings.paths.model) / "run.json"
    return run_id_in(run_file) if run_file.is_file() else None


def _found(settings: config.Config) -> dict[str, Any]:
    """What a job left that finished: figures, facts of the training, the MLflow run."""
    file = Path(settings.paths.embeddings) / "test_embeddings.npy"
    embeddings = store.load_array(file, np.float32, 2, memory_map=True)
    facts = store.load_json(Path(settings.paths.model) / "training.json")
    return {
        "run_id": _run_id(settings),
        "embedding_dim": embeddings.shape[1],
        "metrics": store.load_json(Path(settings.paths.metrics) / "evaluate.json"),
        **{name: facts.get(name) for name in ("train_seconds", "step_ms", "parameters")},
    }
