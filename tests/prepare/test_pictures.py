"""PNG and JPEG files of every kind, and files that are none."""

import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from stages.prepare import pictures
from stages.prepare.pictures import Header, UnreadableError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


def decoded(path: Path, channels: int = 3, side: int | None = None) -> np.ndarray:
    return pictures.decode(str(path), 4000, channels, side)


def saved(folder: Path, image: Image.Image, ending: str = ".png", **options: Any) -> Path:
    path = folder / f"picture{ending}"
    image.save(path, **options)
    return path


def test_colours_and_grey_are_what_was_saved(tmp_path: Path) -> None:
    path = saved(tmp_path, PICTURE)
    assert pictures.header(str(path), 24) == Header(6, 4, grey=False)
    np.testing.assert_array_equal(decoded(path), PIXELS)
    np.testing.assert_array_equal(decoded(path, channels=1)[:, :, 0], np.asarray(PICTURE.convert("L")))


def test_grey_as_colour_has_three_equal_channels(tmp_path: Path) -> None:
    path = saved(tmp_path, PICTURE.convert("L"))
    assert pictures.header(str(path), 24).grey
    np.testing.assert_array_equal(decoded(path), np.repeat(decoded(path, channels=1), 3, axis=2))


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_as_exif_tells(tmp_path: Path, ending: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, PICTURE, ending, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decoded(path), expected)
    height, width, _ = expected.shape
    assert pictures.header(str(path), 24) == Header(height, width, grey=False)


def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    path = saved(tmp_path, Image.fromarray(values))
    assert pictures.header(str(path), 24).grey
    assert decoded(path, channels=1).ravel().tolist() == [0, 0, 1, 255]


def test_palettes_are_looked_up(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    assert decoded(saved(tmp_path, image)).tolist() == [[[10, 20, 30], [200, 100, 0]]]


def test_black_and_white_is_0_and_255(tmp_path: Path) -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert decoded(saved(tmp_path, image), channels=1).ravel().tolist() == [0, 255]


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (Image.new("RGBA", (1, 1), (0, 0, 0, 0)), {}, 255),
        (Image.new("RGBA", (1, 1), (0, 0, 0, 255)), {}, 0),
        (Image.new("LA", (1, 1), (0, 51)), {}, 204),
        (Image.new("L", (1, 1), 7), {"transparency": 7}, 255),
        (Image.new("L", (1, 1), 7), {"transparency": 8}, 7),
        (Image.new("P", (1, 1), 0), {"transparency": 0}, 255),
    ],
)
def test_what_is_transparent_lies_on_white(
    tmp_path: Path, image: Image.Image, options: dict[str, Any], expected: int
) -> None:
    assert decoded(saved(tmp_path, image, **options), channels=1).item() == expected


def test_printers_colours_become_red_green_and_blue(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("CMYK", (8, 8), (255, 0, 0, 0)), ".jpg")
    assert decoded(path)[4, 4].tolist() == [0, 255, 255]


def test_a_large_jpeg_is_the_same_picture_though_decoded_small(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 320).astype(np.uint8)
    image = Image.fromarray(np.stack(np.broadcast_arrays(ramp[None, :], ramp[::-1, None], np.uint8(90)), axis=2))
    found = pictures.decode(str(saved(tmp_path, image, ".jpg", quality=95)), 10**6, 3, 16)
    expected = np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(found - expected).max() <= 4


def test_a_jpeg_of_less_than_four_times_the_size_is_decoded_in_full(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), ".jpg")
    with Image.open(path) as image:
        expected = np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(decoded(path, side=16), expected)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_that_claims(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))


def cut(ending: str, share: float) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = saved(folder, PICTURE.resize((30, 30)), ending)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        return path

    return write


def of_bytes(content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "picture.png").write_bytes(content)
        return folder / "picture.png"

    return write


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (of_bytes(b""), "neither PNG nor JPEG"),
        (of_bytes(b"<svg/>"), "neither PNG nor JPEG"),
        (of_bytes(b"GIF89a\1\0\1\0\0\0\0;"), "neither PNG nor JPEG"),
        (cut(".png", 0.5), "image file is truncated"),
        (cut(".jpg", 0.8), "image file is truncated"),
        (of_bytes(png_that_claims(60_000, 60_000)), "60000 × 60000 is more than data.max_pixels, 4000"),
        (of_bytes(png_that_claims(20, 20)), "image file is truncated"),
        (lambda folder: folder / "missing.png", "No such file or directory"),
        (lambda folder: folder, "Is a directory"),
    ],
    ids=["empty", "text", "GIF", "PNG cut off", "JPEG cut off", "bomb", "PNG too short", "missing", "folder"],
)
def test_what_is_no_whole_image_is_unreadable_for_a_reason(
    tmp_path: Path, write: Callable[[Path], Path], reason: str
) -> None:
    path = write(tmp_path)
    with pictures.lenient(), pytest.raises(UnreadableError) as refused:
        decoded(path)
    assert str(refused.value).startswith(reason)
    assert str(tmp_path) not in str(refused.value)


def test_a_bomb_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = of_bytes(png_that_claims(60_000, 60_000))(tmp_path)
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    with pictures.lenient():
        with pytest.raises(UnreadableError, match="more than data.max_pixels"):
            pictures.header(str(path), 1000)
        with pytest.raises(UnreadableError, match="more than data.max_pixels"):
            decoded(path)


def test_limits_of_pillow_give_way_to_ours_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    path = of_bytes(png_that_claims(20_000, 20_000))(tmp_path)
    found = []
    with pictures.lenient():
        thread = threading.Thread(target=lambda: found.append(pictures.header(str(path), 10**9)))
        thread.start()
        thread.join()
    assert found == [Header(20_000, 20_000, grey=False)]
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_metadata_that_nobody_can_read_do_not_spoil_the_pixels(tmp_path: Path) -> None:
    path = saved(tmp_path, PICTURE, ".jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12")
    with pictures.lenient():
        with Image.open(path) as image:
            expected = np.asarray(image)
        np.testing.assert_array_equal(decoded(path), expected)
