"""Tags that say what made a run."""

import getpass
import re
import subprocess
import sys


def provenance() -> dict[str, str]:
    """User and command, the commit and whether code differs from it, git's remote."""
    tags = {"mlflow.user": _user(), "mlflow.source.type": "LOCAL"}
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if main is not None:  # else a file, which lies in a temporary copy under DVC's queue
        tags["mlflow.source.name"] = f"python -m {main.name.removesuffix('.__main__')}"
    commit = _git("rev-parse", "HEAD")
    if commit is not None:
        # Settings are recorded whole, and DVC changes params.yaml and dvc.lock itself.
        dirty = bool(_git("status", "--porcelain", "--", "stages", "requirements.lock"))
        tags |= {"mlflow.source.git.commit": commit, "git.dirty": str(dirty)}
    remote = _git("remote", "get-url", "origin")
    if remote:
        tags["mlflow.source.git.repoURL"] = re.sub(r"(?<=://)[^/@]*@", "", remote)  # a password may stand in it
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _git(*arguments: str) -> str | None:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None
