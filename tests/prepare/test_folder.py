"""Class folders: where images may lie, what is ignored, what is refused, what is skipped."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages import config, store
from stages.errors import UserError
from stages.prepare.images import Images
from stages.prepare.labelled import Labelled
from stages.prepare.readers import folder as reader
from stages.prepare.readers.folder_images import Reading
from stages.prepare.stage import run
from tests.prepare import small

PLAIN = Reading(side=None, channels=None, max_pixels=1000, skip_unreadable=False, workers=2)
GREY = small.images(6).reshape(6, 4, 4)
COLOUR = np.repeat(GREY[..., None], 3, axis=3)
LABELS = ["ant", "ant", "ant", "bee", "bee", "bee"]


def pixels(part: Labelled[Images] | None) -> np.ndarray:
    assert part is not None
    return part.images[np.arange(len(part.images))]


def words(part: Labelled[Images] | None) -> list[str]:
    assert part is not None
    return [part.names[code] for code in part.codes]


def test_train_and_test_or_train_alone_or_classes_alone(tmp_path: Path) -> None:
    small.write_folders(tmp_path / "classes", GREY, LABELS)
    small.write_folders(tmp_path / "alone" / "train", GREY, LABELS)
    small.write_folders(tmp_path / "both" / "train", GREY, LABELS)
    small.write_folders(tmp_path / "both" / "test", GREY[:4], LABELS[:4])
    for name in ("classes", "alone", "both"):
        train, test = reader.read(tmp_path / name, PLAIN)
        np.testing.assert_array_equal(pixels(train)[..., 0], GREY)
        assert words(train) == LABELS
        if name == "both":
            np.testing.assert_array_equal(pixels(test)[..., 0], GREY[:4])
            assert words(test) == LABELS[:4]
        else:
            assert test is None


def test_folders_called_train_and_test_that_hold_images_are_classes(tmp_path: Path) -> None:
    labels = ["car", "car", "test", "test", "train", "train"]
    small.write_folders(tmp_path, GREY, labels)
    train, test = reader.read(tmp_path, PLAIN)
    assert (words(train), test) == (labels, None)


def test_order_is_that_of_paths_and_their_endings_may_be_in_capitals(tmp_path: Path) -> None:
    for place, name in enumerate(["b/0.PNG", "a/x/1.png", "a/10.png", "a/2.png", "B/7.jpeg", "B/6.JPG"]):
        path = tmp_path / name
        small.write_picture(path, np.full((4, 4), 40 * place, np.uint8))
    train, _ = reader.read(tmp_path, PLAIN)
    assert [train.place(row) for row in range(6)] == [
        str(tmp_path / name) for name in ["B/6.JPG", "B/7.jpeg", "a/10.png", "a/2.png", "a/x/1.png", "b/0.PNG"]
    ]
    assert pixels(train)[:, 0, 0, 0].tolist() == [200, 160, 80, 120, 40, 0]
    assert train.names == ["B", "a", "b"]


@pytest.mark.parametrize(
    ("last", "channels", "expected"), [(GREY, None, 1), (COLOUR, 3, 3), (GREY, 3, 3), (COLOUR, 1, 1)]
)
def test_grey_if_all_are_grey_and_mixed_only_as_told(
    tmp_path: Path, last: np.ndarray, channels: int | None, expected: int
) -> None:
    small.write_folders(tmp_path / "train", GREY, LABELS)
    small.write_folders(tmp_path / "test", last[:2], LABELS[:2])
    parts = reader.read(tmp_path, Reading(None, channels, 1000, skip_unreadable=False, workers=2))
    for part, count in zip(parts, (6, 2), strict=True):
        np.testing.assert_array_equal(pixels(part), np.repeat(GREY[:count, ..., None], expected, axis=3))


def test_sizes_that_differ_are_resized(tmp_path: Path) -> None:
    small.write_folders(tmp_path, GREY, LABELS)
    small.write_picture(tmp_path / "bee" / "wide.png", np.full((5, 30), 90, np.uint8))
    train, _ = reader.read(tmp_path, Reading(4, None, 1000, skip_unreadable=False, workers=2))
    np.testing.assert_array_equal(pixels(train)[:6, ..., 0], GREY)
    np.testing.assert_array_equal(pixels(train)[6], np.full((4, 4, 1), 90))


def test_what_is_ignored_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small.write_folders(tmp_path / "train", GREY, LABELS)
    small.write_folders(tmp_path / "train" / ".thumbnails", GREY, LABELS)
    small.write_folders(tmp_path / "valid", GREY, LABELS)
    for name in (
        "train/.DS_Store",
        "train/ant/._00000.png",
        "train/ant/Thumbs.db",
        "train/bee/notes.txt",
        "train/a.csv",
    ):
        (tmp_path / name).write_text("no image")
    (tmp_path / "train" / "cat").mkdir()
    train, _ = reader.read(tmp_path, PLAIN)
    assert words(train) == LABELS
    assert capsys.readouterr().out == (
        f"{tmp_path}: ignored class folders without an image (cat), files beside the class folders (a.csv), files that "
        "are not called .png, .jpg or .jpeg (2, such as Thumbs.db), folders beside train (valid), hidden files and "
        "folders (3, such as .DS_Store)\n"
        f"{tmp_path}: found no folder test with class folders, so that test images are split off from train\n"
    )


@pytest.mark.parametrize(("training", "testing"), [("Training", "Testing"), ("TRAIN", "Test"), ("train", "testing")])
def test_train_and_test_may_have_other_names(tmp_path: Path, training: str, testing: str) -> None:
    small.write_folders(tmp_path / training, GREY, LABELS)
    small.write_folders(tmp_path / testing, GREY[:4], LABELS[:4])
    train, test = reader.read(tmp_path, PLAIN)
    assert (words(train), words(test)) == (LABELS, LABELS[:4])
    assert train.files == [f"{training}/"]


def test_an_image_beside_its_class_folders_makes_no_class_of_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small.write_folders(tmp_path / "train", GREY, LABELS)
    small.write_picture(tmp_path / "train" / "preview.png", GREY[0])
    small.write_folders(tmp_path / "valid", GREY, LABELS)
    train, test = reader.read(tmp_path, PLAIN)
    assert (words(train), test) == (LABELS, None)
    assert capsys.readouterr().out == (
        f"{tmp_path}: ignored files beside the class folders (preview.png), folders beside train (valid)\n"
        f"{tmp_path}: found no folder test with class folders, so that test images are split off from train\n"
    )


def test_test_images_without_classes_are_told_and_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small.write_folders(tmp_path / "train", GREY, LABELS)
    small.write_picture(tmp_path / "test" / "1.png", GREY[0])
    _, test = reader.read(tmp_path, PLAIN)
    assert test is None
    assert capsys.readouterr().out == (
        f"{tmp_path}: ignored folders beside train (test)\n"
        f"{tmp_path}: found no folder test with class folders, so that test images are split off from train\n"
    )


def test_it_is_told_where_no_image_lies_in_a_class_folder_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("seg_train", "seg_test"):
        small.write_folders(tmp_path / name / name, GREY, LABELS)
    train, _ = reader.read(tmp_path, PLAIN)
    assert train.names == ["seg_test", "seg_train"]
    assert capsys.readouterr().out == (
        f"{tmp_path}: took seg_test, seg_train for classes; their images lie in folders of these: "
        "seg_test/seg_test/ant/00000.png\n"
    )


def test_names_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small.write_folders(tmp_path, GREY, LABELS)
    (tmp_path / "ant" / "\x1b[2Ja\nb").write_text("no image")
    reader.read(tmp_path, PLAIN)
    said = "ignored files that are not called .png, .jpg or .jpeg (�[2Ja�b)"
    assert capsys.readouterr().out == f"{tmp_path}: {said}\n"


def test_nothing_is_said_where_nothing_is_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small.write_folders(tmp_path, GREY, LABELS)
    reader.read(tmp_path, PLAIN)
    assert capsys.readouterr() == ("", "")


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    small.write_folders(tmp_path / "in", GREY, LABELS)
    (tmp_path / "in" / "ant" / "again.png").symlink_to("../bee/00003.png")
    (tmp_path / "in" / "cat").symlink_to("bee")
    (tmp_path / "link").symlink_to("in")
    for folder in (tmp_path / "in", tmp_path / "link"):
        train, _ = reader.read(folder, PLAIN)
        assert words(train) == ["ant"] * 4 + ["bee"] * 3 + ["cat"] * 3
        np.testing.assert_array_equal(pixels(train)[3, ..., 0], GREY[3])


@pytest.mark.parametrize("link", ["in/train/ant/out.png", "in/train/cat", "in/train/ant/more", "in/test", "in/train"])
def test_links_that_lead_out_are_refused(tmp_path: Path, link: str) -> None:
    small.write_folders(tmp_path / "outside", GREY, LABELS)
    if link != "in/train":
        small.write_folders(tmp_path / "in" / "train", GREY, LABELS)
    (tmp_path / "in").mkdir(exist_ok=True)
    target = tmp_path / "outside" / ("ant/00000.png" if link.endswith(".png") else "")
    (tmp_path / link).symlink_to(os.path.relpath(target, (tmp_path / link).parent))
    with pytest.raises(UserError) as refused:
        reader.read(tmp_path / "in", PLAIN)
    assert str(refused.value) == (
        f"{tmp_path / link}: found a link to {target.resolve()}, "
        f"expected links that stay in {(tmp_path / 'in').resolve()}"
    )


@pytest.mark.parametrize(("link", "target"), [("ant/loop", "."), ("ant/loop", ".."), ("ant/bees", "../bee")])
def test_links_that_lead_back_are_refused(tmp_path: Path, link: str, target: str) -> None:
    small.write_folders(tmp_path, GREY, LABELS)
    (tmp_path / "bee" / "ants").symlink_to("../ant")
    (tmp_path / link).symlink_to(target)
    with pytest.raises(UserError, match="found a link that leads back to .*, expected links to other images$"):
        reader.read(tmp_path, PLAIN)


def spoil(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes((folder / name).read_bytes()[:50])


def write_bomb(folder: Path) -> None:
    small.write_picture(folder / "ant" / "large.png", np.zeros((40, 30), np.uint8))


def spoil_and_add_text(folder: Path) -> None:
    spoil(folder, "ant/00001.png")
    (folder / "bee" / "a.png").write_text("no image")


REFUSALS: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "cut off",
        lambda folder: spoil(folder, "ant/00001.png", "bee/00004.png"),
        "{}: found unreadable images, 2 of 6: ant/00001.png (image file is truncated), "
        "bee/00004.png (image file is truncated); expected whole PNG or JPEG images, or data.skip_unreadable=true to "
        "leave them out",
    ),
    (
        "no image, and one cut off",
        spoil_and_add_text,
        "{}: found unreadable images, 2 of 7: ant/00001.png (image file is truncated), "
        "bee/a.png (neither PNG nor JPEG); expected whole",
    ),
    (
        "too large",
        write_bomb,
        "{}: found unreadable images, 1 of 7: ant/large.png (30 × 40 is more than data.max_pixels, 1000); expected",
    ),
    (
        "link that leads nowhere",
        lambda folder: (folder / "ant" / "a.png").symlink_to("b.png"),
        "{}: found unreadable images, 1 of 7: ant/a.png (No such file or directory); expected",
    ),
    (
        "sizes",
        lambda folder: small.write_picture(folder / "bee" / "wide.png", np.zeros((5, 30), np.uint8)),
        "{}: found images of 2 sizes (height × width), such as 4 × 4 (ant/00000.png) and 5 × 30 (bee/wide.png); "
        "expected one size, or data.image_size to resize to (the shortest side is 4)",
    ),
]


@pytest.mark.parametrize(("spoil", "message"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_refused_in_one_line_with_no_file_left_behind(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    small.write_folders(folder, GREY, LABELS)
    spoil(folder)
    with pytest.raises(UserError) as refused:
        run(small.folder_data(folder, max_pixels=1000, test=0.4), small.paths(out), seed=0, threads=2)
    assert str(refused.value).startswith(message.format(folder))
    assert "\n" not in str(refused.value)
    assert [file for file in out.rglob("*") if file.is_file()] == []


def test_many_unreadable_files_are_listed_in_lines_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small.write_folders(tmp_path, GREY, LABELS)
    for number in range(12):
        (tmp_path / "ant" / f"x{number:02}.png").write_text("no image")
    with pytest.raises(UserError) as refused:
        reader.read(tmp_path, PLAIN)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path}: found unreadable images, 12 of 18: ant/x00.png (neither PNG nor JPEG), ")
    assert "ant/x09.png (neither PNG nor JPEG), …; expected" in message
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/ant/x{number:02}.png: neither PNG nor JPEG" for number in range(12)
    ]


def test_unreadable_files_are_skipped_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small.write_folders(tmp_path, GREY, LABELS)
    small.write_folders(tmp_path, GREY[:1], ["cat"])
    spoil(tmp_path, "ant/00001.png", "cat/00000.png")
    write_bomb(tmp_path)
    train, _ = reader.read(tmp_path, Reading(None, None, 1000, skip_unreadable=True, workers=2))
    assert words(train) == ["ant", "ant", "bee", "bee", "bee"]
    assert train.names == ["ant", "bee"]
    np.testing.assert_array_equal(pixels(train)[..., 0], GREY[[0, 2, 3, 4, 5]])
    assert capsys.readouterr().out == (
        f"{tmp_path}: skipped unreadable images, 3 of 8: ant/00001.png (image file is truncated), "
        "ant/large.png (30 × 40 is more than data.max_pixels, 1000), cat/00000.png (image file is truncated)\n"
    )


def test_all_files_that_were_skipped_are_in_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    small.write_folders(folder, small.images(60).reshape(60, 4, 4), small.labels(60))
    names = [f"0/x{number:02}.png" for number in range(12)]
    for name in names:
        (folder / name).write_text("no image")
    run(small.folder_data(folder, skip_unreadable=True), small.paths(tmp_path), seed=0, threads=2)
    summary = tmp_path / "prepared" / "summary.json"
    assert store.load_json(summary)["skipped"] == dict.fromkeys(names, "neither PNG nor JPEG")
    assert "x09.png (neither PNG nor JPEG), …; summary.json has all\n" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_without_a_readable_image_is_refused(tmp_path: Path, part: str) -> None:
    for name in ("train", "test"):
        small.write_folders(tmp_path / name, GREY, LABELS)
    spoil(tmp_path / part, *(f"{label}/{number:05}.png" for number, label in enumerate(LABELS)))
    with pytest.raises(UserError) as refused:
        reader.read(tmp_path, Reading(None, None, 1000, skip_unreadable=True, workers=2))
    assert str(refused.value) == f"{tmp_path / part}: found no readable image, expected some that are whole"


def write_train_and_an_empty_test(folder: Path) -> None:
    small.write_folders(folder / "train", GREY, LABELS)
    (folder / "test").mkdir()


def write_two_trains(folder: Path) -> None:
    for name in ("train", "Train"):
        small.write_folders(folder / name, GREY, LABELS)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder: None, "{}: no such folder, expected one of images"),
        (
            lambda folder: small.write_folders(folder / "test", GREY, LABELS),
            "{}: found test and no train, expected both, or a folder for each class",
        ),
        (
            lambda folder: small.write_folders(folder / "unpacked", GREY, LABELS),
            "{}: found one folder, unpacked, with folders of images; expected data.path={}/unpacked",
        ),
        (
            write_two_trains,
            "{}: found Train and train, expected one of them",
        ),
        (
            write_train_and_an_empty_test,
            "{}/test: found no .png, .jpg or .jpeg file in a class folder, expected test/<class>/<image>",
        ),
        (
            lambda folder: small.write_picture(folder / "a.png", GREY[0]),
            "{}: found no .png, .jpg or .jpeg file in a class folder, expected in/<class>/<image>",
        ),
    ],
    ids=["missing", "test alone", "one folder more", "two trains", "empty test", "no class"],
)
def test_folders_of_another_layout(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    write(tmp_path / "in")
    with pytest.raises(UserError) as refused:
        reader.read(tmp_path / "in", PLAIN)
    assert str(refused.value) == message.format(tmp_path / "in", tmp_path / "in")


def test_conf_describes_a_folder_that_needs_no_more_than_its_path(tmp_path: Path) -> None:
    small.write_folders(tmp_path / "in", small.images(60).reshape(60, 4, 4), small.labels(60))
    composed = config.compose(["data=folder", f"data.path={tmp_path / 'in'}"])
    run(config.parse(composed, "conf").data, small.paths(tmp_path), seed=0, threads=2)
    counts = [len(np.load(tmp_path / "prepared" / f"{split}_labels.npy")) for split in ("train", "validation", "test")]
    assert counts == [43, 5, 12] or counts == [44, 4, 12]
