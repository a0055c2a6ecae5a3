"""Where runs are recorded, and MLflow connected to it.

`MLFLOW_TRACKING_URI` says where to, if it is set; else a SQLite database at the root of the repository, beside which
the files are kept. MLflow is imported when it is connected: that takes over a second.
"""

import contextlib
import logging
import os
import random
import re
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from stages.errors import UserError, in_a_line

EXPERIMENT = "triplet-workflow"
LOCK = ".mlflow.lock"
"""A file at the root, locked by whoever makes what others must not make too."""

_UNLESS_SET = {
    # By default a dead server costs four minutes a call. A call is not repeated at once, for a server that asks to be
    # left alone for ten minutes would be obeyed; whoever made the call comes back to it later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_PATIENCE = 10  # times 20 s, which MLflow waits for other writers of a SQLite database

_LONGEST_REASON = 200

Result = TypeVar("Result")


def root() -> Path:
    """The repository's root, also inside DVC's copies of it: what all runs share lies there."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).resolve().parents[2])


def tracking_uri() -> str:
    """Where runs are recorded."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


def is_server(uri: str) -> bool:
    """Whether runs are recorded over the network, which may fail while training goes on."""
    return uri.startswith(("http://", "https://"))


def shown_uri() -> str:
    """Where runs are recorded, without a password."""
    return without_password(tracking_uri())


def without_password(text: str) -> str:
    """The text, with no user and password in the addresses that it names.

    >>> without_password("https://me:secret@host/mlflow does not answer")
    'https://host/mlflow does not answer'
    """
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


@contextlib.contextmanager
def imported() -> Iterator[Any]:
    """MLflow, pointed at where runs are recorded, which it has not asked yet; it is quiet during the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        set_defaults()
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it would show the traceback of what is told in a line
        mlflow.set_tracking_uri(tracking_uri())
        yield mlflow


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """MLflow, connected, with the experiment of all runs.

    Raises:
        UserError: it does not answer.
    """
    with imported() as mlflow:
        # Several processes that create one new SQLite database at once all fail. For a server nobody waits for another.
        with contextlib.nullcontext() if is_server(tracking_uri()) else FileLock(root() / LOCK):
            patiently(lambda: experiment(mlflow.MlflowClient()))
        yield mlflow


def experiment(client: Any) -> str:
    """The id of the experiment of all runs, which is made where it is missing."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return found.experiment_id
    place = (root() / "mlruns").as_uri() if tracking_uri().startswith("sqlite:") else None
    try:
        return client.create_experiment(EXPERIMENT, place)
    except Exception:
        found = client.get_experiment_by_name(EXPERIMENT)  # another process may have been faster
        if found is None:
            raise
        return found.experiment_id


def patiently(call: Callable[[], Result]) -> Result:
    """Call what talks to a local store, again where other writers kept it waiting for too long.

    Raises:
        UserError: the store refused.
    """
    from mlflow.exceptions import MlflowException

    for attempt in range(_PATIENCE):
        try:
            return call()
        except MlflowException as error:
            if "database is locked" in str(error) and attempt + 1 < _PATIENCE:
                time.sleep(random.uniform(0, 1))  # noqa: S311 - so that writers do not meet again
                continue
            fails = f"MLFLOW_TRACKING_URI: {shown_uri()} does not answer" if is_server(tracking_uri()) else shown_uri()
            raise UserError(f"{fails}: {in_a_line(error) or why(error)}") from error
    raise AssertionError("the last attempt returns or raises")


def why(error: BaseException) -> str:
    r"""What was the cause of an error of MLflow's, in a few words.

    >>> why(ValueError("more than\none line"))
    'more than one line'
    >>> why(ValueError("Connection aborted.", ConnectionError("the other end closed it")))
    'the other end closed it'
    """
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    while error.args and isinstance(error.args[-1], BaseException):  # urllib3 wraps so
        error = error.args[-1]
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    words = " ".join(said.split()) or type(error).__name__
    return without_password(textwrap.shorten(words, _LONGEST_REASON, placeholder="…"))


def set_defaults() -> None:
    """Set what MLflow reads of the environment, where the user set nothing."""
    for name, value in _UNLESS_SET.items():
        os.environ.setdefault(name, value)
