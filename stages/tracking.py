"""One MLflow run for each configuration: the only module that talks to MLflow.

`MLFLOW_TRACKING_URI` says where to, if it is set; else a SQLite database at the root of the repository, beside which
the files are kept. MLflow is imported when a run is opened: that takes over a second.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import config, store
from stages.command import call_or_exit
from stages.config import flatten
from stages.errors import UserError
from stages.quiet import hidden_stderr

if TYPE_CHECKING:
    import numpy as np

EXPERIMENT = "triplet-workflow"
_UNLESS_SET = {
    # By default a dead server costs four minutes a call.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_LOCK = Path("dvc.lock")  # what DVC ran so far, by hash
_LONGEST_TAG = 5000
_METRICS_AT_ONCE = 1000


def root() -> Path:
    """The repository's root, also inside DVC's copies of it: what all runs share lies there."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).resolve().parent.parent)


def tracking_uri() -> str:
    """Where runs are recorded."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


@dataclass(frozen=True)
class Point:
    """Numbers by name at a step, and when they were had, in milliseconds since 1970."""

    metrics: Mapping[str, float | None]
    step: int
    time: int = field(default_factory=lambda: int(time.time() * 1000))


class Run:
    """An open MLflow run."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def params(self, settings: Mapping[str, Any]) -> None:
        """Log settings, nested or not, under their dotted names."""
        from mlflow.entities import Param

        params = [Param(name, str(value)) for name, value in flatten(settings)]
        self._client.log_batch(self.run_id, params=params)

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags, nested or not, under their dotted names."""
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in _as_text(tags).items()])

    def metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log numbers by name; None, a measure that does not exist, is left out."""
        self.points([Point(metrics, step)])

    def points(self, points: Sequence[Point]) -> None:
        """Log the numbers of many steps at once."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, point.time, point.step)
            for point in points
            for name, value in point.metrics.items()
            if value is not None
        ]
        for begin in range(0, len(metrics), _METRICS_AT_ONCE):
            self._client.log_batch(self.run_id, metrics=metrics[begin : begin + _METRICS_AT_ONCE])

    def artifact(self, path: str | Path, folder: str | None = None) -> None:
        """Copy a file, or what is in a folder, into the run."""
        log = self._client.log_artifacts if Path(path).is_dir() else self._client.log_artifact
        log(self.run_id, str(path), folder)

    def dataset(self, images: "np.ndarray", labels: "np.ndarray", name: str, source: str) -> None:
        """Name the images that the run was trained on, with their digest."""
        import mlflow

        dataset = mlflow.data.from_numpy(images, targets=labels, name=name, source=source)
        mlflow.log_input(dataset, context="training")

    def model(self, model: Any, examples: "np.ndarray", embeddings: "np.ndarray") -> None:
        """Store a Keras model with its signature, so that `mlflow models serve` answers images with embeddings.

        Args:
            model: the encoder.
            examples: uint8 `[n, H, W, C]`.
            embeddings: float32 `[n, D]`, what the model makes of them.
        """
        import keras
        import mlflow.tensorflow

        # MLflow tries the example out, with a progress bar and TensorFlow's remarks.
        with hidden_stderr(), contextlib.redirect_stdout(io.StringIO()):
            mlflow.tensorflow.log_model(  # `mlflow.keras` fails on an input example (MLflow 3.17)
                model,
                name="embedder",
                signature=mlflow.models.infer_signature(examples, embeddings),
                input_example=examples,
                pip_requirements=[f"keras=={keras.__version__}", *_installed("tensorflow"), *_installed("numpy")],
            )


@contextlib.contextmanager
def started(run_file: str | Path, name: str, tags: Mapping[str, Any]) -> Iterator[Run]:
    """Open a new run and write its id to `run_file`; it ends with the block, FAILED after an error."""
    tags = {**_provenance(), **_as_text(tags)}
    with _mlflow() as mlflow, mlflow.start_run(run_name=name, tags=tags, log_system_metrics=True) as run:
        store.save_json(run_file, {"run_id": run.info.run_id})
        yield Run(mlflow.MlflowClient(), run.info.run_id)


@contextlib.contextmanager
def continued(run_file: str | Path, settings: Mapping[str, Any]) -> Iterator[Run]:
    """Go on with the run whose id `run_file` holds; `settings` become tags.

    If the store does not know it (a fresh clone, another server), one run goes on in its place, tagged with the old id.
    """
    run_id = _run_id(run_file)
    with _mlflow() as mlflow, _known_or_successor(mlflow, run_id) as run:
        opened = Run(mlflow.MlflowClient(), run.info.run_id)
        opened.tags(settings)
        if _LOCK.is_file():
            opened.artifact(_LOCK)
        yield opened


def _known_or_successor(mlflow: Any, run_id: str) -> Any:
    if _is_known(mlflow, run_id):
        return mlflow.start_run(run_id=run_id)
    successors = mlflow.search_runs(filter_string=f"tags.continues = '{run_id}'", output_format="list")
    if successors:
        return mlflow.start_run(run_id=successors[0].info.run_id)
    return mlflow.start_run(run_name=f"continues {run_id[:8]}", tags={**_provenance(), "continues": run_id})


def _is_known(mlflow: Any, run_id: str) -> bool:
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    try:
        return mlflow.get_run(run_id).info.lifecycle_stage == "active"
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return False


def _run_id(run_file: str | Path) -> str:
    content = store.load_json(run_file)
    if not (isinstance(content, dict) and isinstance(content.get("run_id"), str)):
        raise UserError(f"{run_file}: found other content, expected the run_id that the train stage wrote")
    return content["run_id"]


@contextlib.contextmanager
def _mlflow() -> Iterator[Any]:
    """MLflow, connected and with the experiment selected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _set_defaults()
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


