"""Names for what was computed: hashes of settings, data and code, so that nothing equal is computed twice."""

import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from stages import config, own_code

_ROOT = Path(__file__).resolve().parents[2]
_LETTERS = 16


def of_prepared(settings: config.Config) -> str:
    """Of what the prepare stage makes."""
    return _digest([settings.data.model_dump(exclude={"path"}), settings.seed], _behind(settings))


def of_batches(settings: config.Config) -> str:
    """Of what the batches stage makes."""
    content = [of_prepared(settings), settings.batches.model_dump(), settings.train.steps, settings.seed]
    return _digest(content, [])


def of_job(settings: config.Config) -> str:
    """Of all figures of a job: of everything but where its files lie and what render would draw."""
    content = settings.model_dump(exclude={"paths": True, "render": True, "data": {"path"}})
    return _digest([content, os.environ.get("KERAS_BACKEND")], _behind(settings))


def _behind(settings: config.Config) -> Iterable[tuple[Path, str]]:
    """The files that a job depends on: data, code, that of the user's own that it names, the packages' versions.

    Each with its name within its folder: data that were moved as a whole are the same, in folders of other names not.
    """
    data = Path(settings.data.path)
    files = sorted(path for path in data.rglob("*") if path.is_file()) if data.is_dir() else [data]
    yield from ((path, path.relative_to(data).as_posix()) for path in files)
    code = _ROOT / "stages"
    yield from ((path, path.relative_to(code).as_posix()) for path in sorted(code.rglob("*.py")))
    sections = (settings.network, settings.loss, settings.optimizer)
    yield from ((path, path.name) for path in own_code.files(sections, settings.allowed_targets))
    yield _ROOT / "requirements.lock", "requirements.lock"


def _digest(content: Any, files: Iterable[tuple[Path, str]]) -> str:
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for path, name in files:
        digest.update(name.encode())
        if path.is_file():  # the stage that reads it says best that it is missing
            stat = path.stat()
            digest.update(_digest_of_file(path, (stat.st_size, stat.st_mtime_ns)))
    return digest.hexdigest()[:_LETTERS]


@cache
def _digest_of_file(path: Path, version: tuple[int, int]) -> bytes:  # noqa: ARG001 - a file that changed is another
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
