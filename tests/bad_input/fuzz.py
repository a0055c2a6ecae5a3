"""Damages valid input at random: each reader takes it or refuses it in one line, whatever it is.

`python -m tests.bad_input.fuzz --minutes 60` goes on for as long and prints what it finds; the tests run a few examples
of each target. What was found stands in the tables of cases.
"""

import argparse
import functools
import gzip
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from stages import config, store
from stages.errors import UserError
from stages.prepare.classes import index_classes
from stages.prepare.readers import csv, folder, idx
from stages.prepare.readers.folder_images import Reading
from tests.prepare import small

SECONDS = 20.0  # of one example; far more than any takes
MEGABYTES = 1500  # that the process may grow by, in all
Edit = tuple[str, float, bytes, int]

_PIECES = {
    "csv": b'"|""|,|,,|;|\t| |\n|\r|\r\n|\n\n|\0|\xff|\xef\xbb\xbf|\xd9\xa3|+|'
    b"0|255|256|-1|3.5|nan|1e5|0x1f|label|class|pixel0",
    "yaml": b"\n|  |\t|:|: |- |[|]|{|}|\"|'|#|&a |*a|!!bool |!!timestamp |!!binary |!!set |? |<<: |---\n|...\n|\\|@|~|"
    b"\0|\xff|\xef\xbb\xbf|null|.inf|.nan|0x|0b_|1e999|2026-13-01|1:60|%YAML 1.1\n|seed: 0\n|_target_: |"
    b"99999999999999999999",
    "override": b"=|+|++|~|@|.|,|[|]|{|}|(|)|\"|'|\\|$|${|${seed}|${oc.env:X}|:|/|../| |\t|null|nan|"
    b"range(|choice(|glob(|sort(|loss|loss=|data=|seed|_target_|hydra.|experiment=",
    "binary": b"\0|\xff|\x7f|\x80|\0\0\0\0|\xff\xff\xff\xff|\0\0\x08\x03|PK\x03\x04|\x93NUMPY|(|)|{|}|'|,|"
    b"IHDR|IDAT|acTL|zTXt",
}
"""What is put in, beside any bytes: what means something to the readers."""


def edits(kind: str) -> st.SearchStrategy[list[Edit]]:
    """Up to eight edits: what is done, where (a share of the length), with which bytes, to how many."""
    piece = st.sampled_from(_PIECES[kind].split(b"|")) | st.binary(min_size=1, max_size=8)
    action = st.sampled_from(["insert", "replace", "remove", "repeat"])
    return st.lists(st.tuples(action, st.floats(0, 1), piece, st.integers(1, 400)), max_size=8)


def edited(content: bytes, changes: Sequence[Edit]) -> bytes:
    """The content after these edits.

    >>> edited(b"abcd", [("insert", 0.5, b"-", 1), ("remove", 0, b"", 1)])
    b'b-cd'
    """
    for action, share, piece, count in changes:
        place = int(share * len(content))
        before, behind = content[:place], content[place:]
        if action == "insert":
            content = before + piece + behind
        elif action == "replace":
            content = before + piece + behind[len(piece) :]
        elif action == "remove":
            content = before + behind[count:]
        else:
            content = before + count * behind[: len(piece)] + behind
    return content


