"""What a sweep is going to do, settled before anything runs: its jobs' settings, its folder, its launcher."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages import config
from stages.errors import UserError
from stages.evaluate.roc import far_name
from stages.sweep import launchers, space
from stages.sweep.cell import is_of_sweep
from stages.sweep.measure import Measure

KEYS = ("sweep", "sweep.metric", "sweep.force")
"""What the configuration of a sweep has beside that of the pipeline."""


@dataclass(frozen=True)
class Plan:
    """A sweep to be run.

    Attributes:
        folder: where to.
        jobs: how many there will be; None where a sweeper of the user's decides.
        at_once: how many the launcher runs beside each other.
        axes: the keys and groups that take several values.
        measure: of validation, by which they are ranked.
        launcher: Hydra's choice, like `joblib`.
        sweeper: Hydra's choice, like `basic`.
    """

    folder: Path
    jobs: int | None
    at_once: int
    axes: list[str]
    measure: Measure
    launcher: str
    sweeper: str


def plan(overrides: Sequence[str]) -> Plan:
    """Compose a sweep, and each value of its axes once.

    Args:
        overrides: Hydra's, with axes like `loss.margin=0.1,0.2` among them.

    Raises:
        UserError: Hydra refuses them, no axis is among them, or a value gives no valid configuration.
    """
    from hydra import initialize_config_dir

    with config.refusals(overrides, KEYS), initialize_config_dir(str(config.CONF), version_base=None):
        parsed = _parse(overrides)
        composed = _compose([_values(override)[0] for override in parsed])
        hydra = composed.hydra
        params = [f"{name}={value}" for name, value in (hydra.sweeper.get("params") or {}).items()]
        given = {override.get_key_element(): override for override in (*_parse(params), *parsed)}
        folder, measure = Path(hydra.sweep.dir), Measure.named(composed.sweep.metric)
        launcher, sweeper = (hydra.runtime.choices[f"hydra/{kind}"] for kind in ("launcher", "sweeper"))
        jobs, at_once = hydra.sweeper.get("trials"), launchers.trials_at_once(hydra.launcher, composed.threads)
        if sweeper == "optuna":
            space.parse(list(given.values()))
    settings = {key: override for key, override in given.items() if not is_of_sweep(key)}
    axes = {key: _values(override) for key, override in settings.items()}
    varied = [key for key, values in axes.items() if len(values) > 1]
    if not varied:
        raise UserError("nothing to sweep over: expected an axis like loss.margin=0.1,0.2, or sweep=margin_dim")
    if sweeper == "basic":
        intervals = [override.input_line for override in settings.values() if override.is_interval_sweep()]
        if intervals:
            raise UserError(f"{intervals[0]}: found an interval, expected values of a grid, or sweep=optuna beside it")
        jobs = math.prod(map(len, axes.values()))
    _check_each_value(axes)
    first = config.parse(config.compose([values[0] for values in axes.values()]), "conf")
    _check_measured(measure, first)
    _check_places(first)
    return Plan(folder, jobs, at_once, varied, measure, launcher, sweeper)


def _parse(overrides: Sequence[str]) -> list[Any]:
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(list(overrides))


def _compose(overrides: Sequence[str]) -> Any:
    from hydra import compose

    return compose("sweep", overrides=list(overrides), return_hydra_config=True)


def _values(override: Any) -> list[str]:
    """The override with each of its values; of an interval its ends."""
    if not override.is_sweep_override():
        return [override.input_line]
    if override.is_interval_sweep():
        values = [override.value().start, override.value().end]
    else:
        values = list(override.sweep_string_iterator())
    return [f"{override.get_key_element()}={value}" for value in values]


def _check_each_value(axes: dict[str, list[str]]) -> None:
    """Compose with each value once, the other axes at their first: any product of them would hold that job too."""
    first = {key: values[0] for key, values in axes.items()}
    config.compose(list(first.values()))
    for key, values in axes.items():
        for value in values[1:]:
            config.compose(list((first | {key: value}).values()))


def _check_measured(measure: Measure, settings: config.Config) -> None:
    """Refuse a measure that no job would have at the end."""
    measured = {
        "recall_at_": ("recall_at", [str(k) for k in settings.evaluate.recall_at]),
        "precision_at_": ("recall_at", [str(k) for k in settings.evaluate.recall_at]),
        "val_at_far_": ("fars", [far_name(far).removeprefix("val_at_far_") for far in settings.evaluate.fars]),
    }
    for family, (key, there) in measured.items():
        if (rest := measure.name.rpartition(".")[2]).startswith(family) and rest.removeprefix(family) not in there:
            raise UserError(f"metric: found {measure.name}, but evaluate.{key} has {', '.join(there)} alone")


def _check_places(settings: config.Config) -> None:
    """Refuse a place that all jobs would write to."""
    for name, path in settings.paths:
        if Path(path).is_absolute():
            raise UserError(f"paths.{name}: found {path}, expected a path within the folder that each job has")
