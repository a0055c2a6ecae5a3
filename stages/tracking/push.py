"""Sending what could not be sent: `python -m stages.tracking push`."""

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from stages.errors import UserError
from stages.tracking import sending, unsent
from stages.tracking.connection import connected, shown_uri, why


def push() -> Iterator[str]:
    """Send what is kept of all runs to where runs are recorded now, and forget it; a line for each run.

    A run that cannot be sent keeps no other from it.

    Raises:
        UserError: it is not said where to, it does not answer, or it refuses something. What was not sent is kept.
    """
    unsent.clear()
    kept = [(folder, run) for folder in unsent.found() if (run := unsent.run_of(folder)) is not None]
    if not kept:
        yield f"nothing is unsent in {unsent.place()}"
        return
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        servers = " or ".join(sorted({run.server for _, run in kept}))
        raise UserError(f"MLFLOW_TRACKING_URI: found nothing, expected the server that was not reached: {servers}")
    # Runs in the order in which they began: the run of a sweep before those of its jobs.
    first = {run.run_id: number for number, (_, run) in reversed(list(enumerate(kept)))}
    kept.sort(key=lambda item: first[item[1].run_id])
    refused: list[str] = []
    failed: list[str] = []
    with connected() as mlflow:
        client = mlflow.MlflowClient()
        for run_id, items in groupby(kept, key=lambda item: item[1].run_id):
            try:
                line = _push_run(client, run_id, [folder for folder, _ in items], refused)
            except Exception as error:
                failed.append(why(error))
                line = f"{run_id}: not sent ({failed[-1]})"
            yield line
    if failed:
        raise UserError(f"{shown_uri()}: failed ({failed[0]}); what was not sent is still in {unsent.place()}")
    if refused:
        raise UserError(f"{shown_uri()}: refused {'; '.join(refused)}; what is to be dropped can be removed there")


def _push_run(client: Any, run_id: str, folders: list[Path], refused: list[str]) -> str:
    target = name = None
    for folder in folders:
        kept = unsent.taken(folder)
        if kept is None:
            return f"{run_id}: left to the process that logs into it"
        name = name or kept.kept.heading.name
        target = sending.send_left(client, kept) or target
        refused += [f"{reason} ({folder})" for reason in kept.refused]
    there = "" if target in (None, run_id) else f" as {target}"
    return f"{run_id} ({name}): sent to {shown_uri()}{there}"
