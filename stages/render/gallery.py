"""Pictures of the worst on the test images: queries with wrong neighbours, hardest positives, hardest negatives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages import config, naming, palette
from stages.embedded import Split
from stages.render import worst
from stages.render.sheet import CELL, COLUMN, LINE, ROW, Sheet

FILES = ("worst_queries.png", "hardest_positives.png", "hardest_negatives.png")
ACROSS = 3  # pairs side by side
GUTTER = 40  # pixels between groups of images
FRAME = 6  # pixels


@dataclass(frozen=True)
class Cast:
    """The test images and what captions say of them.

    Attributes:
        images: uint8 `[N, H, W, C]`.
        labels: int `[N]`, indices into `classes`.
        classes: the names.
        unseen: the labels that training did not have.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]
    unseen: frozenset[int]

    def name(self, row: int) -> str:
        """The class in one line."""
        return naming.one_line(self.classes[self.labels[row]])

    def status(self, row: int) -> str:
        """A word where training did not have the class, else nothing."""
        return "unseen" if int(self.labels[row]) in self.unseen else ""

    def key(self) -> str:
        """What the captions mean."""
        meaning = "#: row in the test split. Distances are Euclidean, between trained embeddings."
        return meaning + " unseen: held out of training." * bool(self.unseen)


def draw(
    folder: Path, test: Split, train_labels: np.ndarray, classes: Sequence[str], settings: config.Render, workers: int
) -> list[Path]:
    """Draw `FILES`; returns them.

    Args:
        folder: where to.
        test: the images, each a query among all others, and their trained embedding.
        train_labels: int `[M]`; classes of test that are not in it are marked as unseen.
        classes: names by label.
        settings: `gallery` is how many queries or pairs a picture shows, fewer where there are fewer.
        workers: how many threads look for them.
    """
    found = worst.find(test.trained, test.labels, settings.gallery, workers)
    unseen = frozenset(np.setdiff1d(test.labels, train_labels).tolist())
    cast = Cast(test.images, test.labels, classes, unseen)
    sheets = (
        _queries(found, cast),
        _pairs(
            found.positives,
            cast,
            "Hardest positives",
            "Pairs of one class that lie farthest apart, the farthest first. No image stands in two pairs.",
            "There is no pair to show: no two test images are of one class.",
        ),
        _pairs(
            found.negatives,
            cast,
            "Hardest negatives",
            "Pairs of two classes that lie nearest to each other, the nearest first. No image stands in two pairs.",
            "There is no pair to show: no two test images are of different classes.",
        ),
    )
    files = [folder / name for name in FILES]
    for file, sheet in zip(files, sheets, strict=True):
        sheet.save(file)
    return files


def _queries(found: worst.Worst, cast: Cast) -> Sheet:
    nearest = [COLUMN + GUTTER + COLUMN * place for place in range(worst.NEIGHBOURS)]
    positive = nearest[-1] + COLUMN + GUTTER
    negative = positive + COLUMN
    head = (LINE + 16) * bool(found.queries)
    sheet = Sheet(
        "Queries with the worst neighbours",
        _verdict(found, cast),
        width=negative + CELL,
        height=head + ROW * len(found.queries),
    )
    if found.queries:
        headings = {"query": 0, "its nearest others, nearest first": nearest[2], "own class": positive}
        for line, left in {**headings, "another class": negative}.items():
            sheet.text(line, left + CELL // 2, 0, align="center", bold=True)
    for number, query in enumerate(found.queries):
        top = head + number * ROW
        caption = [cast.name(query.row), f"#{query.row}", cast.status(query.row)]
        sheet.image(cast.images[query.row], 0, top, caption)
        for left, other in zip(nearest, query.nearest, strict=False):
            _neighbour(sheet, cast, query.row, other, (left, top), cast.status(other.row))
        _neighbour(sheet, cast, query.row, query.positive, (positive, top), f"rank {query.rank:,}")
        _neighbour(sheet, cast, query.row, query.negative, (negative, top), f"rank {query.negative_rank:,}")
    return sheet


def _verdict(found: worst.Worst, cast: Cast) -> list[str]:
    """What the picture of queries says of all of them."""
    if not found.judged:
        return ["There is no query to show: no test image has both others of its class and others of another class."]
    if found.wrong:
        verdict = (
            f"{found.wrong:,} of {found.judged:,} queries are wrong: another class is as near as their own or nearer."
        )
        if found.wrong < len(found.queries):
            verdict += f" After these {found.wrong:,}, those closest to being wrong."
    else:
        verdict = (
            f"None of {found.judged:,} queries is wrong: the own class is nearest. These are closest to being wrong."
        )
    if found.judged < len(cast.labels):
        verdict += f" Images left out because no other is of their class: {len(cast.labels) - found.judged:,}."
    order = "Worst first: by how much farther the nearest of the own class is than that of another (at the right)."
    signs = "Green ✓: own class. Orange ✗: another class. Rank: place among all others, 1 is the nearest."
    return [verdict, order, signs, cast.key()]


def _neighbour(
    sheet: Sheet, cast: Cast, query: int, other: worst.Neighbour, place: tuple[int, int], last_line: str
) -> None:
    right = cast.labels[other.row] == cast.labels[query]
    mark, colour = ("✓", palette.GREEN) if right else ("✗", palette.VERMILION)
    caption = [f"{mark} {cast.name(other.row)}", f"#{other.row} · {_digits(other.distance)}", last_line]
    sheet.image(cast.images[other.row], *place, caption, colour, FRAME)


def _pairs(pairs: Sequence[worst.Pair], cast: Cast, title: str, order: str, none: str) -> Sheet:
    head, group = LINE + 14, 2 * COLUMN + GUTTER
    sheet = Sheet(
        title,
        [order, cast.key()] if pairs else [none],
        width=ACROSS * group - (group - COLUMN - CELL),
        height=-(-len(pairs) // ACROSS) * (head + ROW),
    )
    for number, pair in enumerate(pairs):
        down, across = divmod(number, ACROSS)
        left, top = across * group, down * (head + ROW)
        heading = f"{number + 1}.  distance {_digits(pair.distance)}"
        sheet.text(heading, left + (COLUMN + CELL) / 2, top, align="center", bold=True)
        for row, place in zip(pair.rows, (left, left + COLUMN), strict=True):
            sheet.image(cast.images[row], place, top + head, [cast.name(row), f"#{row}", cast.status(row)])
    return sheet


def _digits(distance: float) -> str:
    return f"{distance:#.4g}".rstrip(".")
