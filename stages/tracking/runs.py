"""One MLflow run for each configuration: opened by training, continued by the stages after it."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import store
from stages.config import flatten
from stages.errors import UserError
from stages.quiet import hidden_stderr
from stages.tracking.connection import connected

if TYPE_CHECKING:
    import numpy as np

TAGS = "TRIPLET_RUN_TAGS"
"""An environment variable: JSON of tags that training gives to its run, `mlflow.runName` among them if it is to have
another name. By it whoever starts the stages says what they are part of."""

_LOCK = Path("dvc.lock")  # what DVC ran so far, by hash
_LONGEST_TAG = 5000
_METRICS_AT_ONCE = 1000


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

    def last_step(self, metric: str) -> int:
        """The latest step at which a metric was logged; 0 where it never was."""
        return max((point.step for point in self._client.get_metric_history(self.run_id, metric)), default=0)

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
def started(run_file: str | Path, name: str, tags: Mapping[str, Any], unfinished: Path | None = None) -> Iterator[Run]:
    """Open a run and write its id to `run_file`; it ends with the block, FAILED after an error.

    Args:
        run_file: JSON, for the stages that continue the run.
        name: of a new run; that of a DVC experiment is put before it.
        tags: nested or not.
        unfinished: JSON with the id of the run too. Where it exists and names a run that did not end well, that run
            goes on. To be removed by whoever ends the work.
    """
    name, tags = _with_surroundings(name, _as_text(tags))
    with connected() as mlflow, _unfinished_or_new(mlflow, unfinished, name, tags) as run:
        for file in (run_file, unfinished):
            if file is not None:
                store.save_json(file, {"run_id": run.info.run_id})
        yield Run(mlflow.MlflowClient(), run.info.run_id)


def _with_surroundings(name: str, tags: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Name and tags of a run, with what is known of who started it: commit, DVC experiment, sweep."""
    around = provenance()
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment:
        name, around["dvc.experiment"] = f"{experiment}: {name}", experiment
    around |= json.loads(os.environ.get(TAGS, "{}"))
    return around.pop("mlflow.runName", name), {**around, **tags}


def _unfinished_or_new(mlflow: Any, unfinished: Path | None, name: str, tags: Mapping[str, str]) -> Any:
    if unfinished is not None and unfinished.is_file():
        run_id = run_id_in(unfinished)
        if is_known(mlflow, run_id) and mlflow.get_run(run_id).info.status != "FINISHED":
            return mlflow.start_run(run_id=run_id, log_system_metrics=True)
    return mlflow.start_run(run_name=name, tags=tags, log_system_metrics=True)


@contextlib.contextmanager
def continued(run_file: str | Path, settings: Mapping[str, Any]) -> Iterator[Run]:
    """Go on with the run whose id `run_file` holds; `settings` become tags.

    If the store does not know it (a fresh clone, another server), one run goes on in its place, tagged with the old id.
    """
    run_id = run_id_in(run_file)
    with connected() as mlflow, _known_or_successor(mlflow, run_id) as run:
        opened = Run(mlflow.MlflowClient(), run.info.run_id)
        opened.tags(settings)
        if _LOCK.is_file() and "DVC_STAGE" in os.environ:  # started by hand or by a sweep, it is of other work
            opened.artifact(_LOCK)
        yield opened


def _known_or_successor(mlflow: Any, run_id: str) -> Any:
    if is_known(mlflow, run_id):
        return mlflow.start_run(run_id=run_id)
    successors = mlflow.search_runs(filter_string=f"tags.continues = '{run_id}'", output_format="list")
    if successors:
        return mlflow.start_run(run_id=successors[0].info.run_id)
    return mlflow.start_run(run_name=f"continues {run_id[:8]}", tags={**provenance(), "continues": run_id})


def is_known(mlflow: Any, run_id: str) -> bool:
    """Whether the store has this run and it is not deleted."""
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    try:
        return mlflow.get_run(run_id).info.lifecycle_stage == "active"
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return False


def run_id_in(run_file: str | Path) -> str:
    """The id that a stage wrote.

    Raises:
        UserError: no such file, or other content.
    """
    content = store.load_json(run_file)
    if not (isinstance(content, dict) and isinstance(content.get("run_id"), str)):
        raise UserError(f"{run_file}: found other content, expected the run_id that the train stage wrote")
    return content["run_id"]


def provenance() -> dict[str, str]:
    """Tags that say what made a run: the command, the commit and whether code differs from it, git's remote."""
    tags = {}
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if main is not None:  # else MLflow names the file, which lies in a temporary copy under DVC's queue
        tags["mlflow.source.name"] = f"python -m {main.name.removesuffix('.__main__')}"
    commit = _git("rev-parse", "HEAD")
    if commit is not None:
        # Settings are recorded whole, and DVC changes params.yaml and dvc.lock itself.
        dirty = bool(_git("status", "--porcelain", "--", "stages", "requirements.lock"))
        tags |= {"mlflow.source.git.commit": commit, "git.dirty": str(dirty)}
    remote = _git("remote", "get-url", "origin")
    if remote:  # MLflow would record it with the password that may stand in it
        tags["mlflow.source.git.repoURL"] = re.sub(r"(?<=://)[^/@]*@", "", remote)
    return tags


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
