"""Times of works that take turns, so that whatever else the machine does hits all alike."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

TURNS = (3, 3000)  # of `medians`, at least and at most
ROUNDS = 3  # of `medians_of_bursts`
BURST = 0.3  # seconds
LONG, VERY_LONG = 0.5, 5.0  # seconds of a step, from which on it is repeated once, and not at all

Burst = Callable[[float], list[float]]
"""Repeats a step for so many seconds, once at least; gives the seconds of each run."""


def medians(works: dict[str, Callable[[], Any]], budget: float) -> dict[str, float]:
    """Seconds of each work, the median of as many turns as `budget`, in seconds, allows."""
    first = [seconds(work) for work in works.values()]
    # A function's first run prepares it, which takes long against a short one only.
    times = [first] if sum(first) > budget else []
    end = time.perf_counter() + budget
    while len(times) < TURNS[0] or (len(times) < TURNS[1] and time.perf_counter() < end):
        times.append([seconds(work) for work in works.values()])
    return {name: statistics.median(column) for name, column in zip(works, zip(*times, strict=True), strict=True)}


def medians_of_bursts(bursts: Sequence[Burst]) -> list[float]:
    """Seconds of a step of each, for works in different processes.

    They take turns burst by burst and not step by step: a thread that waits for the next step of its own goes on
    spinning for a while, in the other's way. Long steps are repeated less often. What failed, once, gives NaN.
    """
    first = [burst(0.0)[0] for burst in bursts]
    times: list[list[float]] = [[] if one < LONG else [one] for one in first]
    for turn in range(ROUNDS):
        for burst, begun, taken in zip(bursts, first, times, strict=True):
            if begun < (LONG if turn else VERY_LONG):
                taken += burst(BURST)
    return [math.nan if any(map(math.isnan, taken)) else statistics.median(taken) for taken in times]


def repeated(work: Callable[[], Any]) -> Burst:
    """Bursts of a work of this process."""

    def burst(budget: float) -> list[float]:
        end = time.perf_counter() + budget
        times = [seconds(work)]
        while time.perf_counter() < end and len(times) < TURNS[1]:
            times.append(seconds(work))
        return times[1:] or times  # the first finds caches and threads as another work left them

    return burst


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
