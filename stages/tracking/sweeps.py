"""The MLflow run around those of a sweep, whose children its jobs are."""

import contextlib
import getpass
from collections.abc import Iterator, Mapping

from stages.tracking.connection import EXPERIMENT, connected
from stages.tracking.runs import Run, is_known, provenance

PARENT = "mlflow.parentRunId"
"""The tag of a job's run that makes it a child."""


def open_parent(name: str, tags: Mapping[str, str], run_id: str | None = None) -> str:
    """Open the run of a sweep, or the one that it had before it was cut off; returns its id.

    Args:
        name: of a new run.
        tags: of a new run.
        run_id: of the earlier one; where the store does not know it, a new one is opened.
    """
    with connected() as mlflow:
        client = mlflow.MlflowClient()
        if run_id is not None and is_known(mlflow, run_id):
            client.update_run(run_id, status="RUNNING")
            return run_id
        user = {"mlflow.user": getpass.getuser(), "mlflow.source.type": "LOCAL"}
        experiment = mlflow.get_experiment_by_name(EXPERIMENT).experiment_id
        return client.create_run(experiment, run_name=name, tags={**user, **provenance(), **tags}).info.run_id


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
    """Log what another run ended with: its parameters and its latest metrics; nothing if the store does not know it."""
    with connected() as mlflow:
        if is_known(mlflow, other):
            found = mlflow.get_run(other)
            run.params(found.data.params)
            run.metrics({name: value for name, value in found.data.metrics.items() if not name.startswith("system/")})
