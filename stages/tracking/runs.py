"""One MLflow run for each configuration: opened by training, continued by the stages after it."""

import contextlib
import io
import json
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stages import store
from stages.config import flatten
from stages.errors import UserError
from stages.quiet import hidden_stderr
from stages.tracking import machine
from stages.tracking.connection import connected, imported, is_server, tracking_uri
from stages.tracking.direct import Direct
from stages.tracking.known import Heading
from stages.tracking.provenance import provenance
from stages.tracking.records import METRICS_AT_ONCE, Record, now
from stages.tracking.sender import Sender

if TYPE_CHECKING:
    import numpy as np

TAGS = "TRIPLET_RUN_TAGS"
"""An environment variable: JSON of tags that training gives to its run, `mlflow.runName` among them if it is to have
another name. By it whoever starts the stages says what they are part of."""

_LOCK = Path("dvc.lock")  # what DVC ran so far, by hash
_LONGEST_TAG = 5000


@dataclass(frozen=True)
class Point:
    """Numbers by name at a step, and when they were had, in milliseconds since 1970."""

    metrics: Mapping[str, float | None]
    step: int
    time: int = field(default_factory=now)


class Sink(Protocol):
    """Where the records of a run go."""

    run_id: str

    def write(self, record: Record) -> None:
        """Log a record."""

    def keep(self, path: Path) -> str:
        """What names a file or folder in a record."""

    def flush(self) -> None:
        """Return when all records would outlive this process."""

    def close(self) -> None:
        """No more records will come."""


