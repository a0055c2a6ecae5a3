"""PyTorch Metric Learning in an environment of its own under `.bench/`, made when it is first wanted."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.loss_cases import Case

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".bench" / "pytorch_metric_learning"
REQUIREMENTS = HERE / "requirements_peer.txt"
SCRIPT = HERE / "peer_pytorch_metric_learning.py"


def python() -> Path | None:
    """The environment's interpreter; None, and a line that says why, where it cannot be made."""
    interpreter, installed = FOLDER / "bin/python", FOLDER / REQUIREMENTS.name
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if installed.exists() and installed.read_text(encoding="utf-8") == wanted:
        return interpreter
    print(f"making {FOLDER.relative_to(HERE.parents[1])} (half a minute and 1.2 GB)", file=sys.stderr, flush=True)
    make = [sys.executable, "-m", "venv", str(FOLDER)]
    install = [
        str(interpreter),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        str(REQUIREMENTS),
    ]
    if any(_output(command) is None for command in (make, install)):
        return None
    installed.write_text(wanted, encoding="utf-8")
    return interpreter


def milliseconds(interpreter: Path | None, cases: Sequence[Case]) -> dict[Case, float]:
    """The median of each case that could be measured."""
    if interpreter is None:
        return {}
    keys = ("loss", "batch", "dimensions", "samples")
    asked = json.dumps([{key: getattr(case, key) for key in keys} for case in cases])
    output = _output([str(interpreter), str(SCRIPT), asked])
    times = json.loads(output) if output else []
    return {case: time for case, time in zip(cases, times, strict=False) if time is not None}


def _output(command: list[str]) -> str | None:
    """What the command printed; None, and the last line of its error, where it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    print(f"no figures of PyTorch Metric Learning: {lines[-1]}", file=sys.stderr, flush=True)
    return None
