"""Temporary files of a process that was killed while it wrote: the next one that writes there removes them."""

import re
from collections.abc import Iterator
from pathlib import Path

_OF_STORE = re.compile(r"\.(?P<stem>.+)-[a-z0-9_]{8}(?P<suffixes>(\.[^.]+)*)")  # as `store.replacing` names them
_OF_DVC = re.compile(r"\.[A-Za-z0-9_-]{22}\.tmp")


def remove(output: Path) -> None:
    """Remove the temporary files of an output: beside it, and in it where it is a folder.

    Nobody else may be writing the output.
    """
    for path in _files(output.parent):
        name = _OF_STORE.fullmatch(path.name)
        if name and name["stem"] == output.stem and name["suffixes"] == "".join(output.suffixes):
            path.unlink(missing_ok=True)
    for path in _files(output):
        if _OF_STORE.fullmatch(path.name):
            path.unlink(missing_ok=True)


def remove_of_dvc(output: Path) -> None:
    """Remove the temporary files that DVC left when it copied an output. No DVC may be at work."""
    for path in _files(output.parent):
        if _OF_DVC.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_file()) if folder.is_dir() else iter(())
