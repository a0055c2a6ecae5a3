"""A run in a store on this machine, which is told of each record at once."""

from pathlib import Path
from typing import Any

from stages.errors import UserError, refusal
from stages.tracking import records
from stages.tracking.connection import patiently, root
from stages.tracking.known import Heading, create, find_or_create
from stages.tracking.records import Record


class Direct:
    """Logs to a local store.

    Args:
        client: MLflow's.
        run_id: of the run to go on with, or None for a new one.
        heading: of a new run.

    Raises:
        UserError: the store refuses.
    """

    def __init__(self, client: Any, run_id: str | None, heading: Heading) -> None:
        self._client = client
        self._reached: dict[str, int] = {}
        self.run_id: str = patiently(
            lambda: create(client, heading) if run_id is None else find_or_create(client, run_id, heading)
        )

    def write(self, record: Record) -> None:
        """Log a record."""
        try:
            patiently(lambda: records.send(self._client, self.run_id, record, Path(), self._reached))
        except OSError as error:
            # A copy that finds no room does not say which file it is.
            line = refusal(error, error.filename2 or error.filename or root() / "mlruns")
            if line is None:
                raise
            raise UserError(line) from error

    def keep(self, path: Path) -> str:
        """What names a file or folder in a record: it is read at once."""
        return str(path)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is left to do."""
