"""Images with the names of their classes: what any reader gives to the stage."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Labelled:
    """One part (training or test) of a data set.

    Attributes:
        images: uint8 `[N, H, W, C]`.
        codes: int32 `[N]`, indices into `names`.
        names: the classes' names as they are written, in no order, none twice.
        files: names of the files that this was read from.
        place: where image i's label stands, for messages: a file and a row.
    """

    images: np.ndarray
    codes: np.ndarray
    names: list[str]
    files: list[str]
    place: Callable[[int], str]
