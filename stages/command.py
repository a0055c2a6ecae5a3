"""Run a stage as a command: read its settings, call it, turn a user's mistake into one line."""

import argparse
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import orphan
from stages.errors import in_a_line
from stages.interruption import Interrupted, handled, tell
from stages.quiet import hidden_stderr

if TYPE_CHECKING:
    from stages import config


def main(stage: str, arguments: list[str] | None = None) -> None:
    """Call `run` of `stages.<stage>.stage` with the sections of the configuration that its parameters name.

    It holds the locks on the stage's outputs meanwhile, and ends when DVC, which may have started it, has ended. Exits
    with status 1 after a `UserError`, a full disk or a lack of permission, with that of a signal after one, each of
    which is printed as one line.

    Args:
        stage: name of the stage's package.
        arguments: the command line; by default that of the process.
    """
    module = f"stages.{stage}"
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=importlib.import_module(module).__doc__)
    parser.add_argument("--params", default="params.yaml", help="the settings to run with (default: %(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    def call() -> None:
        # Not before signals are handled: in the time that this takes one would end in a traceback.
        from stages import config, lock

        settings = config.load(options.params)
        with lock.on_outputs(stage, settings.paths) if _writes(stage, settings) else nullcontext():
            with hidden_stderr():
                run = importlib.import_module(f"{module}.stage").run
            arguments = arguments_for(run, settings, Path(options.params))
            run(**arguments)
            _check_unchanged(options.params, arguments)

    with handled():
        orphan.end_with_dvc(stage)
        call_or_exit(stage, call, debug=options.debug)


def _writes(stage: str, settings: "config.Config") -> bool:
    """Whether outputs are this process's to write: of several that train together they are the first one's."""
    if stage != "train" or settings.train.strategy != "data_parallel":
        return True
    from stages.place import place

    return place().writes


def arguments_for(run: Callable[..., None], settings: "config.Config", params_file: Path) -> dict[str, Any]:
    """What a stage's function takes: sections of the settings by parameter name, and `params_file` if it asks."""
    available = {"params_file": params_file}
    return {
        name: available[name] if name in available else getattr(settings, name)
        for name in inspect.signature(run).parameters
    }


def _check_unchanged(params_file: str, arguments: Mapping[str, Any]) -> None:
    """Refuse to end well with other settings in the file than the stage has run with: DVC would record those."""
    from stages import config
    from stages.errors import UserError

    now = config.load(params_file)
    changed = [name for name, value in arguments.items() if hasattr(now, name) and getattr(now, name) != value]
    if changed:
        raise UserError(
            f"{params_file}: {', '.join(changed)}: changed by somebody while this stage ran, expected what it began "
            "with; run it again, and one thing at a time"
        )


def _nobody_reads() -> bool:
    """Whether the reader of what is printed has had enough, as `head` has; print to nowhere from now on then."""
    try:
        os.write(sys.stdout.fileno(), b"\n")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes at its end
        return True
    return False


def call_or_exit(name: str, call: Callable[[], None], *, debug: bool) -> None:
    """Call; after an error that the user can do something about, or a signal, print one line and exit.

    The line begins with `name`; the status is 1 or that of the signal. Any other error is a defect, raised as it is.
    """
    try:
        call()
        sys.stdout.flush()
    except BrokenPipeError:
        if debug or not _nobody_reads():
            raise
        sys.exit(1)
    except KeyboardInterrupt as error:
        tell(f"{name}: interrupted; {str(error) or 'run it again'}")
        sys.exit(error.status if isinstance(error, Interrupted) else 128 + signal.SIGINT)
    except Exception as error:
        line = in_a_line(error)
        if debug or line is None:
            raise
        print(f"{name}: {line}", file=sys.stderr)
        sys.exit(1)
