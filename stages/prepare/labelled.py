"""Images with the names of their classes: what any reader gives to the stage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from stages.prepare.images import Chosen, Images

Kind = TypeVar("Kind", bound=Images, covariant=True)


@dataclass(frozen=True)
class Labelled(Generic[Kind]):
    """One part (training or test) of a data set.

    Attributes:
        images: uint8 `[N, H, W, C]`, in memory or read when they are asked for.
        codes: int32 `[N]`, indices into `names`.
        names: the classes' names as they are written, in no order, none twice.
        files: names of the files, or of the folder (`train/`), that this was read from.
        place: where image i's label stands, for messages: a file and a row, or the image's file.
        skipped: files that were left out, with the reason.
    """

    images: Kind
    codes: np.ndarray
    names: list[str]
    files: list[str]
    place: Callable[[int], str]
    skipped: Mapping[str, str] = field(default_factory=dict)


def chosen(part: Labelled[Images], rows: np.ndarray) -> Labelled[Images]:
    """Some rows of a part, with the names of the classes that are left."""
    left, codes = np.unique(part.codes[rows], return_inverse=True)
    return Labelled(
        Chosen(part.images, rows),
        codes.astype(np.int32),
        [part.names[code] for code in left],
        part.files,
        lambda row: part.place(int(rows[row])),
        part.skipped,
    )
