"""A sheet of captioned images, measured in pixels, so that enlarged images keep even pixels."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from stages import palette, store

DPI = 128  # a power of two, so that pixels convert to inches and back exactly
EDGE = 28  # pixels left free all around
CELL = 140  # side of the square in which an image is shown: 5 times 28
COLUMN = 184  # from an image to the next
LINE, LETTERS, TITLE = 24, 18, 28  # from line to line, height of letters, of those of the title
ROW = CELL + 3 * LINE + 34  # from an image with three lines of caption to the one below
INK = "#222222"


class Sheet:
    """A white page: a title, notes, and below them the content, from whose upper left corner places are counted.

    Args:
        title: one line.
        notes: paragraphs, broken where the page ends.
        width: of the content, in pixels.
        height: of the content, in pixels.
    """

    def __init__(self, title: str, notes: Sequence[str], width: int, height: int) -> None:
        letters = int(width / (0.53 * LETTERS))  # that fit into a line
        lines = [line for note in notes for line in textwrap.wrap(note, letters)]
        head = TITLE + 22 + LINE * len(lines) + 20
        self._left, self._top = EDGE, EDGE + head
        self._width, self._height = width + 2 * EDGE, height + head + 2 * EDGE
        self._figure = Figure(figsize=(self._width / DPI, self._height / DPI), dpi=DPI)
        self._canvas = FigureCanvasAgg(self._figure)
        self.text(title, 0, -head, size=TITLE, bold=True)
        for number, line in enumerate(lines):
            self.text(line, 0, TITLE + 22 + number * LINE - head)

    def image(
        self,
        image: np.ndarray,
        left: int,
        top: int,
        caption: Sequence[str],
        colour: str = palette.GREY,
        frame: int = 2,
    ) -> None:
        """Show an image in the middle of the cell that begins there, with a frame and a caption.

        Args:
            image: uint8 `[H, W, 1 or 3]`.
            left: where its cell begins.
            top: where its cell begins.
            caption: lines below the cell, shortened where they are wider than a column.
            colour: of the frame.
            frame: its thickness, even, so that it begins where the image ends.
        """
        shown = _fitted(image)
        height, width = shown.shape[:2]
        across = self._left + left + (CELL - width) // 2
        up = self._height - self._top - top - (CELL + height) // 2  # Matplotlib counts from below
        self._figure.figimage(shown, across, up, origin="upper")
        corner = (across - frame / 2, up - frame / 2)
        border = Rectangle(
            corner, width + frame, height + frame, fill=False, edgecolor=colour, linewidth=_points(frame)
        )
        border.set_transform(None)
        self._figure.add_artist(border)
        for number, line in enumerate(caption):
            self.text(line, left + CELL / 2, top + CELL + 12 + number * LINE, align="center", widest=COLUMN - 10)

    def text(
        self,
        line: str,
        left: float,
        top: float,
        *,
        align: Literal["left", "center"] = "left",
        size: int = LETTERS,
        bold: bool = False,
        widest: int | None = None,
    ) -> None:
        """Write a line below `top`, which begins at `left` or has its middle there; `size` is in pixels."""
        place = (self._left + left) / self._width, 1 - (self._top + top) / self._height
        text = self._figure.text(*place, line, color=INK, fontsize=_points(size), ha=align, va="top")
        text.set_fontweight("bold" if bold else "normal")
        text.set_parse_math(False)  # a name with $ is no formula
        if widest:
            self._shorten(text, widest)

    def save(self, path: Path) -> None:
        """Write a PNG."""
        with store.replacing(path) as temporary:
            self._figure.savefig(temporary, dpi=DPI, metadata={"Software": None})

    def _shorten(self, text: Text, widest: int) -> None:
        """Put … into the middle of a text, which keeps its beginning and its end, until it is narrow enough."""
        line, renderer = text.get_text(), self._canvas.get_renderer()
        for kept in range(min(len(line), widest // 4), 1, -1):  # hardly a letter is narrower than 4 pixels
            if kept < len(line):
                text.set_text(f"{line[: -(-kept // 2)]}…{line[len(line) - kept // 2 :]}")
            if text.get_window_extent(renderer).width <= widest:
                return


def _fitted(image: np.ndarray) -> np.ndarray:
    """The image enlarged by a whole factor, pixel by pixel, or reduced, to fill a cell: uint8 `[H, W, 3]`."""
    from PIL import Image

    coloured = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
    factor = CELL // max(image.shape[:2])
    if factor:
        return coloured.repeat(factor, axis=0).repeat(factor, axis=1)
    reduced = Image.fromarray(coloured)
    reduced.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return np.asarray(reduced)


def _points(pixels: float) -> float:
    return pixels * 72 / DPI
