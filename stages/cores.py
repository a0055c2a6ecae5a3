"""How many cores a stage may use."""

import os


def limit(threads: int) -> int:
    """The setting `threads` as a number of workers; 0 stands for as many as this process may run on.

    >>> limit(3)
    3
    >>> limit(0) >= 1
    True
    """
    if threads:
        return threads
    if hasattr(os, "sched_getaffinity"):  # a container or `taskset` may allow fewer cores than the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
