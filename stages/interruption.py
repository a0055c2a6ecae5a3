"""SIGINT, SIGTERM and SIGHUP: work that can be gone on with is saved first, all other work ends at once.

A signal raises `Interrupted` in the main thread. Within `deferred()` the first one is only noted, for a loop that asks
`requested()` after each step, saves its state and raises; the second one ends it all the same.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
GRACE = 30.0
"""Seconds that an interrupted process has to save its work; native code that holds it up is not waited for longer."""
_ECHO = 2.0
"""Seconds within which signals are one wish: a terminal tells a whole group, whose members pass it on."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; its message, if it has one, says how to go on.

    Args:
        signal_number: which signal.
        message: one line for the terminal.
    """

    def __init__(self, signal_number: int, message: str = "") -> None:
        super().__init__(message)
        self.signal_number = signal_number

    @property
    def status(self) -> int:
        """The exit status by which a shell knows the signal."""
        return 128 + self.signal_number


first_heard: list[Callable[[int], None]] = []
"""Called with the number of the first signal, in a thread of its own, also while native code keeps the main one."""


class _State:
    deferring = False
    requested: int | None = None
    since: float | None = None  # when the first signal came
    ending: socket.socket | None = None


def handle() -> None:
    """From now on the signals raise `Interrupted`. To be called in the main thread."""
    _State.requested = _State.since = None
    for number in SIGNALS:
        # What was started with `nohup` is to outlive its terminal.
        if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _on_signal)


@contextlib.contextmanager
def handled(grace: float = GRACE) -> Iterator[None]:
    """Raise `Interrupted` for the signals, and end a process that is still there after its grace.

    Where signals cannot be handled, outside the main thread, the block runs as it would without.

    Args:
        grace: seconds from the first signal on; from the second on it is a moment.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    # The interpreter writes each signal's number there at once, also while native code keeps the handler waiting.
    told, teller = socket.socketpair()
    teller.setblocking(False)
    told_before = signal.set_wakeup_fd(teller.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_after, args=(told, grace), name="grace", daemon=True).start()
    handle()
    try:
        yield
    finally:
        if _State.since is not None:
            _State.ending = teller  # what the process does at its exit counts too
        else:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(told_before)
            teller.close()  # which ends the thread


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Let the first signal wait until the block asks for it; one that it did not ask for is raised at its end.

    Within another such block it is that block's to ask for.
    """
    before, _State.deferring = _State.deferring, True
    try:
        yield
    finally:
        _State.deferring = before
    if not before:
        raise_if_requested()


def heard() -> bool:
    """Whether a signal has come."""
    return _State.since is not None


def requested() -> int | None:
    """The number of the signal that waits to be heard; None where there is none."""
    return _State.requested


def raise_if_requested(message: str = "") -> None:
    """Raise `Interrupted` if a signal waits."""
    if _State.requested is not None:
        end(message)


def end(message: str = "") -> NoReturn:
    """Raise `Interrupted`, also where it is another process of the same work that was asked to end."""
    number, _State.requested = _State.requested, None
    raise Interrupted(signal.SIGTERM if number is None else number, message)


def _on_signal(number: int, _: Any) -> None:
    now = time.monotonic()
    first, _State.since = _State.since is None, _State.since or now
    if number == getattr(signal, "SIGHUP", None):
        _leave_terminal()
    if not first and now - _State.since < _ECHO:
        return
    if first and _State.deferring:
        _State.requested = number
        return
    raise Interrupted(number)


def _end_after(told: socket.socket, grace: float) -> None:
    """End the process once its grace is over; return when the other end is closed before any signal came."""
    number, began, until = 0, 0.0, None
    since = f"{grace:.0f} s after the signal"
    while True:
        told.settimeout(None if until is None else max(until - time.monotonic(), 0.001))
        try:
            heard = told.recv(1)
        except TimeoutError:
            tell(f"not done {since}: ended; what was saved before stays")
            os._exit(128 + number)
        if not heard:
            told.close()
            return
        if heard[0] not in SIGNALS:
            continue
        now = time.monotonic()
        if until is None:
            number, began, until = heard[0], now, now + grace
            for call in first_heard:
                call(number)
        elif now - began >= _ECHO and now + _ECHO < until:
            since, until = f"{_ECHO:g} s after another signal", now + _ECHO


def _leave_terminal() -> None:
    """Print to nowhere what would go to a terminal that is gone, and would raise."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        with contextlib.suppress(OSError):
            if os.isatty(stream):
                os.dup2(nowhere, stream)
    os.close(nowhere)


def tell(line: str) -> None:
    """Print a line to standard error, if there is still somebody to read it."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _forget_in_child() -> None:
    """A forked process has handlers of its own: its signals are not its parent's."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
