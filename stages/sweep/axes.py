"""What a sweep varies: the settings whose values differ between its jobs."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from hydra.core.override_parser.overrides_parser import OverridesParser

from stages.sweep.records import Record

Setting = int | float | str
"""A value as it is shown and compared: a number, or the text of anything else."""

SEED = "seed"
ABSENT = "–"
"""The value of an axis in a job that does not set it."""


@dataclass(frozen=True)
class Axis:
    """A setting that differs between jobs.

    Attributes:
        name: its key in the configuration, or the name of a group.
        values: each once; numbers in ascending order, others in order of first appearance.
        numeric: whether all values are numbers.
    """

    name: str
    values: tuple[Setting, ...]
    numeric: bool


def find(records: Iterable[Record]) -> list[Axis]:
    """The axes of a sweep, in the order of its overrides. Not the seed: over seeds it is averaged.

    >>> jobs = [["loss.margin=0.2", "threads=1"], ["loss.margin=0.1", "threads=1"]]
    >>> find(Record(i, overrides, str(i), "finished") for i, overrides in enumerate(jobs))
    [Axis(name='loss.margin', values=(0.1, 0.2), numeric=True)]
    """
    jobs = [settings(record) for record in records]
    names = dict.fromkeys(name for job in jobs for name in job if name != SEED)
    found = {name: tuple(dict.fromkeys(job.get(name, ABSENT) for job in jobs)) for name in names}
    return [_axis(name, values) for name, values in found.items() if len(values) > 1]


def settings(record: Record) -> dict[str, Setting]:
    """What the overrides of a job set; of a key that is set twice the last, as in Hydra.

    >>> settings(Record(0, ["loss=semi_hard", "loss.margin=1e-1", "render.methods=[pca]"], "", "finished"))
    {'loss': 'semi_hard', 'loss.margin': 0.1, 'render.methods': '[pca]'}
    """
    return dict(map(_parsed, record.overrides))


def value_of(record: Record, name: str) -> Setting:
    """What a job sets an axis to; `ABSENT` if it leaves it alone."""
    return settings(record).get(name, ABSENT)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each name by its last part, or by as many of its last parts as it takes to tell it from the others.

    >>> short_names(["loss.margin", "data.path", "paths.path"])
    {'loss.margin': 'margin', 'data.path': 'data.path', 'paths.path': 'paths.path'}
    """
    endings = Counter(ending for name in names for ending in _endings(name))
    return {name: next((end for end in _endings(name) if endings[end] == 1), name) for name in names}


def _axis(name: str, values: tuple[Setting, ...]) -> Axis:
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        return Axis(name, values, numeric=False)
    return Axis(name, tuple(sorted(numbers)), numeric=True)


@cache  # a sweep repeats them, and the grammar takes a millisecond each
def _parsed(override: str) -> tuple[str, Setting]:
    parsed = OverridesParser.create().parse_override(override)
    value = parsed.value()
    if isinstance(value, str):
        return parsed.key_or_group, str(value)  # not Hydra's class of it, which knows of its quotes
    if isinstance(value, bool):
        return parsed.key_or_group, str(value).lower()
    if isinstance(value, (int, float)) and math.isfinite(value):
        return parsed.key_or_group, value
    return parsed.key_or_group, str(parsed.get_value_element_as_str())


def _endings(name: str) -> list[str]:
    """From the last part to the whole name."""
    parts = name.split(".")
    return [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
