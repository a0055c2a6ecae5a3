"""Settings that are refused: in `params.yaml`, and as overrides of `python -m stages.config`."""

from collections.abc import Callable
from typing import Any

from tests.bad_input.table import Refused


def _edited(name: str, line: str, edit: Callable[[str], str | bytes]) -> Refused:
    return Refused(name, "batches", "{}/params.yaml: " + line, edit=edit)


def _set(key: str, value: Any, line: str) -> Refused:
    return Refused(f"{key} is {value!r:.40}", "batches", "{}/params.yaml: " + line, settings={key: value})


_BOMB = "a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)

CASES = [
    _edited("a file of no bytes", "found NoneType, expected sections like `data:` and `loss:`", lambda text: ""),
    _edited("a list", "found list, expected sections like `data:` and `loss:`", lambda text: "- data\n"),
    _edited(
        "a tab",
        "not readable as YAML: line 2, column 1: found character '\\t' that cannot start any token",
        lambda text: text.replace("  name:", "\tname:", 1),
    ),
    _edited(
        "a bracket that is not closed",
        "not readable as YAML: line …, column …: expected ',' or ']', but got ':'",
        lambda text: text.replace("seed: 0", "seed: [0"),
    ),
    _edited(
        "UTF-16",
        "not readable ('utf-8' codec can't decode byte 0xff in position 0: invalid start byte); expected YAML in UTF-8",
        lambda text: text.encode("utf-16"),
    ),
    _edited(
        "a byte of 0",
        'not readable as YAML: unacceptable character #x0000: … in "<unicode string>", position 0',
        lambda text: "\0" + text,
    ),
    _edited(
        "a key twice",
        "not readable as YAML: line …, column 1: found the key seed twice, expected it once",
        lambda text: text + "seed: 1\n",
    ),
    _edited(
        "two documents",
        "not readable as YAML: line …, column 1: but found another document",
        lambda text: f"{text}---\n{text}",
    ),
    _edited(
        "a YAML bomb: 31 billion zeros in 700 bytes",
        "not readable as YAML: line 2, column 10: found the alias *a0, expected what it stands for",
        lambda text: _BOMB + text,
    ),
    _edited(
        "a list in itself",
        "not readable as YAML: line …, column 22: found the alias *a, expected what it stands for",
        lambda text: text.replace("allowed_targets: []", "allowed_targets: &a [*a]"),
    ),
    _edited("lists too deep", "not readable as YAML: found values too deep in each other", lambda text: "[" * 20_000),
    _edited(
        "code",
        "not readable as YAML: line …, column 7: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:pathlib.Path.touch'",
        lambda text: text.replace("seed: 0", "seed: !!python/object/apply:pathlib.Path.touch [executed]"),
    ),
    _edited(
        "a date that is none",
        "not readable as YAML: line …, column 7: found a value that cannot be read (month must be in 1..12)",
        lambda text: text.replace("seed: 0", "seed: 2026-13-01"),
    ),
    _edited(
        "a number without digits",
        "not readable as YAML: line …, column 7: found a value that cannot be read (…)",
        lambda text: text.replace("seed: 0", "seed: 0b_"),
    ),
    _edited(
        "a tag that the value does not fit",
        "not readable as YAML: line …, column 7: found a value that cannot be read ('maybe')",
        lambda text: text.replace("seed: 0", "seed: !!bool maybe"),
    ),
    _edited("a key that is a number", "1: found 1, keys should be strings", lambda text: text + "1: 1\n"),
    _edited(
        "a key of two lines",
        "see\\nd: unknown key, the nearest valid one is seed",
        lambda text: text + '"see\\nd": 1\n',
    ),
    _edited("a missing key", "seed: missing; expected a value", lambda text: text.replace("seed: 0", "")),
    _set("seed", -1, "seed: found -1, expected greater than or equal to 0"),
    _set("seed", "0", "seed: found '0', expected a valid integer"),
    _set("seed", True, "seed: found True, expected a valid integer"),
    _set("data.validation", float("nan"), "data.validation: found nan, expected a finite number"),
    _set("train.augmentation.shift", float("inf"), "train.augmentation.shift: found inf, expected a finite number"),
    _set(
        "batches.samples_per_class", 10**30, f"batches.samples_per_class: found {10**30}, expected less than 2147483648"
    ),
    _set("data.name", "a\x1b[2J", "data.name: found 'a\\x1b[2J', expected …"),
    _set("evaluate.recall_at", [1, 10**30], f"evaluate.recall_at.1: found {10**30}, expected less than 2147483648"),
    _set("render.methods", ["pca", "pca"], "render: methods is ['pca', 'pca']; it must name nothing twice"),
    _set("paths.batches", "", "paths.batches: found '', expected to have at least 1 character"),
    _set("paths.batches", "a\0b", "paths.batches: found 'a\\x00b', expected no control characters"),
    _set(
        "batches.layout",
        "pkk",
        "batches: … does not match any of the expected tags: 'pk', 'shuffled', 'pairs', 'triplets'",
    ),
    _set("data.shape", [10**40], f"data.shape.0: found 1{'0' * 40}, expected less than 2147483648"),
    _set(
        "data.source",
        "csv" * 1000,
        f"data.source: found '{('csv' * 33)}…, expected 'csv', 'folder' or 'idx'",
    ),
    _set("loss", "batch_hard", "loss: found 'batch_hard', expected a valid dictionary"),
]

OVERRIDES = [
    ("", "conf: mismatched input '<EOF>' …"),
    (f"{'loss' * 100}=1", "conf: [Errno 36] File name too long: …"),
    ("loss.margin=[", "conf: no viable alternative at input '[' …"),
    ("loss.margin='", "conf: LexerNoViableAltException: …"),
    ("loss.margin=${nothing}", "conf: Interpolation key 'nothing' not found"),
    ("loss.margin=${loss.margin}", "conf: Recursive interpolation detected"),
    ("loss.margin=1,2", "conf: Ambiguous value for argument 'loss.margin=1,2' …"),
    ("data=null", "conf: Config group override must be a string or a list. Got NoneType"),
    ("~data", "conf: data: missing; expected a value"),
    ("data.path=null", "conf: data.path: found None, expected a valid string"),
    ("seed=1e400", "conf: seed: found inf, expected a valid integer"),
    ("experiment=nothing", "conf: experiment=nothing: no such option, the nearest valid one is …"),
    ("experiment=../config", "conf: …"),
]
"""An override, and the line behind `config: `."""
