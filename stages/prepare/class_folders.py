"""Writes class folders: `<part>/<class>/<number>.png`."""

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CHANNELS = (1, 3, 4)  # grey, colour, colour with transparency
Examples = Iterable[tuple[np.ndarray, int]]


def write(folder: Path, parts: Mapping[str, tuple[int, Examples]], names: Sequence[str]) -> None:
    """Write images of one or several parts; their folders appear together at the end, when all are complete.

    Args:
        folder: where to; made if it does not exist.
        parts: by name (`train`, `test`) how many images there will be, which sets the width of their numbers, and the
            images: uint8 `[H, W, C]`, C one of `CHANNELS`, each with its class as an index into `names`.
        names: of the classes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folders = folder_names(names)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
        for part, (count, examples) in parts.items():
            for number, (pixels, label) in enumerate(examples):
                file = Path(temporary, part, folders[label], f"{number:0{len(str(count - 1))}}.png")
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file)
        for part in parts:
            Path(temporary, part).rename(folder / part)


def folder_names(names: Sequence[str]) -> list[str]:
    """Names that folders can have: without slashes, dots in front and blanks around; numbers where two would be equal.

    >>> folder_names(["T-shirt/top", "..", "dog"])
    ['T-shirt_top', '__', 'dog']
    >>> folder_names(["a/b", "a_b"])
    ['0', '1']
    """
    valid = [re.sub(r"[/\\\0]|^\.+", lambda found: "_" * len(found.group()), name.strip()) or "_" for name in names]
    # Some file systems do not tell Dog from dog.
    if len({name.lower() for name in valid}) < len(valid):
        return [str(index) for index in range(len(names))]
    return valid
