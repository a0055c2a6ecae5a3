"""Compose the settings, run the stages that have changed, show the result: `make repro`, one at a time in a clone.

DVC runs in this process, so that there is one to hold the lock, to be told to end, and to end with. A stage that is
told saves its work first.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from stages import interruption, orphan
from stages.command import call_or_exit

_GRACE = interruption.GRACE + 15  # that of a stage, and time for DVC to put down what the stage has left
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "fish")


def run(overrides: Sequence[str] = (), download: str | None = None) -> int:
    """Run the pipeline with the committed settings, or as an experiment with others, and print the result.

    Args:
        overrides: Hydra's; without any `params.yaml` is composed from `conf/` as it is.
        download: name of a data set that is needed.

    Returns:
        DVC's exit status.

    Raises:
        UserError: settings that are not valid, or another run in this clone.
        Interrupted: by a signal, after the stage that ran has ended.
    """
    # Not before signals are handled: in the time that this takes one would end in a traceback.
    from stages import config, lock, recovery
    from stages.evaluate import table

    with lock.held(recovery.PLACE / "repro.lock", "repro", "make repro", "this clone"):
        paths = config.parse(config.compose(overrides), "conf").paths
        recovery.clear(paths)
        lock.wait_for_outputs("repro", paths)
        if download:
            from stages.prepare.download import download as fetch

            fetch(download, Path("data") / download, [])
        if overrides:
            status = _dvc(["exp", "run", *(word for override in overrides for word in ("--set-param", override))])
        else:
            for change in config.write("params.yaml"):
                print(f"params.yaml: {change}", flush=True)
            status = _dvc(["repro"])
    if status == 0:
        table.show("params.yaml")
    else:
        interruption.tell(
            "repro: not done, the stage's own line above says why; once that is mended the same command goes on from "
            "here, and what DVC has removed of earlier results `dvc checkout` brings back"
        )
    return status


def _dvc(arguments: list[str]) -> int:
    """Run DVC; a signal ends the stage that it runs, which ends DVC in its own way."""
    # DVC starts `python` for each stage, which must be this environment's.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    statuses: list[int] = []

    def call() -> None:
        from dvc.cli import main

        statuses.append(main(arguments))

    # In a thread: in the main one DVC ignores SIGINT, and is cut off by SIGTERM while the stage goes on.
    dvc = threading.Thread(target=call, name="dvc", daemon=True)
    with interruption.deferred():
        dvc.start()
        told: set[psutil.Process] = set()
        while dvc.is_alive():
            dvc.join(0.2)
            if interruption.requested():
                told |= _tell_stages(told)
        interruption.raise_if_requested("the same command goes on from here")
    return statuses[0] if statuses else 1  # the thread's own error has been printed


def _tell_stages(told: set[psutil.Process]) -> set[psutil.Process]:
    """Interrupt the stages that run, once each."""
    found = {process for process in psutil.Process().children(recursive=True) if _is_stage(process)} - told
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    return found


def _is_stage(process: psutil.Process) -> bool:
    """Whether a process is a stage, and neither the shell around it nor a worker of it."""
    try:
        if orphan.STAGE not in process.environ() or process.name() in _SHELLS:
            return False
        parent = process.parent()
        return parent is not None and (parent.pid == os.getpid() or parent.name() in _SHELLS)
    except psutil.Error:
        return False


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.repro", description=__doc__)
    parser.add_argument("overrides", nargs="*", help="Hydra's, for an experiment of DVC's, as in `experiment=mnist`")
    parser.add_argument("--download", metavar="NAME", help="a data set to fetch first, like mnist")
    parser.add_argument("--end-with", type=int, metavar="PID", help="the process that started this one")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args()

    def call() -> None:
        sys.exit(run(options.overrides, options.download))

    with interruption.handled(_GRACE):
        if options.end_with:
            orphan.end_with("repro", options.end_with)
        call_or_exit("repro", call, debug=options.debug)


if __name__ == "__main__":
    _main()
