"""The gallery: it shows the images that are worst, says what they are, and bears any input."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from PIL import Image

from stages import config, palette
from stages.embedded import Split
from stages.render import gallery, sheet, worst
from tests import small

NAMES = ["zero", "a class with a rather long name", "$\\no{2}$", "three\nlines"]
FILES = ["worst_queries.png", "hardest_positives.png", "hardest_negatives.png"]


def coloured(rows, height=8, width=8):
    """Images in one colour, from which the row can be read."""
    images = np.zeros((rows, height, width, 3), np.uint8)
    images[..., 0], images[..., 1], images[..., 2] = np.arange(rows)[:, None, None], 255, 40
    return images


def embedded(rows=40, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = (np.arange(rows) % classes).astype(np.int32)
    points = (rng.normal(size=(rows, 3)) + labels[:, None]).astype(np.float32)
    return Split(coloured(rows), labels, points, points)


def draw(folder, split, *overrides, known=(0, 1, 2, 3)):
    render = small.settings(folder, *overrides).render
    return gallery.draw(folder, split, np.array(known), NAMES, render, workers=2)


def shown_rows(path):
    """How often each image of `coloured` fills a cell of the picture."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    rows = pixels[(pixels[:, 1] == 255) & (pixels[:, 2] == 40), 0]
    values, counts = np.unique(rows, return_counts=True)
    area = (sheet.CELL // 8 * 8) ** 2
    assert (counts % area == 0).all()
    return {int(row): int(count) // area for row, count in zip(values, counts, strict=True)}


def counted(rows):
    return {row: rows.count(row) for row in rows}


def texts(drawn):
    return [text.get_text() for text in drawn._figure.texts]


def cast_of(split, known=(0, 1, 2, 3)):
    unseen = frozenset(set(split.labels.tolist()) - set(known))
    return gallery.Cast(split.images, split.labels, NAMES, unseen)


def test_pictures_show_the_images_that_were_found(tmp_path):
    split = embedded()
    queries, positives, negatives = draw(tmp_path, split, "render.gallery=7")
    assert [path.name for path in (queries, positives, negatives)] == FILES
    found = worst.find(split.trained, split.labels, 7)
    around = [
        row
        for q in found.queries
        for row in [q.row, q.positive.row, q.negative.row, *(other.row for other in q.nearest)]
    ]
    assert len(around) == 7 * 8
    assert shown_rows(queries) == counted(around)
    assert shown_rows(positives) == counted([row for pair in found.positives for row in pair.rows])
    assert shown_rows(negatives) == counted([row for pair in found.negatives for row in pair.rows])


def test_frames_and_marks_tell_own_class_from_others():
    split = embedded()
    found = worst.find(split.trained, split.labels, 7)
    drawn = gallery._queries(found, cast_of(split))
    right = [
        split.labels[n.row] == split.labels[q.row] for q in found.queries for n in [*q.nearest, q.positive, q.negative]
    ]
    assert 7 < sum(right) < len(right)
    marks = [text[0] for text in texts(drawn) if text.startswith(("✓ ", "✗ "))]
    assert marks == ["✓" if own else "✗" for own in right]
    frames = [to_hex(border.get_edgecolor()).upper() for border in drawn._figure.findobj(Rectangle)[1:]]  # [0]: page
    assert [frame for frame in frames if frame != palette.GREY] == [
        palette.GREEN if own else palette.VERMILION for own in right
    ]


def test_captions_name_class_row_and_distance():
    split = embedded()
    found = worst.find(split.trained, split.labels, 1)
    lines = texts(gallery._pairs(found.negatives, cast_of(split), "Title", "order", "none"))
    left, right = found.negatives[0].rows
    assert f"1.  distance {found.negatives[0].distance:.4g}" in lines
    assert f"#{left}" in lines
    assert f"#{right}" in lines
    query = found.queries[0]
    lines = texts(gallery._queries(found, cast_of(split)))
    assert f"rank {query.rank}" in lines
    assert any(line.startswith(f"#{query.nearest[0].row} · {query.nearest[0].distance:.3f}"[:8]) for line in lines)


def test_only_classes_that_training_lacks_are_marked_unseen():
    split = embedded()
    found = worst.find(split.trained, split.labels, 6)
    lines = texts(gallery._pairs(found.positives, cast_of(split, known=(1, 3)), "Title", "order", "none"))
    expected = [int(split.labels[row]) in (0, 2) for pair in found.positives for row in pair.rows]
    assert 0 < sum(expected) < len(expected)
    assert lines.count("unseen") == sum(expected)
    assert "held out of training" in " ".join(lines)
    assert not any("unseen" in line for line in texts(gallery._pairs(found.positives, cast_of(split), "T", "o", "n")))


def test_captions_are_never_wider_than_their_column():
    page = sheet.Sheet("Title", [], 400, 300)
    lines = ["W" * 5000, "i" * 5000, "automobile and truck", "short", "", "W"]
    page.image(coloured(1)[0], 0, 0, lines)
    renderer = page._canvas.get_renderer()
    captions = page._figure.texts[1:]
    assert max(text.get_window_extent(renderer).width for text in captions) <= sheet.COLUMN
    assert [text.get_text() for text in captions[3:]] == lines[3:]
    shortened = captions[2].get_text()
    assert shortened[:5] == "autom"
    assert shortened[-5:] == "truck"
    assert "…" in shortened


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (32, 32), (5, 9), (64, 40)])
def test_small_images_are_enlarged_pixel_by_pixel(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 1)).astype(np.uint8)
    shown = sheet._fitted(image)
    factor = sheet.CELL // max(shape)
    assert max(shown.shape) <= sheet.CELL < max(shown.shape) + max(shape)
    for colour in range(3):
        np.testing.assert_array_equal(shown[..., colour], np.kron(image[..., 0], np.ones((factor, factor), int)))


