"""A process that ends when the one it works for has ended: as after Ctrl+C, with its work saved.

DVC and `make` leave what they have started to itself when they are killed. It would go on unseen, and in the way of the
next one.
"""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from stages import interruption

STAGE = "DVC_STAGE"
"""Environment variable that DVC sets for what it starts: the stage, and the shell between them if there is one."""
_EVERY = 1.0  # seconds


def end_with_dvc(name: str) -> None:
    """If DVC runs this process, interrupt it once DVC has ended.

    Args:
        name: of this process, for the line that says so.
    """
    if STAGE in os.environ:
        _end_with(name, "dvc", _line_to_dvc())


def end_with(name: str, pid: int) -> None:
    """Interrupt this process once another, which has started it, has ended.

    Args:
        name: of this process, for the line that says so.
        pid: number of the other one: its parent, or the parent of shells between them.
    """
    line = [psutil.Process(), *psutil.Process().parents()]
    numbers = [process.pid for process in line]
    _end_with(name, f"process {pid}", line[: numbers.index(pid) + 1] if pid in numbers else [])


def end_worker_with_parent() -> None:
    """For a process that computes for this one: kill it once its parent has ended; Ctrl+C is its parent's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    _watch(lambda: os.getppid() == parent, lambda: os._exit(1))


def _end_with(name: str, other: str, line: list[psutil.Process]) -> None:
    def end() -> None:
        if not interruption.heard():
            interruption.tell(f"{name}: {other} has ended, and so does this process")
            os.kill(os.getpid(), signal.SIGTERM)

    _watch(lambda: _is_whole(line), end)


def _watch(is_so: Callable[[], bool], end: Callable[[], None]) -> None:
    def watch() -> None:
        while is_so():
            time.sleep(_EVERY)
        end()

    threading.Thread(target=watch, name="orphan", daemon=True).start()


def _line_to_dvc() -> list[psutil.Process]:
    """This process and those it comes from, up to the first that DVC has not started; empty where that is no DVC.

    DVC is a Python program. Whoever takes over the processes of one that has ended is none: `init`, `systemd`, a
    container's own.
    """
    line = [psutil.Process()]
    try:
        while (parent := line[-1].parent()) is not None:
            line.append(parent)
            if not _is_of_dvc(parent):
                return line if _is_python(parent) else []
    except psutil.Error:
        pass  # ended meanwhile
    return []


def _is_of_dvc(process: psutil.Process) -> bool:
    try:
        return STAGE in process.environ()
    except psutil.AccessDenied:
        return False  # another user's


def _is_python(process: psutil.Process) -> bool:
    try:
        program = Path(process.exe()).name
    except psutil.AccessDenied:
        program = process.name()  # the system's own, for all but root
    return program.lower().startswith(("python", "dvc"))


def _is_whole(line: list[psutil.Process]) -> bool:
    """Whether each still has the parent it had: one that ends leaves its children to another."""
    try:
        return bool(line) and all(child.ppid() == parent.pid for child, parent in itertools.pairwise(line))
    except psutil.Error:
        return False
