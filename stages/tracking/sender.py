"""A run on a server: what is logged goes to a file, and from there to the server, in the background."""

import concurrent.futures
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from stages.errors import UserError
from stages.tracking import reach, sending, unsent
from stages.tracking.connection import shown_uri, tracking_uri
from stages.tracking.known import CONTINUES, Heading, create
from stages.tracking.records import Record
from stages.tracking.unsent import Kept, Unsent

PUSH = "python -m stages.tracking push"
AT_END = 20
"""Seconds that a stage waits at most, when it ends, for a server to take what is left."""


class Sender:
    """Keeps the records of a run, and sends them as soon as the server takes them.

    What an earlier process could not send of the same run goes first.

    Args:
        client: MLflow's.
        run_id: of the run to go on with, or None for a new one. The server is asked for that, but not for long: a run
            that it does not give has an id of its own.
        heading: of a new run.
        ends: whether the run ends with what is logged here.
    """

    def __init__(self, client: Any, run_id: str | None, heading: Heading, *, ends: bool) -> None:
        self._client = client
        self._reach = reach.of(tracking_uri())
        is_new = run_id is None
        self._created: concurrent.futures.Future[str] | None = None
        answered = False
        if run_id is None:
            self._created = self._reach.ask(lambda: create(client, heading))
            answered = self._created is not None and self._created.done() and self._created.exception() is None
            run_id = self._created.result() if self._created is not None and answered else uuid.uuid4().hex
        self.run_id = run_id
        self._target: str | None = None
        self._left = sending.left_by(lambda kept: kept.run_id == run_id and kept.server == shown_uri())
        self._kept = Unsent.new(Kept(run_id, shown_uri(), heading, ends))
        self._refusals_told = 0
        self._fault: str | None = None
        self._fault_told = False
        self._woken, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="MLflow sender")
        self._thread.start()
        if is_new and not answered:
            # A later stage may open the run before this is sent, and knows neither.
            self.write({"log": "tags", "values": {**heading.tags, "mlflow.runName": heading.name}})

    def write(self, record: Record) -> None:
        """Log a record."""
        self._kept.write(record)
        self._woken.set()
        self._tell()

    def keep(self, path: Path) -> str:
        """Copy a file or folder, for a record that names it by what is returned."""
        return self._kept.keep(path)

    def flush(self) -> None:
        """Return when all records are on the disk."""
        self._kept.flush()

    def close(self) -> None:
        """Send what is left, unless the server fails or takes too long for it, and forget what was sent."""
        self._closing.set()
        self._woken.set()
        self._thread.join(AT_END)
        if self._thread.is_alive():
            self._reach.warn(f"{shown_uri()} has not taken all of it in {AT_END} s; {_kept()}")
            return  # what it holds ends with this process
        self._tell()
        if self._kept.complete:
            self._kept.remove()
            self._reach.recovered(f"{shown_uri()} answers again, and has all of this run")
        else:
            self._kept.release()

    def _work(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.is_set()  # asked first: what is written before it is set is sent
            if self._fault is None and (not self._reach.pause() or (closing and self._reach.fails_at_once())):
                self._attempt()
            if not closing:
                self._woken.wait(self._reach.pause() or None)
                self._woken.clear()

    def _attempt(self) -> None:
        began = time.monotonic()
        try:
            if self._created is not None:
                self._take_created(self._created)
            while self._left:
                left = unsent.taken(self._left[0])
                if left is not None:
                    sending.send_left(self._client, left)
                self._left.pop(0)
            target = sending.send(self._client, self._kept, self._target)
        except UserError as error:  # of our own files
            self._fault = str(error)
        except Exception as error:
            self._reach.failed(error, time.monotonic() - max(began, self._kept.sent_at))
        else:
            self._target = target
            if target is not None:
                self._reach.answered()

    def _take_created(self, created: "concurrent.futures.Future[str]") -> None:
        """Use the run that the server gave, if it did; it may have come too late for its id to be the run's."""
        self._created = None
        target = created.result()
        if target != self.run_id:
            self._client.set_tag(target, CONTINUES, self.run_id)
        self._target = target

    def _tell(self) -> None:
        """Say what is wrong; in the main thread, which alone knows when standard error is shown."""
        if threading.current_thread() is not threading.main_thread():
            return
        if self._reach.failure is not None:
            self._reach.warn(f"{shown_uri()} does not answer ({self._reach.failure}); {_kept()}")
        if self._fault and not self._fault_told:
            self._fault_told = True
            reach.say(f"nothing more of this run is sent ({self._fault}); {_kept()}")
        refused = self._kept.refused
        if refused and not self._refusals_told:
            reach.say(f"{shown_uri()} refused {refused[0]}; kept in {self._kept.folder}, `{PUSH}` tries it again")
        self._refusals_told = len(refused)


def _kept() -> str:
    return f"what is logged is kept in {unsent.place()}, and sent when it answers again, or later by `{PUSH}`"
