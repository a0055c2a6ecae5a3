"""PyTorch Metric Learning in an environment of its own under `.bench/`, made when it is first wanted."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".bench" / "pytorch_metric_learning"
REQUIREMENTS = HERE / "requirements_peer.txt"


def python() -> Path | None:
    """The environment's interpreter; None, and a line that says why, where it cannot be made."""
    interpreter, installed = FOLDER / "bin/python", FOLDER / REQUIREMENTS.name
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if installed.exists() and installed.read_text(encoding="utf-8") == wanted:
        return interpreter
    print(f"making {FOLDER.relative_to(HERE.parents[1])} (half a minute and 1.2 GB)", file=sys.stderr, flush=True)
    make = [sys.executable, "-m", "venv", str(FOLDER)]
    install = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (make, [*install, "-r", str(REQUIREMENTS)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            print(f"no figures of PyTorch Metric Learning: {lines[-1]}", file=sys.stderr, flush=True)
            return None
    installed.write_text(wanted, encoding="utf-8")
    return interpreter
