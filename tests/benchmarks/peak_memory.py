"""How much a step adds to the memory of a process, at its peak."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any


def extra(prepare: Callable[..., tuple[Callable[[], Any], Callable[[], Any]]], *arguments: Any) -> float | None:
    """Gigabytes that a step needs at its peak, seen in a fresh process.

    Args:
        prepare: gives a small step, to have all threads and libraries in place before, and the step to measure.
        arguments: what it is called with.

    Returns:
        10⁹ bytes; None if the process was killed, as happens where memory runs out.
    """
    fresh = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=fresh) as pool:
            return pool.submit(_extra, prepare, arguments).result()
    except BrokenProcessPool:
        return None


def available() -> float:
    """Gigabytes that a process could have now."""
    return _kibibytes("/proc/meminfo", "MemAvailable") * 1024 / 1e9


def _extra(prepare: Callable[..., tuple[Callable[[], Any], Callable[[], Any]]], arguments: tuple[Any, ...]) -> float:
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")  # should memory run out, this process goes
    warm_up, step = prepare(*arguments)
    warm_up()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew at what is in use now
    # Not getrusage: there a child's peak begins with its parent's size.
    before = _kibibytes("/proc/self/status", "VmRSS")
    step()
    return (_kibibytes("/proc/self/status", "VmHWM") - before) * 1024 / 1e9


def _kibibytes(file: str, name: str) -> int:
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