@functools.cache
def _files(kind: str) -> dict[str, bytes]:
    """A small valid data set: the bytes of its files by their names."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        if kind == "idx":
            for part in ("train", "t10k"):
                small.write_idx(top, part, small.images(6).reshape(6, 4, 4), [0, 1, 2] * 2)
        elif kind == "folder":
            small.write_folders(top, small.images(6).reshape(6, 4, 4), ["ant"] * 3 + ["bee"] * 3)
            small.write_picture(top / "bee" / "9.jpg", small.images(1).reshape(4, 4))
        elif kind == "two":
            for part in ("train", "test"):
                rows = [[label, *image] for label, image in zip(small.labels(6), small.images(6), strict=True)]
                small.write(top / f"{part}.csv", small.lines(rows, f"label,{small.header()}"))
        else:
            small.write_four(top, train=6, test=6)
        return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}


def _read(kind: str, damage: tuple[int, list[Edit], str]) -> None:
    """Damage one file, plain, before it is compressed or after, and read the folder."""
    which, changes, packing = damage
    files = _files(kind)
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        for number, (file, content) in enumerate(files.items()):
            path = top / file
            path.parent.mkdir(exist_ok=True)
            if number != which % len(files):
                path.write_bytes(content)
            elif packing == "plain" or kind == "folder":
                path.write_bytes(edited(content, changes))
            elif packing == "packed":
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(edited(content, changes)))
            else:
                path.with_name(f"{path.name}.gz").write_bytes(edited(gzip.compress(content), changes))
        train, test = _READERS[kind](top)
        for part in (train, test or train):
            part.images[np.arange(len(part.images))]
            [part.place(row) for row in range(len(part.images))]
        index_classes(train, test or train)


_READERS: dict[str, Callable[[Path], Any]] = {
    "four": lambda top: csv.read(top, "small"),
    "two": lambda top: csv.read(top, "small"),
    "idx": idx.read,
    "folder": lambda top: folder.read(top, Reading(None, None, 1000, skip_unreadable=False, workers=1)),
}


def _parse(changes: list[Edit]) -> None:
    text = edited(_composed().encode(), changes).decode("utf-8", "replace")
    config.parse(text, "params.yaml")


def _compose(changes: list[Edit]) -> None:
    config.compose([edited(b"loss.margin=0.5", changes).decode("utf-8", "replace")])


def _load_array(damage: tuple[bool, list[Edit]]) -> None:
    memory_map, changes = damage
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, np.arange(20, dtype=np.int32))
        file.seek(0)
        content = edited(file.read(), changes)
        Path(file.name).write_bytes(content)
        store.load_array(file.name, np.int32, 1, memory_map=memory_map)


def _load_json(changes: list[Edit]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        Path(file.name).write_bytes(edited(b'{"a": [1, 2.5, null], "b": {"c": "d"}}', changes))
        store.load_json(file.name)


@functools.cache
def _composed() -> str:
    return config.compose()


def _damage(kind: str) -> st.SearchStrategy[tuple[int, list[Edit], str]]:
    return st.tuples(st.integers(0, 6), edits(kind), st.sampled_from(["plain", "packed", "damaged"]))


TARGETS: dict[str, tuple[Callable[[Any], None], st.SearchStrategy[Any], int]] = {
    "csv of four files": (functools.partial(_read, "four"), _damage("csv"), 60),
    "csv of two files": (functools.partial(_read, "two"), _damage("csv"), 60),
    "idx": (functools.partial(_read, "idx"), _damage("binary"), 60),
    "class folders": (functools.partial(_read, "folder"), _damage("binary"), 60),
    "params.yaml": (_parse, edits("yaml"), 60),
    "override": (_compose, edits("override"), 8),
    "array": (_load_array, st.tuples(st.booleans(), edits("binary")), 60),
    "json": (_load_json, edits("binary"), 60),
}
"""What reads, what it is given, and how many examples the tests take of it."""


def check(name: str, examples: int, number: int = 0) -> None:
    """Run so many examples of a target; anything but a result or a refusal in one line is raised."""
    read, strategy, _ = TARGETS[name]

    def property_holds(damage: Any) -> None:
        began, before, line = time.perf_counter(), _megabytes(), ""
        try:
            read(damage)
        except UserError as error:
            line = str(error)
        assert "\n" not in line
        assert time.perf_counter() - began < SECONDS
        assert _megabytes() - before < MEGABYTES

    run = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )(given(strategy)(property_holds))
    seed(number)(run)()


def _megabytes() -> int:
    """The most memory that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Go through the targets again and again, each time with another seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bad_input.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--only", choices=TARGETS, action="append", help="may be given more than once")
    options = parser.parse_args()
    end, number, found = time.monotonic() + 60 * options.minutes, options.seed, 0
    while time.monotonic() < end:
        for name in options.only or TARGETS:
            try:
                check(name, 10 * TARGETS[name][2], number)
            except BaseException as error:  # what it finds may be anything
                if isinstance(error, KeyboardInterrupt):
                    raise
                found += 1
                print(
                    f"{name}, seed {number}: {type(error).__name__}: {error}\n" + "\n".join(error.__notes__), flush=True
                )
        number += 1
    print(f"{number - options.seed} rounds of {len(options.only or TARGETS)} targets, {found} findings", flush=True)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
