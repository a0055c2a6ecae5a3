"""Folders of PNG and JPEG files, one for each class: in `train` and `test`, or all in one place."""

from collections import Counter
from collections.abc import Container
from functools import partial
from pathlib import Path

import numpy as np

from stages.errors import UserError
from stages.prepare import pictures
from stages.prepare.classes import listed as named
from stages.prepare.images import Images
from stages.prepare.labelled import Labelled
from stages.prepare.pictures import Header
from stages.prepare.readers.folder_files import ENDINGS, Ignored, as_text, classes_in, is_class, refuse_to_leave
from stages.prepare.readers.folder_images import Decoded, Reading, headers, refuse, within
from stages.prepare.readers.kinds import advice

_PARTS = (("train", "training"), ("test", "testing"))  # what their folders may be called


def read(folder: str | Path, reading: Reading) -> tuple[Labelled[Images], Labelled[Images] | None]:
    """Find the images of a folder and read their headers; they are decoded when they are asked for.

    Classes are the folders in `<folder>/train` and `<folder>/test`, which may be called `Training` and `Testing`, or,
    where there is neither, in `<folder>`. Below them files may lie at any depth. Their order is that of their paths.

    Args:
        folder: where the images are.
        reading: how to read them.

    Returns:
        Training and test images; None for the latter where there is no folder `test`.

    Raises:
        UserError: no images, test images alone, links that lead out of the folder, unreadable files, sizes that differ,
            grey and colour mixed where the number of channels is not given.
    """
    folder = Path(folder)
    ignored = Ignored()
    parts, beside = _parts(folder)
    for name in beside:
        ignored.add(f"folders beside {' and '.join(part.name for part in parts)}", name)
    listed = {part: classes_in(part, folder, ignored) for part in parts}
    if ignored.counts:
        print(f"{folder}: ignored {ignored}")
    if parts == [folder] and len(listed[folder]) == 1:
        _refuse_a_wrapper(folder, next(iter(listed[folder])))
    if beside and len(parts) == 1:
        print(f"{folder}: found no folder test with class folders, so that test images are split off from train")
    for part, classes in listed.items():
        _tell_of_nested(folder, part, classes)
        if not classes:
            endings = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
            raise UserError(
                f"{part}: found no {endings} file in a class folder, expected {part.name}/<class>/<image>"
                f"{advice(folder, 'folder')}"
            )
    everything = [path for classes in listed.values() for paths in classes.values() for path in paths]
    files, known, unreadable = headers(folder, everything, reading)
    channels = reading.channels or _channels(folder, files, known)
    one = (*_size(folder, files, known, reading.side), channels)
    decode = partial(pictures.decode, max_pixels=reading.max_pixels, channels=channels, side=reading.side)
    _tell_of_converted(folder, known)
    skipped = {within(folder, path): str(reason) for path, reason in unreadable.items()}

    def labelled(part: Path) -> Labelled[Images]:
        paths, codes, names = _flat(listed[part], unreadable)
        if not paths:
            raise UserError(f"{part}: found no readable image, expected some that are whole")
        images = Decoded(paths, one, decode, reading.workers, partial(refuse, folder, files, reading))
        return Labelled(images, codes, names, [f"{part.name}/"], lambda row: paths[row], skipped)

    return labelled(parts[0]), labelled(parts[1]) if len(parts) > 1 else None


def _parts(folder: Path) -> tuple[list[Path], list[str]]:
    """The folders whose folders are classes, and the names of the folders beside them."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder, expected one of images")
    train, test = (_called(folder, names) for names in _PARTS)
    if train is None:
        if test is not None:
            raise UserError(f"{folder}: found {test.name} and no train, expected both, or a folder for each class")
        return [folder], []
    parts = [train] if test is None else [train, test]
    others = (path for path in sorted(folder.iterdir()) if path not in parts and not path.name.startswith("."))
    return parts, [path.name for path in others if path.is_dir()]


def _tell_of_nested(folder: Path, part: Path, classes: dict[str, list[str]]) -> None:
    """Say where no image lies in a class folder itself: these may not be the folders that are meant."""
    if classes and not any(Path(path).parent == part / name for name, paths in classes.items() for path in paths):
        first = next(iter(classes.values()))[0]
        print(
            f"{part}: took {as_text(named([*classes]))} for classes; their images lie in folders of these: "
            f"{within(folder, first)}"
        )


def _refuse_a_wrapper(folder: Path, name: str) -> None:
    """Archives are often unpacked into one folder more."""
    below = folder / name
    if not is_class(below) and len(classes_in(below, folder, Ignored())) > 1:
        raise UserError(
            f"{folder}: found one folder, {as_text(name)}, with folders of images; expected data.path={as_text(below)}"
        )


def _called(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The folder of one of the names, in small letters or capitals, that is no class itself."""
    found = [path for path in sorted(folder.iterdir()) if path.name.lower() in names]
    for path in found:
        refuse_to_leave(path, folder.resolve())
    found = [path for path in found if path.is_dir() and not is_class(path)]
    if len(found) > 1:
        raise UserError(f"{folder}: found {found[0].name} and {found[1].name}, expected one of them")
    return found[0] if found else None


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
            f"{folder}: found {len(grey)} grey images, such as {within(folder, grey[0])}, and {len(colour)} in colour, "
            f"such as {within(folder, colour[0])}; expected one kind, or data.channels=1 to make all grey, 3 to keep "
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
        f"{height} × {width} ({within(folder, path)})" for (height, width), path in list(first.items())[:2]
    )
    smallest = min(min(size) for size in first)
    raise UserError(
        f"{folder}: found images of {len(first)} sizes (height × width), such as {examples}; expected one size, or "
        f"data.image_size to resize to (the shortest side is {smallest})"
    )


def _flat(classes: dict[str, list[str]], unreadable: Container[str]) -> tuple[list[str], np.ndarray, list[str]]:
    """Paths, the class of each as an index into the names, and the names of the classes that have any."""
    left = {name: [path for path in paths if path not in unreadable] for name, paths in classes.items()}
    left = {name: paths for name, paths in left.items() if paths}
    codes = np.repeat(np.arange(len(left), dtype=np.int32), [len(paths) for paths in left.values()])
    return [path for paths in left.values() for path in paths], codes, list(left)
