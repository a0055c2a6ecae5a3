"""What looks odd and is read as it is meant, with a word where something of it does not stay."""

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages import store
from stages.command import main
from stages.train.targets import build
from tests.bad_input.csv_cases import rewrite
from tests.bad_input.folder_cases import FOLDER, class_folders
from tests.bad_input.table import in_turn, params
from tests.prepare import small
from tests.prepare.test_pictures import chunk


@dataclass(frozen=True)
class Read:
    """An input that prepare reads.

    Attributes:
        name: what is odd about it.
        spoil: changes valid CSV files in `in` of the folder that it is given.
        images: how many there are in all.
        channels: of each.
        classes: their names.
        settings: keys of the configuration that differ.
        said: a line on standard output; `{}` is the folder.
    """

    name: str
    spoil: Callable[[Path], object]
    images: int = 42
    channels: int = 1
    classes: tuple[str, ...] = ("0", "1", "2")
    settings: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""

    def __str__(self) -> str:
        return self.name


def _labels(*names: str) -> Callable[[Path], None]:
    """Let three classes have these names."""
    return in_turn(
        lambda folder: rewrite("train_labels.csv", ["label", *names * 10])(folder / "in"),
        lambda folder: rewrite("test_labels.csv", ["label", *names * 4])(folder / "in"),
    )


def _save(name: str, image: Image.Image, **options: Any) -> Callable[[Path], None]:
    return lambda folder: image.save(folder / "in" / name, **options)


_COLOUR = Image.new("RGB", (4, 4), (200, 100, 0))
_SIXTEEN = Image.fromarray(np.full((4, 4), 40_000, np.uint16))


def _write_sixteen_bits_of_colour(folder: Path) -> None:
    """Which Pillow reads and does not write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(4 * bytes(1 + 4 * 3 * 2)))
    (folder / "in/bee/d.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""))


_ANTS_AND_BEES: dict[str, Any] = {"images": 13, "classes": ("ant", "bee"), "settings": FOLDER}

CASES = [
    Read("nothing", lambda folder: None),
    Read(
        "every image twice",
        lambda folder: small.write(
            folder / "in/train_images.csv", small.lines(np.repeat(small.images(15), 2, axis=0), small.header())
        ),
    ),
    Read("labels beyond 32 bits", _labels("4294967296", "2147483648", "7"), classes=("7", "2147483648", "4294967296")),
    Read("labels of 5,000 digits", _labels("2" * 5000, "1", "3"), classes=("1", "2" * 5000, "3")),
    Read("labels in digits of another script", _labels("٣", "٢", "١"), classes=("١", "٢", "٣")),
    Read("an inch in a label", _labels('5"', "ant", "bee"), classes=('5"', "ant", "bee")),
    Read(
        "grey and colour mixed, to be grey",
        in_turn(class_folders, _save("bee/c.png", _COLOUR)),
        **_ANTS_AND_BEES | {"settings": FOLDER | {"data.channels": 1}},
    ),
    Read(
        "grey and colour mixed, to be in colour",
        in_turn(class_folders, _save("bee/c.png", _COLOUR)),
        channels=3,
        **_ANTS_AND_BEES | {"settings": FOLDER | {"data.channels": 3}},
    ),
    Read(
        "16 bits of grey",
        in_turn(class_folders, _save("bee/c.png", _SIXTEEN)),
        said="{}/in: converted 1 of 13 images: 1 from 16 bits",
        **_ANTS_AND_BEES,
    ),
    Read(
        "16 bits and CMYK",
        in_turn(
            class_folders,
            _save("ant/c.jpg", _COLOUR.convert("CMYK")),
            _save("bee/c.png", _SIXTEEN),
            _write_sixteen_bits_of_colour,
        ),
        channels=3,
        said="{}/in: converted 3 of 15 images: 2 from 16 bits, 1 from CMYK",
        **_ANTS_AND_BEES | {"images": 15, "settings": FOLDER | {"data.channels": 3}},
    ),
    Read(
        "a photo with a preview behind it",
        in_turn(
            class_folders,
            _save("ant/c.jpg", _COLOUR.convert("L"), format="MPO", save_all=True, append_images=[_COLOUR.convert("L")]),
        ),
        **_ANTS_AND_BEES,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_read_as_meant(case: Read, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    small.write_four(tmp_path / "in")
    case.spoil(tmp_path)
    (tmp_path / "params.yaml").write_text(params(tmp_path, case.settings), encoding="utf-8")
    main("prepare", ["--params", str(tmp_path / "params.yaml")])
    prepared = tmp_path / "data/prepared"
    splits = ("train", "validation", "test")
    images = [store.load_array(prepared / f"{split}_images.npy", np.uint8, 4) for split in splits]
    assert sum(map(len, images)) == case.images
    assert {part.shape[1:] for part in images} == {(4, 4, case.channels)}
    assert store.load_json(prepared / "classes.json") == list(case.classes)
    said, written = capfd.readouterr()
    assert written == ""
    assert said.splitlines()[:-1] == ([case.said.format(tmp_path)] if case.said else [])


@pytest.mark.parametrize("name", ["TripletHardLoss", "TripletSemiHardLoss", "TripletBatchAllLoss"])
def test_a_margin_of_0_is_a_margin(name: str) -> None:
    loss = build({"_target_": f"stages.train.losses.{name}", "margin": 0}, "loss")
    rows = np.eye(4, dtype=np.float32)
    assert np.isfinite(float(loss(np.array([0, 0, 1, 1]), rows)))
