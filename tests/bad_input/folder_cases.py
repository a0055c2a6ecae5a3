"""Class folders and IDX files that are refused, beyond what the tests of their readers have."""

import gzip
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.bad_input.csv_cases import in_place_of
from tests.bad_input.table import Refused, in_turn, link_to_itself
from tests.prepare import small
from tests.prepare.test_pictures import chunk, png_that_claims

FOLDER = {
    "data.source": "folder",
    "data.max_pixels": 1000,
    "data.skip_unreadable": False,
    "data.test": 0.3,
    "data.validation": 0.3,
}
_GREY = small.images(12).reshape(12, 4, 4)
_LABELS = ["ant"] * 6 + ["bee"] * 6
_UNREADABLE = "; expected whole PNG or JPEG images, or data.skip_unreadable=true to leave them out"


def class_folders(folder: Path) -> None:
    """Six images of ants and six of bees in place of the CSV files."""
    shutil.rmtree(folder / "in")
    small.write_folders(folder / "in", _GREY, _LABELS)


def write_animation(path: Path) -> None:
    """A PNG file of three pictures."""
    first, *others = (Image.fromarray(image) for image in _GREY[:3])
    first.save(path, save_all=True, append_images=others)


def _keep(count: int) -> Callable[[Path], None]:
    """Remove the bees, and all ants but the first ones."""

    def change(folder: Path) -> None:
        shutil.rmtree(folder / "bee")
        for path in sorted(folder.glob("ant/*"))[count:]:
            path.unlink()

    return change


def _name_in_latin_1(folder: Path) -> None:
    (folder / "ant").rename(os.fsdecode(os.fsencode(folder) + b"/\xe4nt"))


def _add_comment_bomb(path: Path) -> None:
    """Give a PNG file a comment that unpacks to 64 MB."""
    content = path.read_bytes()
    header = 33  # bytes up to the end of its first chunk
    comment = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(64 << 20)))
    path.write_bytes(content[:header] + comment + content[header:])


def _of_folders(
    name: str, line: str, change: Callable[[Path], object], settings: Mapping[str, Any] | None = None
) -> Refused:
    spoil = in_turn(class_folders, lambda folder: change(folder / "in"))
    return Refused(name, "prepare", line, spoil, FOLDER | dict(settings or {}))


