"""One at a time: a lock that the system takes back however its holder ends, and that says who holds it."""

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stages import config, interruption, leftovers
from stages.errors import UserError

PATIENCE = 5.0
"""Seconds to wait for another holder: it may just be ending."""
_GRACE = interruption.GRACE + 30  # of `make repro`, which waits for the stage that it has interrupted, and to spare
_WORDS = 2.0  # seconds after which a wait is explained


@contextmanager
def held(path: Path, name: str, doing: str, place: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a lock while the block runs. Its file, and the folders that it needed, are gone afterwards.

    Args:
        path: of the lock's file.
        name: of the process that wants it, as its lines on the terminal begin.
        doing: what it does, as others are to be told.
        place: what the lock is for, as the user knows it.
        patience: seconds to wait for another holder; one that was interrupted has its grace besides, to save its work.

    Raises:
        UserError: another process holds it.
        OSError: the file cannot be made.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    _acquire(lock, path, name, place, patience)
    told = {"process": os.getpid(), "doing": doing, "since": time.strftime("%Y-%m-%d %H:%M:%S")}

    def tell_end(_: int) -> None:
        _write(path, told | {"ending": True})

    _write(path, told)
    interruption.first_heard.append(tell_end)
    try:
        yield
    finally:
        interruption.first_heard.remove(tell_end)
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: who waits for it sees that it is gone, and makes another
        lock.release()
        for folder in made:
            with contextlib.suppress(OSError):  # not empty: the block has made use of it
                folder.rmdir()


@contextmanager
def on_outputs(stage: str, paths: config.Paths) -> Iterator[None]:
    """Hold the locks on a stage's outputs, and remove what one that was killed left half-written.

    They lie beside the outputs, for DVC removes these. Where none can be made the outputs cannot be written either,
    which the stage says better.

    Raises:
        UserError: another process writes there.
    """
    with ExitStack() as stack:
        for output in outputs(stage, paths):
            with contextlib.suppress(OSError):
                stack.enter_context(held(_beside(output), stage, stage, str(output)))
                leftovers.remove(output)
        yield


def wait_for_outputs(name: str, paths: config.Paths) -> None:
    """Return when no stage writes to the outputs.

    Raises:
        UserError: one goes on doing so.
    """
    for output in (output for stage in OUTPUTS for output in outputs(stage, paths)):
        if _beside(output).is_file():
            with held(_beside(output), name, name, str(output)):
                pass


OUTPUTS = {
    "prepare": ["{prepared}"],
    "batches": ["{batches}"],
    "train": ["{model}", "{plots}/training.png"],
    "embed": ["{embeddings}"],
    "evaluate": ["{metrics}/evaluate.json", "{metrics}/threshold.json", "{measures}"],
    "render": ["{maps}", "{projector}"],
}
"""What each stage writes, as `dvc.yaml` has it."""


def outputs(stage: str, paths: config.Paths) -> Sequence[Path]:
    """What a stage writes, in the one order in which locks are taken."""
    return sorted(Path(output.format(**paths.model_dump())) for output in OUTPUTS[stage])


def _beside(output: Path) -> Path:
    return output.with_name(f".{output.name}.lock")


def _acquire(lock: FileLock, path: Path, name: str, place: str, patience: float) -> None:
    began, told = time.monotonic(), False
    while True:
        try:
            lock.acquire(timeout=0.2)
            return
        except Timeout:
            waited = time.monotonic() - began
        who, is_ending = _holder(path)
        if waited > _WORDS and not path.exists():
            raise FileNotFoundError(errno.ENOENT, "no lock can be made", str(path))
        if waited > patience + (_GRACE if is_ending else 0):
            raise UserError(f"{place}: found {who} at work on it, expected no other; wait for it or end it") from None
        if waited > _WORDS and not told:
            interruption.tell(f"{name}: {place}: waiting for {who}")
            told = True


def _write(path: Path, content: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a full disk has room for the lock itself
        path.write_text(json.dumps(content), encoding="utf-8")


def _holder(path: Path) -> tuple[str, bool]:
    """Who holds a lock, in words, and whether it is about to end."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return f"{content['doing']} (process {content['process']}, since {content['since']})", "ending" in content
    except (OSError, ValueError, KeyError, TypeError):
        return "another process", False
