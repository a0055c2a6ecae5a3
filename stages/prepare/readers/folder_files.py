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
class Ignored:
    """What is no image of a class: how many there are of each kind, and the name of the first."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Count one more of a kind."""
        self.counts[kind] += 1
        self.first.setdefault(kind, name)

    def __str__(self) -> str:
        kinds = sorted(self.counts.items())
        return ", ".join(
            f"{kind} ({as_text(self.first[kind]) if count == 1 else f'{count}, such as {as_text(self.first[kind])}'})"
            for kind, count in kinds
        )


def as_text(path: str | Path) -> str:
    """A name or path as a terminal can show it and does not obey it: it need not be UTF-8, and may hold anything."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def classes_in(part: Path, root: Path, ignored: Ignored) -> dict[str, list[str]]:
    """List what lies in the class folders of `part`, at any depth.

    Args:
        part: the folder of which each folder is a class.
        root: links may lead anywhere in it.
        ignored: takes what else there is.

    Returns:
        Paths of the images by the name of their class, both in order; no class is without one.

    Raises:
        UserError: a link that leads out of `root`, back to where it is, or to a folder that the class has already; a
            folder that may not be read; folders in folders beyond any sense.
    """
    found = {}
    inside = root.resolve()
    for entry in _entries(part, ignored):
        if not _is_folder(entry, inside):
            ignored.add("files beside the class folders", entry.name)
        elif files := _images_below(Path(entry.path), inside, (part.resolve(),), set(), ignored):
            found[entry.name] = files
        else:
            ignored.add("class folders without an image", entry.name)
    return found


def is_class(folder: Path) -> bool:
    """Whether a folder is a class, whatever it is called: images lie in it, and none in a folder in it."""
    entries = _entries(folder, Ignored())
    folders = [path for entry in entries if (path := Path(entry.path)).is_dir()]
    return any(map(_is_image, entries)) and not any(
        _is_image(entry) for below in folders for entry in _entries(below, Ignored())
    )


def refuse_to_leave(path: Path, inside: Path) -> None:
    """Check where a link leads to.

    Raises:
        UserError: out of `inside`, a resolved path.
    """
    if path.is_symlink() and not (target := Path(os.path.realpath(path))).is_relative_to(inside):
        raise UserError(f"{path}: found a link to {target}, expected links that stay in {inside}")


def _images_below(folder: Path, inside: Path, above: tuple[Path, ...], seen: set[Path], ignored: Ignored) -> list[str]:
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
            ignored.add("files that are not called .png, .jpg or .jpeg", entry.name)
    return images


def _entries(folder: Path, ignored: Ignored) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: not readable ({error.strerror}), expected a folder of images") from None
    for entry in listed:
        if entry.name.startswith("."):
            ignored.add("hidden files and folders", entry.name)
    return [entry for entry in listed if not entry.name.startswith(".")]


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