_FOLDERS = [
    _of_folders(
        "an animated image",
        "{}/in: found unreadable images, 1 of 13: ant/a.png (animated, 3 pictures)" + _UNREADABLE,
        lambda folder: write_animation(folder / "ant" / "a.png"),
    ),
    _of_folders(
        "an animated image, all unreadable ones to be left out, and no other image",
        "{}/in: found unreadable images, 1 of 1: ant/a.png (animated, 3 pictures), expected some that are whole",
        in_turn(_keep(0), lambda folder: write_animation(folder / "ant" / "a.png")),
        {"data.skip_unreadable": True},
    ),
    _of_folders(
        "a file of no bytes",
        "{}/in: found unreadable images, 1 of 13: ant/a.png (neither PNG nor JPEG)" + _UNREADABLE,
        lambda folder: (folder / "ant" / "a.png").touch(),
    ),
    _of_folders(
        "an image bomb: 3.6 billion pixels in 1 kB",
        "{}/in: found unreadable images, 1 of 13: ant/a.png (60000 × 60000 is more than data.max_pixels, 1000)"
        + _UNREADABLE,
        lambda folder: (folder / "ant" / "a.png").write_bytes(png_that_claims(60_000, 60_000)),
    ),
    _of_folders(
        "an image bomb: a comment of 64 MB in 64 kB",
        "{}/in: found unreadable images, 1 of 12: ant/00000.png (…)" + _UNREADABLE,
        lambda folder: _add_comment_bomb(folder / "ant" / "00000.png"),
    ),
    _of_folders(
        "folders in folders without an end to be seen",
        "{}/in/ant/a/a/a…/a: found a folder in 50 others, expected images of a class in fewer",
        lambda folder: (folder / "ant" / "/".join("a" * 60)).mkdir(parents=True),
    ),
    _of_folders(
        "links that lead to one folder twice",
        "{}/in/ant/two: found …/in/ant/one a second time in its class, expected links to other images",
        in_turn(
            lambda folder: (folder / "ant/one").mkdir(),
            lambda folder: (folder / "ant/two").symlink_to(folder / "ant/one"),
        ),
    ),
    _of_folders(
        "a class whose name clears the screen",
        "{}/in: found the name 'ant\\x1b[2J', expected names without control characters",
        lambda folder: (folder / "ant").rename(folder / "ant\x1b[2J"),
    ),
    _of_folders(
        "an image that links to itself",
        "{}/in/ant/a.png: found a link that leads back to itself, expected links to other images",
        lambda folder: link_to_itself(folder / "ant" / "a.png"),
    ),
    _of_folders(
        "a class folder that links to itself",
        "{}/in/cat: found a link that leads back to itself, expected links to other images",
        lambda folder: link_to_itself(folder / "cat"),
    ),
    _of_folders(
        "two class folders that link to each other",
        "{}/in/cat: found a link that leads back to itself, expected links to other images",
        in_turn(lambda folder: (folder / "cat").symlink_to("dog"), lambda folder: (folder / "dog").symlink_to("cat")),
    ),
    _of_folders(
        "grey and colour mixed",
        "{}/in: found 12 grey images, such as ant/00000.png, and 1 in colour, such as bee/c.png; expected one kind, or "
        "data.channels=1 to make all grey, 3 to keep colours",
        lambda folder: small.write_picture(folder / "bee" / "c.png", np.zeros((4, 4, 3), np.uint8)),
    ),
    _of_folders(
        "a name that is not UTF-8",
        "{}/in: found the name b'\\xe4nt', expected names in UTF-8",
        _name_in_latin_1,
    ),
    _of_folders(
        "one class",
        "{}/in/ant/…: found only one class, 'ant', expected at least two",
        lambda folder: shutil.rmtree(folder / "bee"),
    ),
    _of_folders(
        "one image",
        "{}/in/ant/00000.png: found the only image of class 'ant', expected at least two of each",
        _keep(1),
    ),
    _of_folders(
        "a class of one image",
        "{}/in/cat/0.png: found the only image of class 'cat', expected at least two of each",
        lambda folder: small.write_picture(folder / "cat" / "0.png", _GREY[0]),
    ),
    _of_folders(
        "a file in place of the folder",
        "{}/in: found a file, expected a folder of images",
        in_turn(shutil.rmtree, lambda folder: folder.write_text("words")),
    ),
    _of_folders(
        "a larger side than any image has",
        "{}/params.yaml: data.image_size: found 1000000, expected less than or equal to 8192",
        lambda folder: None,
        {"data.image_size": 10**6},
    ),
]


def idx_files(folder: Path) -> None:
    """Six training and two test images in place of the CSV files."""
    shutil.rmtree(folder / "in")
    for part, count in (("train", 6), ("t10k", 2)):
        small.write_idx(folder / "in", part, _GREY[:count], [0, 1] * (count // 2))


def _bomb(folder: Path) -> None:
    """4 GB of pixels, as the header says, in 4 MB."""
    file = folder / "train-images-idx3-ubyte"
    header = struct.pack(">4B3I", 0, 0, 8, 3, 1 << 18, 128, 128)
    file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(header) + 256 * gzip.compress(bytes(1 << 24)))
    file.unlink()


def _of_idx(name: str, line: str, change: Callable[[Path], object]) -> Refused:
    spoil = in_turn(idx_files, lambda folder: change(folder / "in"))
    return Refused(name, "prepare", line, spoil, {"data.source": "idx"})


_IDX = [
    _of_idx(
        "an IDX bomb",
        "{}/in/train-images-idx3-ubyte.gz: found … bytes in the first … of compressed data, expected at most 200 times "
        "as many; unpack the file if that is meant",
        _bomb,
    ),
    _of_idx(
        "a folder in place of an IDX file",
        "{}/in/t10k-labels-idx1-ubyte: found a folder, expected a file",
        in_place_of("t10k-labels-idx1-ubyte", Path.mkdir),
    ),
    _of_idx(
        "a pipe in place of an IDX file, which nobody writes to",
        "{}/in/train-labels-idx1-ubyte: found no ordinary file, expected a file",
        in_place_of("train-labels-idx1-ubyte", os.mkfifo),
    ),
    _of_idx(
        "a class of one image in IDX",
        "{}/in/train-labels-idx1-ubyte: label 6: found the only training image of class '2', expected at least two of "
        "each",
        lambda folder: (folder / "train-labels-idx1-ubyte").write_bytes(small.idx(np.array([0, 1, 0, 1, 0, 2]))),
    ),
]
CASES = [*_FOLDERS, *_IDX]
