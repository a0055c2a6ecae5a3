"""Which run of the store an id means: the run of that id, or the one that continues it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from filelock import FileLock

from stages.tracking.connection import LOCK, experiment, is_server, root, tracking_uri

CONTINUES = "continues"
"""The tag of a run that stands for one that the store does not know: its id."""

PARENT = "mlflow.parentRunId"
"""The tag that makes a run a child of another one."""

_WAIT = 5  # seconds, which a server costs that answers nobody


@dataclass(frozen=True)
class Heading:
    """What a new run begins with: its name, its tags, and when it began, in milliseconds since 1970."""

    name: str
    tags: Mapping[str, str]
    began: int


def find(client: Any, run_id: str) -> str | None:
    """The id in the store of a run that is not deleted; None where it has none."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    try:
        if client.get_run(run_id).info.lifecycle_stage == "active":
            return run_id
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
    successors = _tagged(client, CONTINUES, run_id)
    return successors[0] if successors else None


def create(client: Any, heading: Heading, **tags: str) -> str:
    """Open a new run; returns its id."""
    tags = with_known_parent(client, {**heading.tags, **tags})
    return client.create_run(experiment(client), heading.began, tags, heading.name).info.run_id


def find_or_create(client: Any, run_id: str, heading: Heading) -> str:
    """The id in the store of a run; where the store has none, of a new one, tagged with the id."""
    found = find(client, run_id)
    if found is not None:
        return found
    # Not one by each process that comes to know the id.
    with FileLock(root() / LOCK, timeout=_WAIT if is_server(tracking_uri()) else -1):
        found = find(client, run_id)
        if found is None:
            found = create(client, heading, **{CONTINUES: run_id})
    for child in _tagged(client, PARENT, run_id):
        client.set_tag(child, PARENT, found)
    return found


def with_known_parent(client: Any, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags, with the id that the parent has in the store."""
    if PARENT not in tags:
        return dict(tags)
    return {**tags, PARENT: find(client, tags[PARENT]) or tags[PARENT]}


def _tagged(client: Any, tag: str, value: str) -> list[str]:
    found = client.search_runs([experiment(client)], f"tags.`{tag}` = '{value}'", max_results=1000)
    return [run.info.run_id for run in sorted(found, key=lambda run: run.info.start_time)]