def _provenance() -> dict[str, str]:
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    # MLflow shows these under its own names.
    return {"mlflow.source.git.commit": commit, "git.dirty": str(bool(_git("status", "--porcelain")))}


def _git(*arguments: str) -> str | None:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


def _as_text(tags: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value)[:_LONGEST_TAG] for name, value in flatten(tags)}


def _installed(package: str) -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return [f"{package}=={version(package)}"]
    except PackageNotFoundError:
        return []


def ui(port: int) -> None:
    """Replace this process by MLflow's page of runs, on this machine only."""
    if tracking_uri().startswith("http"):
        print(f"the runs are on the server of MLFLOW_TRACKING_URI: {tracking_uri()}")
        return
    print(f"http://127.0.0.1:{port} shows the runs of {tracking_uri()}; Ctrl+C ends it", flush=True)
    _become("mlflow", "ui", "--backend-store-uri", tracking_uri(), "--host", "127.0.0.1", "--port", str(port))


def serve(port: int, run_file: str | Path) -> None:
    """Replace this process by a server of the latest model, on this machine only."""
    run_id = _run_id(run_file)
    with _mlflow() as mlflow:
        if not _is_known(mlflow, run_id):
            raise UserError(
                f"{run_file}: found run {run_id}, which {tracking_uri()} does not hold; expected a run of it"
            )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    print(
        f"serving the model of run {run_id}; once it listens, try in another terminal:\n"
        f"{Path(sys.executable).parent / 'python'} -m stages.tracking example | "
        f"curl -H 'Content-Type: application/json' -d @- http://127.0.0.1:{port}/invocations",
        flush=True,
    )
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()
    model = f"runs:/{run_id}/embedder"
    _become("mlflow", "models", "serve", "-m", model, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port))


def example(images_file: str | Path) -> str:
    """The JSON of a request for the embedding of the first test image."""
    import numpy as np

    images = store.load_array(images_file, np.uint8, 4, memory_map=True)
    return json.dumps({"inputs": images[:1].tolist()})


def _set_defaults() -> None:
    for name, value in _UNLESS_SET.items():
        os.environ.setdefault(name, value)


def _become(command: str, *arguments: str) -> None:
    _set_defaults()
    # MLflow starts programs of this environment by name.
    programs = Path(sys.executable).parent
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
    os.execv(programs / command, [command, *arguments])  # noqa: S606 - no shell is wanted


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.tracking", description="See and use recorded runs.")
    parser.add_argument("action", choices=["ui", "serve", "example"])
    parser.add_argument("--port", type=int, help="where ui and serve listen, on this machine only")
    options = parser.parse_args()
    if options.action != "example" and options.port is None:
        parser.error(f"{options.action} needs --port")

    def act() -> None:
        if options.action == "ui":
            ui(options.port)
            return
        paths = config.load().paths
        if options.action == "serve":
            serve(options.port, Path(paths.model) / "run.json")
        else:
            print(example(Path(paths.prepared) / "test_images.npy"))

    call_or_exit("tracking", act, debug=False)


if __name__ == "__main__":
    _main()
