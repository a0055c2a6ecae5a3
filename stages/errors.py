"""What a user is told in one line, not by a traceback: mistakes in files and settings, and what the system refuses."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path


class UserError(Exception):
    """A file, key or value that the user has to change.

    The message is one line: where (file and row, or key), what was found, what was expected.
    """


_LETTERS = 400  # of what a library says
_ROOM = "make room on its disk and run this again"
_PERMISSION = "expected permission for the user who runs this"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "expected a file system and a limit (ulimit -f) that allow a file of its size",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: "expected a disk that can be written to",
    errno.EIO: "check its disk",
    errno.EEXIST: "expected a folder, or nothing there",
    errno.ENOTDIR: "expected a folder",
    errno.ELOOP: "expected no link that leads back to itself",
    errno.ENAMETOOLONG: "expected a shorter name",
}
_SQLITE = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
}


def refusal(error: OSError, path: str | Path | None = None) -> str | None:
    """The line on a file that the system did not let be written or read; None where the error says something else.

    Args:
        error: of the system.
        path: the file, where the error does not name it, or names a temporary one.

    >>> refusal(OSError(errno.ENOSPC, "No space left on device"), "plots/roc.png")
    'plots/roc.png: No space left on device; make room on its disk and run this again'
    """
    if error.errno not in _ADVICE:
        return None
    place = path or error.filename2 or error.filename or "a file"  # of a copy the second one is what is written
    return f"{place}: {os.strerror(error.errno)}; {_ADVICE[error.errno]}"


def said_by(error: BaseException) -> str:
    """What a library says of a mistake, in one line of some length: it may take several, or quote a whole file.

    >>> said_by(ValueError("Shapes   do not fit: (2, 3)"))
    'Shapes do not fit: (2, 3)'
    >>> said_by(ValueError("0123456789" * 100))[-5:]
    '5678…'
    """
    line = " ".join(str(error).split())
    return line if len(line) <= _LETTERS else f"{line[: _LETTERS - 1]}…"


def in_a_line(error: Exception) -> str | None:
    """What the user is told of an error that he can do something about; None of any other, which is a defect.

    Beside a `UserError` that is a full disk, a lack of permission or of memory, also where a library reports it in its
    own words.
    """
    if isinstance(error, UserError):
        return " ".join(str(error).splitlines())  # a file's name may hold a line's end
    if isinstance(error, MemoryError):
        said = f" ({error})" if str(error) else ""
        return f"not enough memory{said}; expected settings or data for which there is enough"
    lines = (_of_the_system(cause) for cause in _causes(error))
    return next((line for line in lines if line is not None), None)


def _of_the_system(error: BaseException) -> str | None:
    if isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error):
        return f"{error.strerror}; make room in one of them, or set TMPDIR to a folder that can be written to"
    if isinstance(error, OSError):
        return refusal(error)
    if isinstance(error, sqlite3.Error):
        number = _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)  # the rest is a finer distinction
        return None if number is None else refusal(OSError(number, ""), "the database")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        # MLflow does not say everywhere what it wraps, and Keras takes away what it said.
        wraps = type(error).__module__.startswith("mlflow.")
        error = error.__cause__ or (error.__context__ if wraps else None)
