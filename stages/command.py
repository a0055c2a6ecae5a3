"""Run a stage as a command: read its settings, call it, turn a user's mistake into one line."""

import argparse
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages import config
from stages.errors import UserError
from stages.quiet import hidden_stderr


def main(stage: str, arguments: list[str] | None = None) -> None:
    """Call `run` of `stages.<stage>.stage` with the sections of the configuration that its parameters name.

    Exits with status 1 after a `UserError`, which is printed as one line.

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
        settings = config.load(options.params)
        with hidden_stderr():
            run = importlib.import_module(f"{module}.stage").run
        run(**arguments_for(run, settings, Path(options.params)))

    call_or_exit(stage, call, debug=options.debug)


def arguments_for(run: Callable[..., None], settings: config.Config, params_file: Path) -> dict[str, Any]:
    """What a stage's function takes: sections of the settings by parameter name, and `params_file` if it asks."""
    available = {"params_file": params_file}
    return {
        name: available[name] if name in available else getattr(settings, name)
        for name in inspect.signature(run).parameters
    }


def call_or_exit(name: str, call: Callable[[], None], *, debug: bool) -> None:
    """Call; after a `UserError` print it as one line that begins with `name` and exit with status 1."""
    try:
        call()
    except UserError as error:
        if debug:
            raise
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(1)
