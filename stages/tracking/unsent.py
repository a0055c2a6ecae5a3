"""What is logged for a server, kept in files until the server has it.

Each opening of a run has a folder of its own: a heading, a log of records that only grows, the files that were logged,
and how far all of it was sent. Everything is written here first, so a kill at any moment loses nothing.
"""

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from stages import store
from stages.errors import UserError
from stages.tracking.connection import root
from stages.tracking.known import Heading
from stages.tracking.records import Record

_HEADING, _LOG, _SENT, _LOCK = "run.json", "log.jsonl", "sent.json", ".lock"
_ABANDONED = 3600  # seconds


def place() -> Path:
    """The folder of all that is unsent."""
    return root() / ".unsent"


@dataclass(frozen=True)
class Kept:
    """Which run the records are of.

    Attributes:
        run_id: as stages know it; the server may come to know it by another one.
        server: its address, without a password.
        heading: of the run, if it has to be opened.
        ends: whether the run ends with these records.
    """

    run_id: str
    server: str
    heading: Heading
    ends: bool


@dataclass
class _Sent:
    records: int = 0
    refused: dict[int, str] = field(default_factory=dict)


class Unsent:
    """The records of one opening of a run. Whoever holds it has locked it against other processes.

    Attributes:
        written: how many records there are.
        status: the run's, as last recorded.
        sent_at: when a record was last sent, by `time.monotonic`.
        reached: how far the run had come in a series before these records, as far as the server was asked.
    """

    def __init__(self, folder: Path, lock: FileLock) -> None:
        content = store.load_json(folder / _HEADING)
        self.folder = folder
        self.kept = Kept(**{**content, "heading": Heading(**content["heading"])})
        self.written = 0
        self.status: str | None = None
        self.sent_at = 0.0
        self.reached: dict[str, int] = {}
        self._lock = lock
        self._writing = threading.Lock()
        self._log = os.open(folder / _LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._read = 0  # bytes
        self._index = 0  # of the record that is read next
        self._sent = _Sent()
        if (folder / _SENT).is_file():
            sent = store.load_json(folder / _SENT)
            self._sent = _Sent(sent["records"], {int(index): why for index, why in sent["refused"].items()})

    @classmethod
    def new(cls, kept: Kept) -> "Unsent":
        """Begin to keep the records of a run."""
        folder = place() / f"{time.time_ns()}-{kept.run_id[:8]}-{uuid.uuid4().hex[:6]}"
        folder.mkdir(parents=True)
        lock = _lock_of(folder)
        lock.acquire()
        store.save_json(folder / _HEADING, asdict(kept))
        return cls(folder, lock)

    def write(self, record: Record) -> None:
        """Append a record, whole or not at all; it outlives this process."""
        line = json.dumps(record).encode() + b"\n"
        with self._writing:
            size = os.fstat(self._log).st_size
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._log, line[written:])
            except OSError as error:
                os.ftruncate(self._log, size)
                raise OSError(error.errno, error.strerror, str(self.folder / _LOG)) from error
            self.written += 1

    def flush(self) -> None:
        """Return when all records are on the disk."""
        os.fsync(self._log)

    def keep(self, path: Path) -> str:
        """Copy a file or folder, for a record that names it by what is returned."""
        copy = Path("files", uuid.uuid4().hex[:12], path.name)
        (self.folder / copy).parent.mkdir(parents=True)
        store.copy(path, self.folder / copy)
        return str(copy)

    def pending(self) -> Iterator[tuple[int, Record]]:
        """The records that were not sent yet, of those written so far, with their numbers. A torn last line is none."""
        with (self.folder / _LOG).open("rb") as log:
            log.seek(self._read)
            while (line := log.readline()).endswith(b"\n"):
                record = json.loads(line)
                if record["log"] == "status":
                    self.status = record["status"]
                if self._index >= self._sent.records or self._index in self._sent.refused:
                    yield self._index, record
                self._index += 1
                self._read = log.tell()

    def sent(self, index: int, refused: str | None = None) -> None:
        """Note that a record was sent, or why the server refused it."""
        self.sent_at = time.monotonic()
        self._sent.records = max(self._sent.records, index + 1)
        self._sent.refused.pop(index, None)
        if refused is not None:
            self._sent.refused[index] = refused
        store.save_json(self.folder / _SENT, asdict(self._sent))

    @property
    def refused(self) -> list[str]:
        """Why the server refused records."""
        return list(self._sent.refused.values())

    @property
    def complete(self) -> bool:
        """Whether the server has all that was written."""
        return self._sent.records == self.written and not self._sent.refused

    def last_written(self) -> int:
        """When the last record was written, in milliseconds since 1970."""
        return (self.folder / _LOG).stat().st_mtime_ns // 1_000_000

    def release(self) -> None:
        """Leave it to others."""
        os.close(self._log)
        self._lock.release()

    def remove(self) -> None:
        """Forget it, once all of it was sent."""
        (self.folder / _HEADING).unlink()  # without which it is nothing
        self.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def found() -> list[Path]:
    """The folders of all that is unsent, in the order in which they were begun."""
    return sorted(path.parent for path in place().glob(f"*/{_HEADING}"))


def clear() -> None:
    """Remove what processes left that were killed while they began or removed a folder."""
    for folder in place().glob("*/"):
        if not (folder / _HEADING).is_file() and time.time() - folder.stat().st_mtime > _ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)


def run_of(folder: Path) -> Kept | None:
    """Which run a folder is of; None if it has gone meanwhile."""
    try:
        content = store.load_json(folder / _HEADING)
    except UserError:
        return None
    return Kept(**{**content, "heading": Heading(**content["heading"])})


def taken(folder: Path) -> Unsent | None:
    """What is in a folder, to be sent; None where another process is at it, or it has gone."""
    lock = _lock_of(folder)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return None
    if not (folder / _HEADING).is_file():
        lock.release()
        return None
    return Unsent(folder, lock)


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder / _LOCK, thread_local=False)
