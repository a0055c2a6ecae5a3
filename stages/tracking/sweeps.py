"""The MLflow run around those of a sweep, whose children its jobs are."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from stages.tracking.known import PARENT
from stages.tracking.provenance import provenance
from stages.tracking.runs import Run, opened, successor_of

__all__ = ["PARENT", "close_failed", "close_parent", "open_parent", "parent", "take_over"]


def open_parent(tags: Mapping[str, str], run_id: str | None = None) -> str:
    """Open the run of a sweep, or the one that it had before it was cut off; returns its id.

    Args:
        tags: `mlflow.runName` among them.
        run_id: of the earlier one; where the store does not know it, a new one is opened.
    """
    around = {**provenance(), **tags}
    with opened(run_id, around.pop("mlflow.runName"), around) as run:
        if run_id is not None:
            run.status("RUNNING")
            run.tags(tags)
        return run.run_id


@contextlib.contextmanager
def parent(run_id: str) -> Iterator[Run]:
    """The run of a sweep, to log into; it stays open."""
    with opened(run_id, successor_of(run_id), provenance()) as run:
        yield run


def close_parent(run_id: str, status: str) -> None:
    """End the run of a sweep: FINISHED, FAILED or KILLED."""
    with parent(run_id) as run:
        run.status(status)


def take_over(run: Run, other: str) -> None:
    """Log what another run has: its parameters, its metrics at their steps, its tags but for those of its own sweep.

    Nothing if the store does not know it.
    """
    run.take_over(other)


def close_failed(run_id: str | None, error: str, tags: Mapping[str, str], files: Iterable[Path]) -> str:
    """End the run of a job as FAILED; where it had none yet, with one that says so. Returns its id.

    Args:
        run_id: of the job's run, if it came to have one.
        error: why, in a line; a tag.
        tags: of a new run.
        files: logged where they exist.
    """
    around = {**provenance(), **tags}
    with opened(run_id, around.pop("mlflow.runName", "a job that failed"), around) as run:
        run.tags({"error": error})
        for file in files:
            if file.is_file():
                run.artifact(file)
        run.status("FAILED")
        return run.run_id
