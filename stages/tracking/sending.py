"""Sending what is kept for a server: each record in its order, by the stage that logs it or later by `push`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.tracking import records, unsent
from stages.tracking.connection import why
from stages.tracking.known import find_or_create
from stages.tracking.unsent import Unsent

_NOT_FOR_THE_RECORD = (401, 403, 408, 429)
"""HTTP's statuses that do not judge what was sent, but who sent it, and when."""


def send(client: Any, kept: Unsent, target: str | None = None) -> str | None:
    """Send what remains of the records of a run.

    Args:
        client: MLflow's.
        kept: the records. That the server refused one is noted there, and the others are sent.
        target: the run's id on the server, if it is known.

    Returns:
        The run's id on the server; None if nothing remained.

    Raises:
        Exception: the server fails; what was not sent is kept.
    """
    for index, record in kept.pending():
        target = target or find_or_create(client, kept.kept.run_id, kept.kept.heading)
        try:
            records.send(client, target, record, kept.folder, kept.reached)
        except Exception as error:
            if not _is_refusal(error):
                raise
            kept.sent(index, f"{record['log']}: {why(error)}")
        else:
            kept.sent(index)
    return target


def send_left(client: Any, kept: Unsent) -> str | None:
    """Send, and then forget, what a process left that has ended; a run that it could not end was killed.

    Returns:
        The run's id on the server; None if nothing remained but to forget it.
    """
    try:
        target = send(client, kept)
        if kept.kept.ends and kept.status == "RUNNING":
            target = target or find_or_create(client, kept.kept.run_id, kept.kept.heading)
            client.set_terminated(target, "KILLED", kept.last_written())
    except BaseException:
        kept.release()
        raise
    if kept.refused:
        kept.release()
    else:
        kept.remove()
    return target


def left_by(is_of: Callable[[unsent.Kept], bool]) -> list[Path]:
    """The folders of such runs, in the order in which they were begun."""
    return [folder for folder in unsent.found() if (kept := unsent.run_of(folder)) is not None and is_of(kept)]


def _is_refusal(error: Exception) -> bool:
    """Whether the server found fault with a record, and would at any other time."""
    from mlflow.exceptions import MlflowException

    # Files are uploaded without what makes an exception of MLflow's of an answer.
    answer = getattr(error, "response", None)
    status = error.get_http_status_code() if isinstance(error, MlflowException) else getattr(answer, "status_code", 0)
    return 400 <= status < 500 and status not in _NOT_FOR_THE_RECORD
