"""What DVC leaves behind when it is killed, and stumbles over when it is started again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from stages import config, leftovers, lock
from stages.errors import UserError

PLACE = Path(".dvc/tmp")
_CONFLICT = b"<<<<<<< "  # of git, which is for the user to solve; DVC says so


def clear(paths: config.Paths) -> None:
    """Make way for DVC in the working folder; prints a line about each thing that is cleared.

    Args:
        paths: where the pipeline's outputs are.

    Raises:
        UserError: another DVC is at work here.
    """
    _clear_claims(PLACE / "rwlock")
    _check_idle(PLACE / "lock")
    _clear_records(Path("dvc.lock"))
    for output in (output for stage in lock.OUTPUTS for output in lock.outputs(stage, paths)):
        leftovers.remove_of_dvc(output)


def _clear_claims(file: Path) -> None:
    """Remove the file in which running DVCs claim what they read and write, if no one of them is still there."""
    if not file.is_file():
        return
    written = file.stat().st_mtime
    try:
        claims = list(_claims(json.loads(file.read_text(encoding="utf-8"))))
    except (ValueError, KeyError, TypeError, AttributeError):
        print(f"{file}: removed, for it is not whole: DVC was killed")
        file.unlink()
        return
    for pid, command in claims:
        if _is_alive(pid, written):
            raise UserError(f".dvc: found {command} at work (process {pid}), expected no other; wait for it or end it")
    if claims:
        print(f"{file}: removed, for its process was killed: {claims[0][1]}")
        file.unlink()


def _claims(content: dict[str, Any]) -> Iterator[tuple[int, str]]:
    for claim in content.get("write", {}).values():
        yield int(claim["pid"]), str(claim["cmd"])
    for claims in content.get("read", {}).values():
        for claim in claims:
            yield int(claim["pid"]), str(claim["cmd"])


def _is_alive(pid: int, written: float) -> bool:
    """Whether the process that made a claim is there: not another one of its number, nor what is left of it."""
    try:
        process = psutil.Process(pid)
        return process.create_time() <= written + 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _check_idle(file: Path) -> None:
    from dvc.lock import LockError, make_lock

    if not file.parent.is_dir():
        return
    repository = make_lock(str(file))
    try:
        repository.lock()
    except LockError:
        raise UserError(".dvc: found another DVC at work, expected none; wait for it or end it") from None
    repository.unlock()


def _clear_records(file: Path) -> None:
    """Remove a `dvc.lock` that DVC was killed in writing; what it recorded is taken from DVC's cache of runs again."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException
    from dvc.utils import strictyaml

    if not file.is_file() or _CONFLICT in file.read_bytes():
        return
    try:
        strictyaml.load(str(file), Lockfile.SCHEMA)
    except DvcException:
        print(f"{file}: removed, for it is not whole: DVC was killed")
        file.unlink()
