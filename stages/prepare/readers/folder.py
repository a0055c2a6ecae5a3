"""Folders of PNG and JPEG files, one for each class: in `train` and `test`, or all in one place."""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from stages.errors import UserError
from stages.prepare import pictures
from stages.prepare.images import Images
from stages.prepare.labelled import Labelled
from stages.prepare.pictures import Header
from stages.prepare.readers.folder_files import ENDINGS, Found, classes_in, holds_images, refuse_to_leave
from stages.prepare.readers.folder_images import Decoded, Reading, headers, refuse, shown
from stages.prepare.readers.kinds import advice


def read(folder: str | Path, reading: Reading) -> tuple[Labelled[Images], Labelled[Images] | None]:
    """Find the images of a folder and read their headers; they are decoded when they are asked for.

    Classes are the folders in `<folder>/train` and `<folder>/test`, or, where there is no `train`, in `<folder>`. Below
    them files may lie at any depth. Their order is that of their paths.

    Args:
        folder: where the images are.
        reading: how to read them.

    Returns:
        Training and test images; None for the latter where there is no folder `test`.

    Raises:
        UserError: no images, links that lead out of the folder, unreadable files, sizes that differ, grey and colour
            mixed where the number of channels is not given.
    """
    folder = Path(folder)
    parts = _parts(folder)
    listed = {part: classes_in(part, folder) for part in parts}
    _tell_of_ignored(folder, sum((found.ignored for found in listed.values()), _beside(folder, parts)))
    for part, found in listed.items():
        if not found.files:
            endings = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
            raise UserError(
                f"{part}: found no {endings} file in a class folder, expected {part.name}/<class>/<image>"
                f"{advice(folder, 'folder')}"
            )
    everything = [path for found in listed.values() for paths in found.files.values() for path in paths]
    files, known = headers(folder, everything, reading)
    channels = reading.channels or _channels(folder, files, known)
    one = (*_size(folder, files, known, reading.side), channels)
    decode = partial(pictures.decode, max_pixels=reading.max_pixels, channels=channels, side=reading.side)
    unreadable = set(everything).difference(files)
    _tell_of_converted(folder, known)

    def labelled(part: Path) -> Labelled[Images]:
        paths, codes, names = _flat(listed[part], unreadable)
        images = Decoded(paths, one, decode, reading.workers, partial(refuse, folder, files, reading))
        return Labelled(images, codes, names, [f"{part.name}/"], lambda row: paths[row])

    return labelled(parts[0]), labelled(parts[1]) if len(parts) > 1 else None


def _parts(folder: Path) -> list[Path]:
    """The folders whose folders are classes."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder, expected one of images")
    named = (folder / "train", folder / "test")
    for part in named:
        refuse_to_leave(part, folder.resolve())
    # What holds images itself is a class, though it be called train.
    train, test = (part if part.is_dir() and not holds_images(part) else None for part in named)
    if train is None and test is not None:
        raise UserError(f"{folder}: found test and no train, expected both, or a folder for each class")
    return [part for part in (train, test) if part is not None] or [folder]


def _beside(folder: Path, parts: list[Path]) -> "Counter[str]":
    if parts == [folder]:
        return Counter()
    others = [path for path in folder.iterdir() if path.is_dir() and path not in parts and path.name[0] != "."]
    return Counter({"folders beside train and test": len(others)})


def _tell_of_ignored(folder: Path, ignored: "Counter[str]") -> None:
    if ignored := +ignored:
        print(f"{folder}: ignored {', '.join(f'{kind} ({count})' for kind, count in sorted(ignored.items()))}")


def _tell_of_converted(folder: Path, known: list[Header]) -> None:
    counts = Counter(header.converted for header in known if header.converted)
    if counts:
        kinds = ", ".join(f"{count} from {kind}" for kind, count in sorted(counts.items()))
        print(f"{folder}: converted {counts.total()} of {len(known)} images: {kinds}")


def _channels(folder: Path, files: list[str], known: list[Header]) -> int:
    """1 if all images are grey, 3 if all have colours."""
    grey, colour = (
        [path for path, header in zip(files, known, strict=True) if header.grey is is_grey] for is_grey in (True, False)
    )
    if grey and colour:
        raise UserError(
            f"{folder}: found {len(grey)} grey images, such as {shown(folder, grey[0])}, and {len(colour)} in colour, "
            f"such as {shown(folder, colour[0])}; expected one kind, or data.channels=1 to make all grey, 3 to keep "
            "colours"
        )
    return 1 if grey else 3


def _size(folder: Path, files: list[str], known: list[Header], side: int | None) -> tuple[int, int]:
    if side is not None:
        return side, side
    first: dict[tuple[int, int], str] = {}
    for path, header in zip(files, known, strict=True):
        first.setdefault((header.height, header.width), path)
    if len(first) == 1:
        return next(iter(first))
    examples = " and ".join(
        f"{height} × {width} ({shown(folder, path)})" for (height, width), path in list(first.items())[:2]
    )
    smallest = min(min(size) for size in first)
    raise UserError(
        f"{folder}: found images of {len(first)} sizes (height × width), such as {examples}; expected one size, or "
        f"data.image_size to resize to (the shortest side is {smallest})"
    )


def _flat(found: Found, unreadable: set[str]) -> tuple[list[str], np.ndarray, list[str]]:
    """Paths, the class of each as an index into the names, and the names of the classes that have any."""
    left = {name: [path for path in paths if path not in unreadable] for name, paths in found.files.items()}
    left = {name: paths for name, paths in left.items() if paths}
    codes = np.repeat(np.arange(len(left), dtype=np.int32), [len(paths) for paths in left.values()])
    return [path for paths in left.values() for path in paths], codes, list(left)
