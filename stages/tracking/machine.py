"""Figures of the machine, such as the load of its processor, logged as long as a run lasts."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from stages.errors import in_a_line
from stages.tracking.records import now


@contextlib.contextmanager
def watched(log: Callable[[dict[str, float], int], None], began: int) -> Iterator[None]:
    """Log figures of the machine during the block, every ten seconds unless MLflow's environment variables differ.

    Args:
        log: takes figures by name, and their step: how many seconds ago the run began.
        began: when that was, in milliseconds since 1970; a run that goes on began with its first part.
    """
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    # Its own thread asks the tracking server before each measurement, and ends for good when that fails.
    monitor = SystemMetricsMonitor(run_id="")
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(monitor, ended, log, began), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(monitor: Any, ended: threading.Event, log: Callable[[dict[str, float], int], None], began: int) -> None:
    prefix = f"system/{monitor.node_id}/" if monitor.node_id else "system/"
    while True:
        for _ in range(monitor.samples_before_logging):
            monitor.collect_metrics()
            if ended.wait(monitor.sampling_interval):
                return
        try:
            seconds = (now() - began) // 1000
            log({prefix + name: value for name, value in monitor.aggregate_metrics().items()}, seconds)
        except Exception as error:
            if in_a_line(error) is None:
                raise
            return  # whatever is logged next meets it too, and says so
        for one in monitor.monitors:
            one.clear_metrics()
