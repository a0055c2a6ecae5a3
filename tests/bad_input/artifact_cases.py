"""Files between the stages that are refused: arrays, JSON, batches that do not go with them."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stages import store
from tests.bad_input.csv_cases import in_place_of
from tests.bad_input.table import Refused, in_turn

LABELS = "data/prepared/train_labels.npy"
_NOT_READABLE = f"{{}}/{LABELS}: not readable as a NumPy array (…); expected a whole .npy file"


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.mark,)


def write_pickled_array(path: Path) -> None:
    """An array of objects, one of which is a payload."""
    np.save(path, np.array([Payload(path.with_name("executed"))], dtype=object), allow_pickle=True)


def write_pickle(path: Path) -> None:
    """A pickle without any array around it."""
    path.write_bytes(pickle.dumps(Payload(path.with_name("executed"))))


def _archive(share: float) -> Callable[[Path], None]:
    """An `.npz` of which so much is there."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, labels=np.zeros(200, np.int32))
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return write


def _with_header(text: str) -> Callable[[Path], object]:
    """A `.npy` with this header and four bytes behind it."""
    header = text.encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(4)
    return lambda path: path.write_bytes(content)


def _claims(shape: str) -> Callable[[Path], object]:
    return _with_header(f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}")


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _labels(name: str, put: Callable[[Path], object], line: str = _NOT_READABLE) -> Refused:
    return Refused(name, "batches", line, in_place_of(LABELS, put))


def saved(array: Any) -> Callable[[Path], None]:
    """Writes this array."""
    return lambda path: store.save_array(path, np.asarray(array))


_ARRAYS = [
    _labels("an array of pickled objects", write_pickled_array),
    _labels("a pickle", write_pickle),
    _labels("a file of no bytes", Path.touch),
    _labels("words", lambda path: path.write_text("0, 1, 2")),
    _labels("a folder in place of an array", Path.mkdir),
    *(
        _labels(
            name,
            _archive(share),
            f"{{}}/{LABELS}: found an archive of arrays, expected one array, int32 with 1 dimensions",
        )
        for name, share in (("an archive of arrays", 1), ("half of an archive of arrays", 0.5))
    ),
    Refused("half of an array", "batches", _NOT_READABLE, lambda folder: _half(folder / LABELS)),
    _labels("a header of 4 TB", _claims("(1000000000000,)")),
    _labels("a header of more than there are addresses", _claims(f"({10**30},)")),
    _labels("a header of less than nothing", _claims("(-1,)")),
    _labels("a header that is not closed", _with_header("{'descr': (((")),
    _labels("a header that calls", _with_header("__import__('os').mkdir('executed')")),
    _labels(
        "no array",
        lambda path: None,
        f"{{}}/{LABELS}: no such file; expected the output of an earlier stage (run `dvc repro`)",
    ),
    _labels(
        "floats",
        saved([0.0, 1.0]),
        f"{{}}/{LABELS}: found float64 of shape [2], expected int32 with 1 dimensions",
    ),
    _labels(
        "integers of another byte order",
        saved(np.zeros(3, ">i4")),
        f"{{}}/{LABELS}: found >i4 of shape [3], expected int32 with 1 dimensions",
    ),
    _labels(
        "no label",
        saved(np.zeros(0, np.int32)),
        "batches.classes_per_batch: found 4, expected at most 0, the number of classes in the training images",
    ),
    _labels(
        "one class",
        saved(np.zeros(40, np.int32)),
        "batches.classes_per_batch: found 4, expected at most 1, the number of classes in the training images",
    ),
    Refused(
        "fewer classes than a batch takes",
        "batches",
        "batches.classes_per_batch: found 5, expected at most 4, the number of classes in the training images",
        settings={"batches.classes_per_batch": 5},
    ),
    Refused(
        "fewer images than a batch takes",
        "batches",
        "batches.batch_size: found 41, expected at most 40, the number of training images",
        settings={"batches": {"layout": "shuffled", "batch_size": 41}},
    ),
]


