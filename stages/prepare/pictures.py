"""PNG and JPEG files: what their headers say, and their pixels as arrays.

Colour profiles are ignored. Grey values of 16 bits keep the upper eight, as Pillow does with colours of 16 bits. Where
a picture is transparent it lies on white, for what is drawn on nothing is mostly dark. CMYK becomes RGB by Pillow's
formula.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from stages.prepare.resizing import square

_FORMATS = ("PNG", "JPEG")  # by content, whatever the file is called
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B")
_TURNS = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FAULTS = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error)
"""What Pillow raises on files that are no whole image."""


class UnreadableError(Exception):
    """A file that is no whole PNG or JPEG image, or one that is too large; the message is the reason."""


class Header(NamedTuple):
    """What is known of an image before it is decoded: its size in pixels as it is looked at, and if it is grey.

    `converted` names what of it does not stay: `CMYK` or `16 bits`; None for most.
    """

    height: int
    width: int
    grey: bool
    converted: str | None = None


@contextmanager
def lenient() -> Iterator[None]:
    """Within it Pillow has no limit of its own on the number of pixels, and does not warn of odd metadata.

    Both are settings of the process: threads that decode are started and ended within.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def header(path: str, max_pixels: int) -> Header:
    """Read a file's header.

    Raises:
        UnreadableError: it is neither PNG nor JPEG, is animated, or has more than `max_pixels`.
    """
    with _opened(path, max_pixels) as image:
        width, height = reversed(image.size) if _orientation(image) >= 5 else image.size
        return Header(height, width, image.mode in _GREY, _converted(image))


def decode(path: str, max_pixels: int, channels: int, side: int | None) -> np.ndarray:
    """Decode a file, turned as its EXIF orientation says.

    Args:
        path: the file.
        max_pixels: a larger image is not decoded.
        channels: 1 for grey (ITU-R 601-2 luma), 3 for red, green and blue.
        side: if given, the largest square in the middle is resized to as many pixels a side.

    Returns:
        uint8 `[H, W, channels]`.

    Raises:
        UnreadableError: it is no whole PNG or JPEG image, is animated, or has more than `max_pixels`.
    """
    with _opened(path, max_pixels) as image, _faults_as_unreadable():
        turn = _TURNS.get(_orientation(image))
        if side is not None:
            # JPEG is decoded at a half, a quarter or an eighth where that leaves twice the size that is wanted.
            image.draft(None, (2 * side, 2 * side))
        upright = image if turn is None else image.transpose(turn)
        pixels = _opaque(upright).convert("L" if channels == 1 else "RGB")
        if side is not None:
            pixels = square(pixels, side)
        return np.asarray(pixels).reshape(pixels.height, pixels.width, channels)


@contextmanager
def _opened(path: str, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    with _faults_as_unreadable():
        image = Image.open(path, formats=_FORMATS)
    with image:
        pixels = image.width * image.height
        if pixels > max_pixels:
            raise UnreadableError(f"{image.width} × {image.height} is more than data.max_pixels, {max_pixels}")
        # Not so a JPEG of several pictures: of a photo the others are a preview or a map of depths.
        if image.format == "PNG" and getattr(image, "is_animated", False):
            raise UnreadableError(f"animated, {getattr(image, 'n_frames', 0)} pictures")
        yield image


@contextmanager
def _faults_as_unreadable() -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError:
        raise UnreadableError("neither PNG nor JPEG") from None
    except _FAULTS as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableError(" ".join(reason.split())) from None


def _converted(image: ImageFile.ImageFile) -> str | None:
    if image.mode == "CMYK":
        return image.mode
    raw = " ".join(str(tile.args) for tile in image.tile)  # the mode alone tells it of grey images only
    return "16 bits" if ";16" in raw else None


def _orientation(image: Image.Image) -> int:
    """1 to 8 by EXIF, before decoding: a PNG that has it behind its pixels would be decoded to look for it."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _FAULTS:  # metadata that nobody can read do not spoil the pixels
        return 1
    return value if value in range(1, 9) else 1


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip at 255.
        return Image.fromarray((np.asarray(image).astype(np.int32) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
