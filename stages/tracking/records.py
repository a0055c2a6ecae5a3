"""What is logged, as records of JSON, and how MLflow is told of one.

A record can be written to a file and sent later. Sent twice it does what it does once, so that sending can be cut off
at any moment and begun again.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from stages.tracking.known import CONTINUES, find, with_known_parent

Record = dict[str, Any]

MODEL = "embedder"
"""The name under which a run's model is logged."""

METRICS_AT_ONCE = 1000
"""Numbers that are logged in one call at most, all of them or none."""

_AT_ONCE = 100  # parameters or tags, as many as MLflow takes

Item = TypeVar("Item")


def send(client: Any, run_id: str, record: Record, folder: Path, reached: dict[str, int]) -> None:
    """Tell MLflow of a record.

    Args:
        client: MLflow's.
        run_id: of the run that it belongs to.
        record: `log` says what it is.
        folder: from which the paths in it count.
        reached: how far the run had come in a series, before the records that are being sent; filled as it is asked.
    """
    if "path" in record:
        record = {**record, "path": str(folder / record["path"])}
    if "series" in record:
        series = record["series"]
        if series not in reached:
            reached[series] = max((point.step for point in client.get_metric_history(run_id, series)), default=-1)
        record = {**record, "points": [point for point in record["points"] if point[3] > reached[series]]}
    _SENDERS[record["log"]](client, run_id, record)


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def _params(client: Any, run_id: str, record: Record) -> None:
    from mlflow.entities import Param

    for part in _parts(list(record["values"].items()), _AT_ONCE):
        client.log_batch(run_id, params=[Param(name, value) for name, value in part])


def _tags(client: Any, run_id: str, record: Record) -> None:
    from mlflow.entities import RunTag

    for part in _parts(list(with_known_parent(client, record["values"]).items()), _AT_ONCE):
        client.log_batch(run_id, tags=[RunTag(name, value) for name, value in part])


def _metrics(client: Any, run_id: str, record: Record) -> None:
    from mlflow.entities import Metric

    # MLflow drops a point that it has: of the same name, value, time and step.
    for part in _parts(record["points"], METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=[Metric(*point) for point in part])


def _artifact(client: Any, run_id: str, record: Record) -> None:
    log = client.log_artifacts if Path(record["path"]).is_dir() else client.log_artifact
    log(run_id, record["path"], record["folder"])


def _dataset(client: Any, run_id: str, record: Record) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tags = [InputTag("mlflow.data.context", "training")]
    client.log_inputs(run_id, [DatasetInput(Dataset(**record["dataset"]), tags)])


def _model(client: Any, run_id: str, record: Record) -> None:
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model

    run = client.get_run(run_id)
    begun = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    model = next((model for model in begun if model.tags.get("record") == record["key"]), None)
    if model is None:
        source = {name: tag for name, tag in run.data.tags.items() if name.startswith(("mlflow.user", "mlflow.source"))}
        model = client.create_logged_model(
            run.info.experiment_id, MODEL, run_id, tags={**source, "record": record["key"]}, params=run.data.params
        )
    if model.status == LoggedModelStatus.READY:
        return
    described = Model.load(record["path"])
    described.run_id, described.artifact_path = run_id, model.artifact_location
    described.model_id = described.model_uuid = model.model_id
    described.save(str(Path(record["path"], "MLmodel")))
    outputs = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.log_model_artifacts(model.model_id, record["path"])
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _status(client: Any, run_id: str, record: Record) -> None:
    if record["status"] == "RUNNING":
        client.update_run(run_id, "RUNNING")
    else:
        client.set_terminated(run_id, record["status"], record["time"])


def _take_over(client: Any, run_id: str, record: Record) -> None:
    other = find(client, record["run_id"])
    if other is None:
        return
    found = client.get_run(other)
    _params(client, run_id, {"values": found.data.params})
    own = ("mlflow", "sweep", CONTINUES)
    tags = {name: tag for name, tag in found.data.tags.items() if name.split(".")[0] not in own}
    _tags(client, run_id, {"values": tags})
    names = [name for name in found.data.metrics if not name.startswith("system/")]
    points = [point for name in names for point in client.get_metric_history(other, name)]
    _metrics(client, run_id, {"points": [(point.key, point.value, point.timestamp, point.step) for point in points]})


_SENDERS = {
    "params": _params,
    "tags": _tags,
    "metrics": _metrics,
    "artifact": _artifact,
    "dataset": _dataset,
    "model": _model,
    "status": _status,
    "take over": _take_over,
}


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[begin : begin + size] for begin in range(0, len(items), size))
