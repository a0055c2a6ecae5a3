"""What a folder holds, for whoever named another source than the one that reads it."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from stages.prepare.readers.folder_files import ENDINGS

_LOOKED_AT = 1000  # entries


def advice(folder: Path, source: str) -> str:
    """The end of a message about missing files: the source that would read the folder, if there is one.

    Args:
        folder: where nothing was found.
        source: the one that found nothing.
    """
    other = next((kind for kind in _held(folder) if kind != source), None)
    return f"; data.source={other} reads what is there" if other else ""


def _held(folder: Path) -> Iterator[str]:
    if any(chain(folder.glob("*.csv"), folder.glob("*.csv.gz"))):
        yield "csv"
    if any(chain(folder.glob("*ubyte"), folder.glob("*ubyte.gz"))):
        yield "idx"
    below = islice(chain(folder.glob("*/*"), folder.glob("*/*/*")), _LOOKED_AT)
    if any(path.name.lower().endswith(ENDINGS) for path in below):
        yield "folder"
