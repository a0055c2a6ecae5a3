"""Several processes that train together, on one machine or many (JAX): who is which, and one end for all.

Each computes its share of every batch; JAX's coordination service, which runs in process 0, brings them together. Only
process 0 writes. What one has to tell the others (that it failed, that it was asked to stop, that it is still there)
it leaves with that service.
"""

import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from stages import interruption
from stages.errors import UserError, in_a_line, said_by
from stages.place import Place, place
from stages.train import abort_told

BEAT = 1.0
"""Seconds between two signs of life."""
SILENCE = 15.0
"""Seconds without one after which a process is taken to be gone."""
_NOTICED_BY_JAX = 45  # seconds: later than here, for its own word for it is an abort with the stack of its C++ code
_LAST_WORD = 4 * BEAT  # so long a process that fails stays, for the others to hear why
_PIECE = 2**26  # bytes sent at once
_CONNECTING = 300  # seconds that the first waits for the last, to join and once more to begin

AGAIN = "start all of them again: the training goes on from the last saved step"


class _Group:
    """What this process is part of."""

    place = Place()
    client: Any = None  # of JAX's coordination service; None for a process on its own
    asked_to_stop = False
    stopped = False  # after the same step as all others
    stderr = 2  # also while this is held back


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Be one of the processes during the block, which all leave together; to be entered before JAX computes anything.

    Where the environment tells of no others it does nothing. If one fails or is gone, or does not come, all end, with a
    line that says which.

    Raises:
        UserError: the environment makes no sense.
    """
    found = place()
    if found.count == 1:
        yield
        return
    _hide_stacks(found)
    _connect(found)
    end = threading.Event()
    threading.Thread(target=_watch, args=(end,), name="watch", daemon=True).start()
    try:
        yield
    except BaseException as error:
        # An interruption with a message is that of the stop. Else what all stopped for was not saved.
        if _Group.stopped and isinstance(error, interruption.Interrupted) and str(error):
            _leave(end)
        else:
            _fail(error, end)
        raise
    _leave(end)


def here() -> Place:
    """Which of the processes that are joined this one is."""
    return _Group.place


def all_stop(step: int, wanted: bool) -> bool:
    """Whether the processes stop after this step; all give the same answer for a step.

    One that wants to says, before it begins the next step, that all stop after that. As no process can finish a step
    that another has not begun, they all have heard of it by then.

    Args:
        step: that was made, the same in all.
        wanted: whether this one wants to stop.
    """
    group = _Group
    if group.client is None:
        return wanted
    if wanted and not group.asked_to_stop:
        group.asked_to_stop = True
        with contextlib.suppress(Exception):  # another one was first
            group.client.key_value_set("stop", str(step + 1))
    last = _told("stop")
    group.stopped = last is not None and step >= int(last)
    return group.stopped


def agree_on(what: str, value: str) -> None:
    """Wait for all processes, and refuse to go on together with those for which this text is another one.

    What they compute together fails if one begins it half a minute after another.

    Args:
        what: the text stands for, in words.
        value: here.

    Raises:
        UserError: it differs, or not all come.
    """
    client, place = _Group.client, _Group.place
    if client is None:
        return
    client.key_value_set(f"agreed/{place.number}", value)
    until = time.monotonic() + _CONNECTING
    while (ready := len(client.key_value_dir_get("agreed"))) < place.count:
        if time.monotonic() > until:
            raise UserError(f"found {ready} of {place.count} processes ready after {_CONNECTING} s, expected all")
        time.sleep(BEAT / 4)
    if _told("agreed/0") != value:
        raise UserError(f"found other {what} on this machine than process 0 has, expected the same for all")


def from_the_first(content: bytes | None) -> bytes | None:
    """What process 0 gives, in all processes, each of which has to call this at the same point."""
    if _Group.client is None:
        return content
    import numpy as np
    from jax.experimental import multihost_utils

    is_first = _Group.place.number == 0

    def given(values: np.ndarray) -> np.ndarray:
        return np.asarray(multihost_utils.broadcast_one_to_all(values, is_first))

    parts = (-1, 0) if content is None else divmod(len(content), _PIECE)
    whole, rest = (int(number) for number in given(np.array(parts, np.int32)))
    if whole < 0:
        return None
    received = np.zeros(whole * _PIECE + rest, np.uint8)
    if is_first and content is not None:
        received[:] = np.frombuffer(content, np.uint8)
    for begin in range(0, len(received), _PIECE):
        received[begin : begin + _PIECE] = given(received[begin : begin + _PIECE])
    return received.tobytes()


def _connect(found: Place) -> None:
    import jax

    # It would take the handling of SIGTERM from us, which saves the state first.
    jax.config.update("jax_enable_preemption_service", False)
    where = "" if found.address is None else f" at {found.address}"
    waits = f"waits for the others{where}, up to {_CONNECTING // 60} minutes"
    print(f"data_parallel: process {found.number} of {found.count} {waits}", flush=True)
    by_hand = {} if found.address is None else {"cluster_detection_method": "deactivate"}

    def give_up(signal_number: int) -> None:
        interruption.tell("train: interrupted while it waited for the others; nothing was begun")
        os._exit(128 + signal_number)

    interruption.first_heard.append(give_up)
    try:
        jax.distributed.initialize(  # which ends this process by an abort if the others do not come
            *(found.address, found.count, found.number),
            initialization_timeout=_CONNECTING,
            heartbeat_timeout_seconds=_NOTICED_BY_JAX,
            **by_hand,
        )
    finally:
        interruption.first_heard.remove(give_up)
    os.write(2, abort_told.JOINED)
    from jax._src.distributed import global_state  # there is no public way to what it keeps

    _Group.place, _Group.client = found, global_state.client


def _watch(end: threading.Event) -> None:
    """Give signs of life; end this process when another one failed, or gives none."""
    client, place = _Group.client, _Group.place
    heard = {number: ("", time.monotonic()) for number in range(place.count)}
    count, answered = 0, time.monotonic()
    while not end.wait(BEAT):
        count, now = count + 1, time.monotonic()
        try:
            client.key_value_set(f"alive/{place.number}", str(count), allow_overwrite=True)
            alive = {int(key.rpartition("/")[2]): beat for key, beat in client.key_value_dir_get("alive")}
            failed = client.key_value_dir_get("failed")
        except Exception:  # for a moment; or process 0 is gone, and the service with it: then JAX ends this one
            if now - answered > _NOTICED_BY_JAX:
                return
            continue
        if now - answered > 2 * BEAT + SILENCE / 2:  # nobody could be heard meanwhile
            heard = {number: (beat, now) for number, (beat, _) in heard.items()}
        answered = now
        for number, beat in alive.items():
            if heard[number][0] != beat:
                heard[number] = beat, now
        gone = [str(number) for number, (_, at) in heard.items() if now - at > SILENCE]
        lines = [f"process {key.rpartition('/')[2]} ended: {line}" for key, line in failed]
        if gone:
            lines.append(f"process {', '.join(gone)} of {place.count} gave no sign of life for {SILENCE:.0f} s")
        if lines and place.number == 0:
            end.wait(_LAST_WORD + 2 * BEAT)  # with this one JAX's service ends, and would abort who is still there
        if lines and not end.is_set():
            _end(lines[0])


def _end(line: str) -> None:
    # At once, for the main thread may wait for ever in a sum over all processes. What was saved stays, as after a kill.
    with contextlib.suppress(OSError):
        os.write(_Group.stderr, f"train: {line}; {AGAIN}\n".encode())
    os._exit(1)


def _fail(error: BaseException, end: threading.Event) -> None:
    """Tell the others why this process ends, or learn that it is another one that did: then this one ends here."""
    line = in_a_line(error) if isinstance(error, Exception) else None
    line = line or f"{type(error).__name__}: {said_by(error)}".removesuffix(": ")
    if type(error).__module__.startswith("jax") and "RESOURCE_EXHAUSTED" not in line:
        time.sleep(SILENCE + 2 * _LAST_WORD + 4 * BEAT)  # a sum that another did not come to: `_watch` soon knows which
    end.set()
    with contextlib.suppress(Exception):
        _Group.client.key_value_set(f"failed/{_Group.place.number}", line)
    time.sleep(_LAST_WORD)
    # JAX would wait for the others, at last in vain, and abort. Registered last, this comes first.
    atexit.register(_exit, error.status if isinstance(error, interruption.Interrupted) else 1)


def _exit(status: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _leave(end: threading.Event) -> None:
    """Wait until process 0 has done all that is its to do; then nobody is missed."""
    import jax

    client = _Group.client
    if _Group.place.number == 0:
        client.key_value_set("done", "")
    while _told("done") is None:
        time.sleep(BEAT / 4)
    end.set()
    _Group.place, _Group.client = Place(), None
    jax.distributed.shutdown()


def _told(key: str) -> str | None:
    try:
        return str(_Group.client.key_value_try_get(key))
    except Exception as error:  # a plain "not found" is one of JAX's run-time errors
        if "NOT_FOUND" in str(error):
            return None
        raise


def _hide_stacks(found: Place) -> None:
    """Say in a line what JAX says with the stack of its C++ code: that others do not come, or that process 0 is gone.

    It cannot be caught. So what is written to standard error goes through a process that outlives this one.
    """
    at = f", and process 0 at {found.address}" if found.address else ""
    waited = f"train: not all processes were there within {_CONNECTING} s, expected {found.count} of them{at}"
    gone = "process 0 is gone, or cannot be reached" if found.number else "another process is gone"
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "stages.train.abort_told", waited, f"train: {gone}; {AGAIN}"]
    subprocess.Popen(command, stdin=reading, start_new_session=True)
    sys.stderr.flush()
    os.dup2(writing, 2)
    os.close(reading)
    _Group.stderr = writing
