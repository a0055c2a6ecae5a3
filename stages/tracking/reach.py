"""Whether a server is to be asked: one that has just failed is left alone for a while, by all runs of this process."""

import concurrent.futures
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tqdm import tqdm

from stages.tracking.connection import why

AT_START = 5
"""Seconds that a stage waits at most for a server when it starts."""

_SHORTEST_PAUSE = 5  # seconds
_PAUSE = 10  # times what a failure took
_AT_ONCE = 1  # seconds; a server that fails within these costs next to nothing

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Failure:
    reason: str
    at: float
    took: float


class Reach:
    """What is known of a server."""

    def __init__(self) -> None:
        self._failure: _Failure | None = None
        self._warned = False

    @property
    def failure(self) -> str | None:
        """Why it was of no use at the last attempt; None if it was."""
        return self._failure.reason if self._failure else None

    def answered(self) -> None:
        """The server did what it was asked."""
        self._failure = None

    def failed(self, error: BaseException, took: float) -> None:
        """The server did not, and that took so many seconds."""
        self._failure = _Failure(why(error), time.monotonic(), took)

    def pause(self) -> float:
        """Seconds to wait before the next attempt."""
        if self._failure is None:
            return 0
        rest = self._failure.at + max(_SHORTEST_PAUSE, _PAUSE * self._failure.took) - time.monotonic()
        return max(0, rest)

    def fails_at_once(self) -> bool:
        """Whether nobody would have to wait for another attempt."""
        return self._failure is not None and self._failure.took < _AT_ONCE

    def ask(self, call: Callable[[], Result]) -> "concurrent.futures.Future[Result] | None":
        """Call in the background, and wait for the answer no longer than a stage may wait at its start.

        Returns:
            The answer, or the error, if it is `done`; None where the server is left alone.
        """
        if self.pause():
            return None
        began, answer = time.monotonic(), concurrent.futures.Future[Result]()
        threading.Thread(target=_fill, args=(answer, call), daemon=True).start()
        done, _ = concurrent.futures.wait([answer], AT_START)
        error = answer.exception() if done else TimeoutError(f"no answer within {AT_START} s")
        if error is None:
            self.answered()
        else:
            self.failed(error, time.monotonic() - began)
        return answer

    def warn(self, line: str) -> None:
        """Say a line, once until the server has recovered."""
        if not self._warned:
            self._warned = True
            say(line)

    def recovered(self, line: str) -> None:
        """Say a line if the user was warned."""
        if self._warned:
            self._warned = False
            say(line)


def say(line: str) -> None:
    """Show a line on standard error."""
    tqdm.write(f"MLflow: {line}", file=sys.stderr)  # above a bar, if there is one


def _fill(answer: "concurrent.futures.Future[Result]", call: Callable[[], Result]) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:
        answer.set_exception(error)


_reaches: dict[str, Reach] = {}


def of(uri: str) -> Reach:
    """What this process knows of a server."""
    return _reaches.setdefault(uri, Reach())
