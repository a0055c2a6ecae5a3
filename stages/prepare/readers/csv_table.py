"""One CSV file of images, of labels, or of both: its layout by its first line, its content through Arrow."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
from tqdm import tqdm

from stages.errors import UserError
from stages.prepare.readers.csv_rows import Layout, line_of, refuse, rows
from stages.prepare.readers.opening import Unpacked

Content = Literal["images", "labels", "both"]
LABEL_NAMES = ("label", "labels", "class", "target")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|nan|[+-]?inf(inity)?", re.IGNORECASE)
_BLOCK = 1 << 20  # bytes that Arrow takes at a time; a row must fit


@dataclass(frozen=True)
class Table:
    """The content of a file.

    Attributes:
        layout: where it stands in the file.
        pixels: uint8 `[N, columns of pixels]`.
        codes: int32 `[N]`, indices into `names`; empty where the file has no labels.
        names: the labels as they are written, each once.
    """

    layout: Layout
    pixels: np.ndarray
    codes: np.ndarray
    names: list[str]


def read(path: Path, content: Content) -> Table:
    """Read a plain or gzipped CSV file, with or without header.

    Args:
        path: the file; compressed if it ends in `.gz`.
        content: what is in it. With `both`, the label is the column called `label` or `class`, else the first.

    Raises:
        UserError: empty, truncated, not UTF-8, ragged rows, pixels that are no integers from 0 to 255, empty or decimal
            labels, no column of labels. It names the row and the column.
    """
    layout = _layout(path, content)
    pixels: deque[np.ndarray] = deque()
    labels: list[pa.Array] = []
    try:
        for batch in _batches(layout):
            if layout.label is not None:
                labels.append(batch.column(batch.num_columns - 1))
                batch = batch.remove_column(batch.num_columns - 1)
            if batch.num_columns:
                pixels.append(batch.to_tensor(row_major=True).to_numpy())
    except (pa.ArrowException, OSError) as error:
        refuse(layout, error)
    codes, names = _distinct(labels)
    if content == "labels":
        layout, codes, names = _without_a_word_above_integers(layout, codes, names)
    if not len(codes) and not any(map(len, pixels)):
        refuse(layout, ValueError("no rows"))
    _check_labels(layout, codes, names)
    return Table(layout, _joined(pixels), codes, names)


def _layout(path: Path, content: Content) -> Layout:
    line, cells = next(rows(path), (0, []))
    if not cells:
        expected = "labels and pixels" if content == "both" else content
        raise UserError(f"{path}: found an empty file, expected rows of {expected}")
    cells = [cell.strip() for cell in cells]
    if content != "labels" and len(cells) == 1 and (other := re.search(r"[;\t|]", cells[0])):
        raise UserError(f"{path}: row {line}: found values separated by {other.group()!r}, expected commas")
    named = [column for column, cell in enumerate(cells) if cell.lower() in LABEL_NAMES]
    if content == "images":
        return Layout(path, len(cells), line if _is_header(cells) else 0, list(range(len(cells))), None)
    if content == "labels":
        if len(cells) > 1 and len(named) != 1:
            raise UserError(
                f"{path}: row {line}: found {len(cells)} columns, expected one, or one that is called label"
            )
        return Layout(path, len(cells), line if named else 0, [], named[0] if named else 0)
    label = _label_column(path, line, cells, named)
    rest = [column for column in range(len(cells)) if column != label]
    if not rest:
        raise UserError(f"{path}: row {line}: found 1 column, expected a label and pixels")
    return Layout(path, len(cells), line if _is_header([cells[column] for column in rest]) else 0, rest, label)


def _label_column(path: Path, line: int, cells: list[str], named: list[int]) -> int:
    others = [cell for column, cell in enumerate(cells) if column not in named]
    if not named or not _is_header(others):
        pattern = [re.sub(r"\d+", "#", cell) for cell in cells[:2]]
        if _is_header(cells) and len(cells) > 1 and pattern[0] == pattern[1] != "#":
            raise UserError(
                f"{path}: row {line}: found a header from {cells[0]!r} to {cells[-1]!r}, expected a column called label"
            )
        return 0
    if len(named) > 1:
        raise UserError(f"{path}: row {line}: found {len(named)} columns that are called label or class, expected one")
    return named[0]


def _is_header(cells: list[str]) -> bool:
    """Whether these are names of columns: none reads as a number, or they count from 0 or 1 as data frames do."""
    if cells and all(_INTEGER.fullmatch(cell) for cell in cells):
        first = 0 if cells[0] == "0" else 1
        return len(cells) > 3 and cells == [str(number) for number in range(first, first + len(cells))]
    return not any(cell == "" or _NUMBER.fullmatch(cell) for cell in cells)


def _batches(layout: Layout) -> Iterator[pa.RecordBatch]:
    names = [str(column) for column in range(layout.columns)]
    types: dict[str, pa.DataType] = {names[column]: pa.uint8() for column in layout.pixels}
    if layout.label is not None:
        types[names[layout.label]] = pa.dictionary(pa.int32(), pa.string())
    read_options = pyarrow.csv.ReadOptions(
        column_names=names, skip_rows=layout.skip, block_size=max(_BLOCK, 16 * layout.columns)
    )
    # An empty cell or NaN is a fault here, no missing value.
    convert_options = pyarrow.csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=[], strings_can_be_null=False
    )
    total = layout.path.stat().st_size
    packed = layout.path.suffix == ".gz"
    with (
        pa.OSFile(str(layout.path)) as file,
        pa.input_stream(file, compression="gzip" if packed else None) as stream,
        pyarrow.csv.open_csv(
            Unpacked(stream, file, layout.path) if packed else stream,
            read_options=read_options,
            convert_options=convert_options,
        ) as reader,
        tqdm(total=total, desc=layout.path.name, unit="B", unit_scale=True, disable=None, delay=2, leave=False) as bar,
    ):
        for batch in reader:
            yield batch
            bar.update(file.tell() - bar.n)


def _distinct(chunks: list[pa.Array]) -> tuple[np.ndarray, list[str]]:
    if not chunks:
        return np.empty(0, np.int32), []
    column = pa.chunked_array(chunks).unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks]).astype(np.int32, copy=False)
    written = [name.strip() for name in column.chunk(0).dictionary.to_pylist()]
    names = list(dict.fromkeys(written))
    if len(names) == len(written):
        return codes, names
    position = {name: index for index, name in enumerate(names)}
    return np.array([position[name] for name in written], np.int32)[codes], names


def _without_a_word_above_integers(
    layout: Layout, codes: np.ndarray, names: list[str]
) -> tuple[Layout, np.ndarray, list[str]]:
    """A header of any name is seen by the integers below it; above words it must be one of `LABEL_NAMES`."""
    words = [index for index, name in enumerate(names) if not _INTEGER.fullmatch(name)]
    if layout.skip or len(codes) == 0 or words != [codes[0]] or _NUMBER.fullmatch(names[0]) or names[0] == "":
        return layout, codes, names
    if np.count_nonzero(codes == codes[0]) > 1:
        return layout, codes, names
    header = Layout(layout.path, layout.columns, next(rows(layout.path))[0], layout.pixels, layout.label)
    return header, codes[1:] - 1, names[1:]


def _check_labels(layout: Layout, codes: np.ndarray, names: list[str]) -> None:
    if any("\n" in name or "\r" in name for name in names):
        refuse(layout, ValueError("a label goes over several lines"))  # by a quote that is not closed
    wrong = [
        i for i, name in enumerate(names) if name == "" or (_NUMBER.fullmatch(name) and not _INTEGER.fullmatch(name))
    ]
    if not wrong:
        return
    index = int(np.flatnonzero(np.isin(codes, wrong))[0])
    name = names[codes[index]]
    column = 0 if layout.label is None else layout.label
    raise UserError(
        f"{layout.path}: row {line_of(layout, index)}, column {column + 1}: "
        f"found {repr(name) if name else 'an empty cell'}, expected a label, an integer or a word"
    )


def _joined(blocks: deque[np.ndarray]) -> np.ndarray:
    """The blocks below one another; each is let go once copied, so that memory never holds all twice."""
    if not blocks:
        return np.empty((0, 0), np.uint8)
    joined = np.empty((sum(map(len, blocks)), blocks[0].shape[1]), np.uint8)
    start = 0
    while blocks:
        block = blocks.popleft()
        joined[start : start + len(block)] = block
        start += len(block)
    return joined
