"""What is kept of each job of a sweep: `job.json` in its folder, written once when the job has ended."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stages import store
from stages.errors import UserError

FILE = "job.json"
FINISHED, FAILED = "finished", "failed"


@dataclass(frozen=True)
class Record:
    """A job that has ended.

    Attributes:
        job: its number, by which its folder is named.
        overrides: `key=value`, what was set for it beside what `conf/` says: axes and what all jobs share.
        key: hash of all that its figures depend on.
        status: `FINISHED` or `FAILED`.
        error: why it failed, in one line.
        reused: the folder of the earlier job that had the same key, if this one was not computed.
        train_seconds: how long the training took; None where it failed or is not known.
        step_ms: milliseconds a step of it; None as above.
        parameters: weights of the encoder; None where it failed.
        embedding_dim: numbers in an embedding; None where it failed.
        run_id: the MLflow run; None where it failed before one was opened.
        metrics: content of `metrics/evaluate.json`; empty where it failed.
    """

    job: int
    overrides: list[str]
    key: str
    status: str
    error: str | None = None
    reused: str | None = None
    train_seconds: float | None = None
    step_ms: float | None = None
    parameters: int | None = None
    embedding_dim: int | None = None
    run_id: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it has figures."""
        return self.status == FINISHED


def save(folder: Path, record: Record) -> None:
    """Write `job.json` into the folder of a job."""
    store.save_json(folder / FILE, asdict(record))


def load(folder: Path) -> Record | None:
    """The record in the folder of a job; None where the job has not ended.

    Raises:
        UserError: the file holds something else.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    content = store.load_json(path)
    try:
        return Record(**content)
    except TypeError as error:
        raise UserError(f"{path}: found other content ({error}), expected what a sweep's job wrote") from None


def load_all(sweep: Path) -> list[Record]:
    """The records of all jobs of a sweep that have ended, by their numbers."""
    found = [load(path.parent) for path in sweep.glob(f"*/{FILE}")]
    return sorted((record for record in found if record is not None), key=lambda record: record.job)