class Run:
    """An open MLflow run."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.run_id = sink.run_id

    def params(self, settings: Mapping[str, Any]) -> None:
        """Log settings, nested or not, under their dotted names."""
        self._sink.write({"log": "params", "values": {name: str(value) for name, value in flatten(settings)}})

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags, nested or not, under their dotted names."""
        self._sink.write({"log": "tags", "values": _as_text(tags)})

    def metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log numbers by name; None, a measure that does not exist, is left out."""
        self.points([Point(metrics, step)])

    def points(self, points: Sequence[Point], series: str | None = None) -> None:
        """Log the numbers of many steps at once. A process killed meanwhile has logged whole points only.

        Args:
            points: all of them, in the order of their steps.
            series: a metric that each point has. Points up to the step that the run had of it when it was opened are
                left out: an earlier attempt at the same work has logged them.
        """
        record: Record = {"log": "metrics"} if series is None else {"log": "metrics", "series": series}
        numbers: list[tuple[str, float, int, int]] = []
        for point in points:
            of_point = [
                (name, float(value), point.time, int(point.step))
                for name, value in point.metrics.items()
                if value is not None
            ]
            if len(numbers) + len(of_point) > METRICS_AT_ONCE:
                self._sink.write({**record, "points": numbers})
                numbers = []
            numbers += of_point
        self._sink.write({**record, "points": numbers})

    def flush(self) -> None:
        """Return when all that was logged so far would outlive this process."""
        self._sink.flush()

    def artifact(self, path: str | Path, folder: str | None = None) -> None:
        """Copy a file, or what is in a folder, into the run."""
        self._sink.write({"log": "artifact", "path": self._sink.keep(Path(path)), "folder": folder})

    def dataset(self, images: "np.ndarray", labels: "np.ndarray", name: str, source: str) -> None:
        """Name the images that the run was trained on, with their digest."""
        import mlflow

        dataset = mlflow.data.from_numpy(images, targets=labels, name=name, source=source)
        self._sink.write({"log": "dataset", "dataset": dataset.to_dict()})

    def model(self, model: Any, examples: "np.ndarray", embeddings: "np.ndarray") -> None:
        """Store a Keras model with its signature, so that `mlflow models serve` answers images with embeddings.

        Args:
            model: the encoder.
            examples: uint8 `[n, H, W, C]`.
            embeddings: float32 `[n, D]`, what the model makes of them.
        """
        import keras
        import mlflow.tensorflow

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            # MLflow tries the example out, with a progress bar and TensorFlow's remarks.
            with hidden_stderr(), contextlib.redirect_stdout(io.StringIO()):
                mlflow.tensorflow.save_model(  # `mlflow.keras` fails on an input example (MLflow 3.17)
                    model,
                    path,
                    signature=mlflow.models.infer_signature(examples, embeddings),
                    input_example=examples,
                    pip_requirements=[f"keras=={keras.__version__}", *_installed("tensorflow"), *_installed("numpy")],
                )
            self._sink.write({"log": "model", "path": self._sink.keep(path), "key": uuid.uuid4().hex})

    def take_over(self, run_id: str) -> None:
        """Log what another run has: parameters, metrics at their steps, tags but for those of its own sweep.

        Nothing if the store does not know it.
        """
        self._sink.write({"log": "take over", "run_id": run_id})

    def status(self, status: str) -> None:
        """Say that the run is RUNNING again, or how it ended: FINISHED, FAILED or KILLED."""
        self._sink.write({"log": "status", "status": status, "time": now()})


@contextlib.contextmanager
def started(run_file: str | Path, name: str, tags: Mapping[str, Any], unfinished: Path | None = None) -> Iterator[Run]:
    """Open a run and write its id to `run_file`; it ends with the block, FAILED after an error, KILLED if interrupted.

    Args:
        run_file: JSON, for the stages that continue the run. With `unfinished`, one that is there stays, for the files
            beside it are of that run: the caller replaces it with them.
        name: of a new run; that of a DVC experiment is put before it.
        tags: nested or not.
        unfinished: JSON with the id of the run too, and its state. Where it exists, the run that it names goes on. To
            be removed by whoever ends the work.
    """
    name, tags = _with_surroundings(name, _as_text(tags))
    before = _noted(unfinished) if unfinished is not None and unfinished.is_file() else {}
    began = before.get("began", now())
    with opened(before.get("run_id"), name, tags, ends=True) as run:

        def note(status: str) -> None:
            if unfinished is not None:
                store.save_json(unfinished, {"run_id": run.run_id, "began": began, "status": status})

        if unfinished is None or not Path(run_file).is_file():
            store.save_json(run_file, {"run_id": run.run_id})
        with _until_its_end(run, note), machine.watched(run.metrics, began):
            yield run


def end_killed(unfinished: Iterable[Path]) -> None:
    """End the runs of work that was killed, and that nobody is about to go on with, as KILLED.

    Args:
        unfinished: the files of that name of `started`.
    """
    for file in unfinished:
        content = _noted(file)
        if content.get("status") == "RUNNING":
            with opened(content["run_id"], successor_of(content["run_id"]), provenance(), ends=True) as run:
                run.status("KILLED")
            store.save_json(file, content | {"status": "KILLED"})


@contextlib.contextmanager
def continued(run_file: str | Path, settings: Mapping[str, Any]) -> Iterator[Run]:
    """Go on with the run whose id `run_file` holds; `settings` become tags.

    If the store does not know it (a fresh clone, another server), one run goes on in its place, tagged with the old id.
    """
    run_id = run_id_in(run_file)
    with opened(run_id, successor_of(run_id), provenance(), ends=True) as run, _until_its_end(run):
        run.tags(settings)
        if _LOCK.is_file() and "DVC_STAGE" in os.environ:  # started by hand or by a sweep, it is of other work
            run.artifact(_LOCK)
        yield run


@contextlib.contextmanager
def opened(run_id: str | None, name: str, tags: Mapping[str, str], *, ends: bool = False) -> Iterator[Run]:
    """Log into a run, without telling whether it runs.

    Args:
        run_id: of a run that there was, or None for a new one.
        name: of a new run, also of one in the place of a run that the store does not know.
        tags: of a new run.
        ends: whether its end is logged within the block. If it is not, for the process was killed, `push` does it.

    Raises:
        UserError: a local store refuses. A server that fails is no error: what is logged is kept for it.
    """
    heading = Heading(name, dict(tags), now())
    with imported() if is_server(tracking_uri()) else connected() as mlflow:
        client = mlflow.MlflowClient()
        server = is_server(tracking_uri())
        sink: Sink = Sender(client, run_id, heading, ends=ends) if server else Direct(client, run_id, heading)
        try:
            yield Run(sink)
        finally:
            sink.close()


@contextlib.contextmanager
def _until_its_end(run: Run, note: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Log the run's status, and `note` it elsewhere: RUNNING, then how the block ends."""
    note("RUNNING")
    run.status("RUNNING")
    try:
        yield
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        # A store that refuses the status as well would hide why.
        with contextlib.suppress(UserError, OSError):
            run.status(status)
            note(status)
        raise
    run.status("FINISHED")
    note("FINISHED")


def _with_surroundings(name: str, tags: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Name and tags of a run, with what is known of who started it: commit, DVC experiment, sweep."""
    around = provenance()
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment:
        name, around["dvc.experiment"] = f"{experiment}: {name}", experiment
    around |= json.loads(os.environ.get(TAGS, "{}"))
    return around.pop("mlflow.runName", name), {**around, **tags}


def successor_of(run_id: str) -> str:
    """The name of a run in the place of one that the store does not know."""
    return f"continues {run_id[:8]}"


def run_id_in(run_file: str | Path) -> str:
    """The id that a stage wrote.

    Raises:
        UserError: no such file, or other content.
    """
    return _noted(run_file)["run_id"]


def _noted(run_file: str | Path) -> dict[str, Any]:
    """What a stage wrote of a run: its id, and of unfinished work when it began and its state."""
    content = store.load_json(run_file)
    run_id = content.get("run_id") if isinstance(content, dict) else None
    if not isinstance(run_id, str) or not re.fullmatch(r"[\w-]{1,64}", run_id):
        raise UserError(f"{run_file}: found other content, expected the run_id that the train stage wrote")
    return content


def _as_text(tags: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value)[:_LONGEST_TAG] for name, value in flatten(tags)}


def _installed(package: str) -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return [f"{package}=={version(package)}"]
    except PackageNotFoundError:
        return []
