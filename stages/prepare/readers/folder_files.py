"""The image files of a folder, found in an order that depends on names alone, and none outside of it."""

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from stages.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg")
_DEEPEST = 50


@dataclass(frozen=True)
class Found:
    """The images of one part.

    Attributes:
        files: paths of the images by the name of their class, both in order; no class is without one.
        ignored: how many of what else there was.
    """

    files: dict[str, list[str]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)


def classes_in(part: Path, root: Path) -> Found:
    """List what lies in the class folders of `part`, at any depth.

    Args:
        part: the folder of which each folder is a class.
        root: links may lead anywhere in it.

    Raises:
        UserError: a link that leads out of `root`, back to where it is, or to a folder that the class has already; a
            folder that may not be read; folders in folders beyond any sense.
    """
    found = Found()
    inside = root.resolve()
    for entry in _entries(part, found.ignored):
        if not _is_folder(entry, inside):
            found.ignored["files beside the class folders"] += 1
            continue
        files = _images_below(Path(entry.path), inside, (part.resolve(),), set(), found.ignored)
        if files:
            found.files[entry.name] = files
        else:
            found.ignored["class folders without an image"] += 1
    return found


def holds_images(folder: Path) -> bool:
    """Whether image files lie in the folder itself: then it is a class, whatever it is called."""
    return folder.is_dir() and any(map(_is_image, _entries(folder, Counter())))


def refuse_to_leave(path: Path, inside: Path) -> None:
    """Check where a link leads to.

    Raises:
        UserError: out of `inside`, a resolved path.
    """
    if path.is_symlink() and not (target := Path(os.path.realpath(path))).is_relative_to(inside):
        raise UserError(f"{path}: found a link to {target}, expected links that stay in {inside}")


def _images_below(
    folder: Path, inside: Path, above: tuple[Path, ...], seen: set[Path], ignored: "Counter[str]"
) -> list[str]:
    here = folder.resolve()
    if here in above:
        raise UserError(f"{folder}: found a link that leads back to {here}, expected links to other images")
    if here in seen:
        raise UserError(f"{folder}: found {here} a second time in its class, expected links to other images")
    if len(above) > _DEEPEST:
        raise UserError(f"{folder}: found a folder in {_DEEPEST} others, expected images of a class in fewer")
    seen.add(here)
    images: list[str] = []
    for entry in _entries(folder, ignored):
        if _is_folder(entry, inside):
            images += _images_below(Path(entry.path), inside, (*above, here), seen, ignored)
        elif _is_image(entry):
            images.append(entry.path)
        else:
            ignored["files that are not called .png, .jpg or .jpeg"] += 1
    return images


def _entries(folder: Path, ignored: "Counter[str]") -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: not readable ({error.strerror}), expected a folder of images") from None
    shown = [entry for entry in listed if not entry.name.startswith(".")]
    ignored["hidden files and folders"] += len(listed) - len(shown)
    return shown


def _is_folder(entry: "os.DirEntry[str]", inside: Path) -> bool:
    refuse_to_leave(Path(entry.path), inside)
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise UserError(
            f"{entry.path}: found a link that leads back to itself, expected links to other images"
        ) from None


def _is_image(entry: "os.DirEntry[str]") -> bool:
    # A link that leads nowhere is listed as unreadable; a pipe, or a link to one, would never end.
    named = entry.name.lower().endswith(ENDINGS)
    return named and (entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)))  # noqa: PTH110
