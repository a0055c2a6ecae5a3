"""Where runs are recorded, and MLflow connected to it.

`MLFLOW_TRACKING_URI` says where to, if it is set; else a SQLite database at the root of the repository, beside which
the files are kept. MLflow is imported when it is connected: that takes over a second.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.errors import UserError

EXPERIMENT = "triplet-workflow"
_UNLESS_SET = {
    # By default a dead server costs four minutes a call.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def root() -> Path:
    """The repository's root, also inside DVC's copies of it: what all runs share lies there."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).resolve().parents[2])


def tracking_uri() -> str:
    """Where runs are recorded."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """MLflow, connected and with the experiment selected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        set_defaults()
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(tracking_uri())
        try:
            _select_experiment(mlflow)
        except mlflow.exceptions.MlflowException as error:
            reason = " ".join(str(error).split())
            raise UserError(f"MLFLOW_TRACKING_URI: {tracking_uri()} does not answer: {reason}") from error
        yield mlflow


def _select_experiment(mlflow: Any) -> None:
    from filelock import FileLock

    # Several processes that create one new SQLite database at once all fail.
    with FileLock(root() / ".mlflow.lock"):
        if mlflow.get_experiment_by_name(EXPERIMENT) is None:
            local = tracking_uri().startswith("sqlite:")
            mlflow.create_experiment(EXPERIMENT, (root() / "mlruns").as_uri() if local else None)
        mlflow.set_experiment(EXPERIMENT)


def set_defaults() -> None:
    """Set what MLflow reads of the environment, where the user set nothing."""
    for name, value in _UNLESS_SET.items():
        os.environ.setdefault(name, value)