def _change(file: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda folder: store.save_array(folder / file, change(np.load(folder / file)))


def _in_both(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Change the labels of a split, prepared and embedded."""
    return in_turn(
        *(_change(f"{folder}/{name}_labels.npy", change) for folder in ("data/prepared", "artifacts/embeddings"))
    )


def _with(row: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[row] = value
        return array

    return change


CLASSES = "data/prepared/classes.json"
EMBEDDINGS = "artifacts/embeddings/test_embeddings.npy"


def _json(content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / CLASSES).write_text(content, encoding="utf-8")


def _read_later(
    name: str, line: str, spoil: Callable[[Path], object], settings: Mapping[str, Any] | None = None
) -> list[Refused]:
    """A case for each stage that reads embeddings."""
    return [Refused(name, stage, line, spoil, dict(settings or {})) for stage in ("evaluate", "render")]


_EMBEDDED = [
    *_read_later(
        "a negative label",
        "{}/data/prepared/test_labels.npy: row 3: found -1, expected the index of a class, from 0",
        _in_both("test", _with(3, -1)),
    ),
    *_read_later(
        "a label beyond all names",
        f"{{}}/{CLASSES}: found 4 names, expected {2**31} as the labels of {{}}/data/prepared need",
        _in_both("test", _with(3, 2**31 - 1)),
    ),
    *_read_later(
        "NaN",
        f"{{}}/{EMBEDDINGS}: row 2 holds NaN or infinity, expected finite numbers (…)",
        _change(EMBEDDINGS, _with(2, np.nan)),
    ),
    *_read_later(
        "numbers whose squares are infinite",
        f"{{}}/{EMBEDDINGS}: row 2 holds numbers beyond 1e15, expected finite numbers (…)",
        _change(EMBEDDINGS, _with(2, 1e37)),
    ),
    *_read_later(
        "embeddings in no dimension",
        f"{{}}/{EMBEDDINGS}: found an empty array of shape [12, 0], expected some in it",
        _change(EMBEDDINGS, lambda array: array[:, :0]),
    ),
    *_read_later(
        "embeddings of another size than those of the training images",
        f"{{}}/{EMBEDDINGS}: found rows of shape [2], expected [3] as in the training split (run `dvc repro embed`)",
        _change(EMBEDDINGS, lambda array: array[:, :2].copy()),
    ),
    *_read_later(
        "images of another size than the training images",
        "{}/data/prepared/test_images.npy: found rows of shape [4, 8, 1], expected [8, 8, 1] as in the training "
        "split (run `dvc repro prepare`)",
        _change("data/prepared/test_images.npy", lambda array: array[:, :4].copy()),
    ),
    *_read_later(
        "images without pixels",
        "{}/data/prepared/test_images.npy: found an empty array of shape [12, 0, 8, 1], expected some in it",
        _change("data/prepared/test_images.npy", lambda array: array[:, :0].copy()),
    ),
    *_read_later(
        "JSON that is cut off",
        f"{{}}/{CLASSES}: not readable as JSON (…); expected a whole .json file",
        _json('["ant", "be'),
    ),
    *_read_later(
        "JSON that is too deep",
        f"{{}}/{CLASSES}: not readable as JSON (…); expected a whole .json file",
        _json("[" * 100_000),
    ),
    *_read_later("other JSON", f"{{}}/{CLASSES}: found other content, expected a list of names", _json('{"ant": 0}')),
    *_read_later(
        "half of a letter in a name",
        f"{{}}/{CLASSES}: found the name 'ant\\ud800', expected names in UTF-8",
        _json(json.dumps(["ant\ud800", "bee", "cat", "dog"])),
    ),
    *_read_later(
        "a folder in place of JSON",
        f"{{}}/{CLASSES}: not readable as JSON ([Errno 21] Is a directory: …); expected a whole .json file",
        in_place_of(CLASSES, Path.mkdir),
    ),
    *_read_later(
        "no file of the run",
        "{}/artifacts/model/run.json: no such file; expected the output of an earlier stage (run `dvc repro`)",
        lambda folder: (folder / "artifacts/model/run.json").unlink(),
    ),
    Refused(
        "the id of no run",
        "evaluate",
        "{}/artifacts/model/run.json: found other content, expected the run_id that the train stage wrote",
        lambda folder: store.save_json(folder / "artifacts/model/run.json", {"run_id": "../../../etc"}),
    ),
    Refused(
        "a folder in the place of a file of several that belong together",
        "prepare",
        "{}/data/prepared/summary.json: found a folder, expected a file or nothing there",
        in_place_of("data/prepared/summary.json", Path.mkdir),
    ),
    Refused(
        "a folder in the place of a file",
        "batches",
        "{}/data/batches.npy: found a folder, expected a file or nothing there",
        in_place_of("data/batches.npy", Path.mkdir),
    ),
    Refused(
        "a file in the place of a folder",
        "prepare",
        "{}/data/prepared: File exists; expected a folder, or nothing there",
        in_turn(
            lambda folder: shutil.rmtree(folder / "data/prepared"), lambda folder: (folder / "data/prepared").touch()
        ),
    ),
    Refused(
        "a head of pickled objects",
        "evaluate",
        "{}/artifacts/embeddings/head.npy: not readable as a NumPy array (…); expected a whole .npy file",
        lambda folder: write_pickled_array(folder / "artifacts/embeddings/head.npy"),
    ),
    Refused(
        "a head of other embeddings",
        "evaluate",
        "{}/artifacts/embeddings/head.npy: found 5 numbers, finite; expected 4 finite ones, a weight for each "
        "dimension and a bias (run `dvc repro embed`)",
        lambda folder: store.save_array(folder / "artifacts/embeddings/head.npy", np.zeros(5, np.float32)),
    ),
    Refused(
        "more neighbours that vote than training images",
        "evaluate",
        "evaluate.knn: found 41, expected at most 40, the training images",
        settings={"evaluate.knn": 41},
    ),
]
CASES = [*_ARRAYS, *_EMBEDDED]