@pytest.mark.parametrize("shape", [(224, 224), (141, 20), (300, 150)])
def test_large_images_are_reduced_to_a_cell(shape):
    image = np.full((*shape, 3), (10, 200, 90), np.uint8)
    shown = sheet._fitted(image)
    assert max(shown.shape) == sheet.CELL
    assert shown.shape[0] * shape[1] == pytest.approx(shown.shape[1] * shape[0], rel=0.03)
    assert (shown == (10, 200, 90)).all()


@pytest.mark.parametrize(
    ("labels", "points", "shown"),
    [
        ([], np.zeros((0, 3)), [0, 0, 0]),
        ([2], np.zeros((1, 3)), [0, 0, 0]),
        ([1, 1, 1, 1], np.arange(4.0)[:, None], [0, 4, 0]),
        ([0, 1, 2, 3], np.arange(4.0)[:, None], [0, 0, 4]),
        ([0, 0, 1, 3], np.arange(4.0)[:, None], [2 * 6, 2, 4]),
        ([0, 0, 1, 1, 2, 2, 3, 3], np.ones((8, 2)), [8 * 8, 8, 8]),
    ],
    ids=["none", "one image", "one class", "singletons", "some singletons", "constant"],
)
def test_degenerate_inputs_give_pictures_that_say_so(labels, points, shown, tmp_path):
    labels, points = np.array(labels, np.int32), points.astype(np.float32)
    split = Split(coloured(len(labels)), labels, points, points)
    files = draw(tmp_path, split, "render.gallery=12")
    assert [sum(shown_rows(path).values()) for path in files] == shown
    found = worst.find(points, labels, 12)
    for lines, count in (
        (gallery._verdict(found, cast_of(split)), shown[0]),
        (texts(gallery._pairs(found.positives, cast_of(split), "T", "o", "There is no pair")), shown[1]),
    ):
        assert (count == 0) == any("There is no" in line for line in lines)


def test_title_counts_wrong_and_left_out_queries():
    points = np.array([[0.0], [1.0], [10.0], [11.0], [50.0]], np.float32)
    labels = np.array([0, 0, 1, 1, 2], np.int32)
    split = Split(coloured(5), labels, points, points)
    lines = " ".join(gallery._verdict(worst.find(points, labels, 3), cast_of(split)))
    assert "None of 4 queries is wrong" in lines
    assert "closest to being wrong" in lines
    assert "no other is of their class: 1." in lines
    labels = np.array([0, 0, 1, 0, 1], np.int32)
    lines = " ".join(gallery._verdict(worst.find(points, labels, 4), cast_of(split)))
    assert "3 of 5 queries are wrong" in lines
    assert "After these 3" in lines


def test_number_of_rows_is_bounded_by_what_a_picture_can_hold():
    [most] = (bound.le for bound in config.Render.model_fields["gallery"].metadata if hasattr(bound, "le"))
    assert most * (sheet.ROW + 60) < 2**16  # Matplotlib draws fewer pixels than that either way


def test_equal_settings_give_equal_bytes(tmp_path):
    split = embedded()
    first = [path.read_bytes() for path in draw(tmp_path / "a", split, "render.gallery=3")]
    assert first == [path.read_bytes() for path in draw(tmp_path / "b", split, "render.gallery=3")]
    for path in (tmp_path / "a").iterdir():
        with Image.open(path) as picture:
            assert set(picture.info) <= {"dpi"}


def test_images_may_stay_on_the_disk(tmp_path):
    split = embedded()
    grey = split.images[..., :1].copy()
    np.save(tmp_path / "images.npy", grey)
    mapped = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), split.labels, split.trained, split.trained)
    in_memory = Split(grey, split.labels, split.trained, split.trained)
    left, right = (
        draw(tmp_path / name, images, "render.gallery=2") for name, images in (("a", mapped), ("b", in_memory))
    )
    assert [path.read_bytes() for path in left] == [path.read_bytes() for path in right]
