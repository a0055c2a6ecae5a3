"""The MLflow run around those of a sweep, whose children its jobs are."""

import contextlib
import getpass
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.tracking.connection import EXPERIMENT, connected
from stages.tracking.runs import Point, Run, is_known, provenance

PARENT = "mlflow.parentRunId"
"""The tag of a job's run that makes it a child."""


def open_parent(tags: Mapping[str, str], run_id: str | None = None) -> str:
    """Open the run of a sweep, or the one that it had before it was cut off; returns its id.

    Args:
        tags: `mlflow.runName` among them.
        run_id: of the earlier one; where the store does not know it, a new one is opened.
    """
    with connected() as mlflow:
        if run_id is None or not is_known(mlflow, run_id):
            return _create(mlflow, {**provenance(), **tags})
        client = mlflow.MlflowClient()
        client.update_run(run_id, status="RUNNING")
        Run(client, run_id).tags(tags)
        return run_id


@contextlib.contextmanager
def parent(run_id: str) -> Iterator[Run]:
    """The run of a sweep, to log into; it stays open."""
    with connected() as mlflow:
        yield Run(mlflow.MlflowClient(), run_id)


def close_parent(run_id: str, status: str) -> None:
    """End the run of a sweep: FINISHED, FAILED or KILLED."""
    with connected() as mlflow:
        mlflow.MlflowClient().set_terminated(run_id, status)


def take_over(run: Run, other: str) -> None:
    """Log what another run has: its parameters, its metrics at their steps, its tags but for those of its own sweep.

    Nothing if the store does not know it.
    """
    with connected() as mlflow:
        if not is_known(mlflow, other):
            return
        client, found = mlflow.MlflowClient(), mlflow.get_run(other)
        run.params(found.data.params)
        run.tags({name: tag for name, tag in found.data.tags.items() if name.split(".")[0] not in ("mlflow", "sweep")})
        names = [name for name in found.data.metrics if not name.startswith("system/")]
        points = [point for name in names for point in client.get_metric_history(other, name)]
        run.points([Point({point.key: point.value}, point.step, point.timestamp) for point in points])


def close_failed(run_id: str | None, error: str, tags: Mapping[str, str], files: Iterable[Path]) -> str:
    """End the run of a job as FAILED; where it had none yet, with one that says so. Returns its id.

    Args:
        run_id: of the job's run, if it came to have one.
        error: why, in a line; a tag.
        tags: of a new run.
        files: logged where they exist.
    """
    with connected() as mlflow:
        client = mlflow.MlflowClient()
        if run_id is None or not is_known(mlflow, run_id):
            run_id = _create(mlflow, {**provenance(), **tags})
        run = Run(client, run_id)
        run.tags({"error": error})
        for file in files:
            if file.is_file():
                run.artifact(file)
        client.set_terminated(run_id, "FAILED")
        return run_id


def _create(mlflow: Any, tags: Mapping[str, str]) -> str:
    user = {"mlflow.user": getpass.getuser(), "mlflow.source.type": "LOCAL"}
    experiment = mlflow.get_experiment_by_name(EXPERIMENT).experiment_id
    return mlflow.MlflowClient().create_run(experiment, tags={**user, **tags}).info.run_id
