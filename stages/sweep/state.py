"""What is kept of a sweep beside its jobs: `sweep.json` in its folder."""

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stages import store
from stages.errors import UserError
from stages.sweep.axes import short_names

FILE = "sweep.json"


@dataclass(frozen=True)
class Sweep:
    """A sweep that was started.

    Attributes:
        name: that of its folder.
        arguments: Hydra's overrides, as they were given.
        axes: the keys and groups that take several values, each with its values, of an interval its ends.
        metric: by which validation measure the jobs were ranked first.
        run_id: the MLflow run around those of its jobs.
    """

    name: str
    arguments: list[str]
    axes: dict[str, list[str]]
    metric: str
    run_id: str

    def varied(self, overrides: Sequence[str]) -> str:
        """What tells a job from the others, on one line: `margin=0.2 embedding_dim=16`."""
        short = short_names(list(self.axes))
        told = {key_of(override): override.partition("=")[2] for override in overrides}
        return " ".join(f"{short[key]}={told[key]}" for key in self.axes if key in told)


def key_of(override: str) -> str:
    """The key, or the group, that a Hydra override sets.

    >>> key_of("+loss.margin=0.1"), key_of("hydra/launcher=joblib")
    ('loss.margin', 'hydra/launcher')
    """
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def is_of_sweep(key: str) -> bool:
    """Whether a key or group, or an override of one, is about the sweep and not about a job's settings.

    >>> is_of_sweep("hydra/launcher=joblib"), is_of_sweep("sweep.metric"), is_of_sweep("loss.margin")
    (True, True, False)
    """
    return re.split(r"[./]", key_of(key))[0] in ("sweep", "hydra")


def save(folder: Path, sweep: Sweep) -> None:
    """Write `sweep.json`."""
    store.save_json(folder / FILE, asdict(sweep))


def load(folder: Path) -> Sweep:
    """Read `sweep.json`.

    Raises:
        UserError: the folder holds no sweep.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder}: found no {FILE}, expected the folder of a sweep, like multirun/2026-01-31_12-00-00")
    try:
        return Sweep(**store.load_json(path))
    except TypeError as error:
        raise UserError(f"{path}: found other content ({error}), expected that of a sweep") from None


def shown(folder: Path) -> Path:
    """A folder as it is written into files and shown: relative to the working folder where it lies in it."""
    absolute = Path(os.path.abspath(folder))  # noqa: PTH100 - links are to stay as they are
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute
