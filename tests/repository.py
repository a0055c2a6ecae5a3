"""Copies of the repository in which commands are run as a user runs them, and settings that make them quick."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

ROOT = Path(__file__).resolve().parent.parent
TINY = (
    "train.steps=20",
    "train.steps_per_epoch=10",
    "network.embedding_dim=8",
    "network.widths=[4,8,8]",
    "batches.samples_per_class=4",
    "evaluate.balanced_pairs=400",
    "evaluate.resamples=40",
    "render.train_points=120",
    "render.test_points=100",
    "render.projector_points=100",
)


def environment():
    """That of a user who has activated the environment, and set nothing of DVC's and MLflow's."""
    ours = ("DVC_ROOT", "MLFLOW_TRACKING_URI", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


def run(folder, *command, check=True):
    """Run a command in `folder`."""
    result = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if check and result.returncode:
        pytest.fail(f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}")
    return result


def copy_of_repository(folder):
    """A repository with the files of this one that git tracks or would track, committed."""
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    for name in filter(None, listed.split("\0")):
        # What the pipeline made here is no part of a clone.
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "config", "user.email", "test@example.org")
    run(folder, "git", "config", "user.name", "test")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "copy")
    return folder


def working_in(folder):
    """The processes whose working folder is this one or within it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(folder)):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # ended meanwhile, or another user's
    return found


def wait_until(is_so, seconds):
    """Whether it becomes so within as many seconds."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True
