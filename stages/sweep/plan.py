"""What a sweep is going to do, settled before anything runs: its jobs' settings, its folder, its launcher."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages import config
from stages.errors import UserError
from stages.evaluate.roc import far_name
from stages.sweep import launchers, search, space, state
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
        axes: the keys and groups that take several values, with these; of an interval its ends.
        measure: of validation, by which they are ranked.
        launcher: Hydra's choice, like `joblib`.
        sweeper: Hydra's choice, like `basic`.
    """

    folder: Path
    jobs: int | None
    at_once: int
    axes: dict[str, list[str]]
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

    with config.refusals(()), initialize_config_dir(str(config.CONF), version_base=None):
        parsed = _parse(overrides)
    first = [_values(override)[0] for override in parsed]
    with config.refusals(first, KEYS), initialize_config_dir(str(config.CONF), version_base=None):
        composed = _compose(first)
        hydra = composed.hydra
        params = [f"{name}={value}" for name, value in (hydra.sweeper.get("params") or {}).items()]
        given = {override.get_key_element(): override for override in (*_parse(params), *parsed)}
        _check_axes(given.values())
        folder, measure = Path(hydra.sweep.dir), Measure.named(composed.sweep.metric)
        launcher, sweeper = (hydra.runtime.choices[f"hydra/{kind}"] for kind in ("launcher", "sweeper"))
        jobs, at_once = hydra.sweeper.get("trials"), launchers.trials_at_once(hydra.launcher, composed.threads)
        if sweeper == "optuna":
            search.check(**{name: hydra.sweeper[name] for name in ("trials", "at_once", "startup", "direction")})
            space.parse(list(given.values()))
    settings = {key: override for key, override in given.items() if not state.is_of_sweep(key)}
    axes = {key: _values(override) for key, override in settings.items()}
    varied = {state.key_of(key): values for key, values in axes.items() if len(values) > 1}
    if not varied:
        raise UserError("nothing to sweep over: expected an axis like loss.margin=0.1,0.2, or sweep=margin_dim")
    if sweeper == "basic":
        intervals = [override.input_line for override in settings.values() if override.is_interval_sweep()]
        if intervals:
            raise UserError(f"{intervals[0]}: found an interval, expected values of a grid, or sweep=optuna beside it")
        jobs = math.prod(map(len, axes.values()))
    settings_of_first = _check_each_value(axes)
    if not any(key.startswith("evaluate") for key in varied):
        _check_measured(measure, settings_of_first)
    _check_places(settings_of_first)
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


def _check_each_value(axes: dict[str, list[str]]) -> config.Config:
    """Compose with each value once, the other axes at their first: any product of them would hold that job too.

    Returns the settings of the job that has the first value of each axis.
    """
    first = {key: values[0] for key, values in axes.items()}
    composed = config.compose(list(first.values()))
    for key, values in axes.items():
        for value in values[1:]:
            config.compose(list((first | {key: value}).values()))
    return config.parse(composed, "conf")


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
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise UserError(f"paths.{name}: found {path}, expected a path within the folder that each job has")


def _check_axes(overrides: Iterable[Any]) -> None:
    for override in overrides:
        if not override.is_sweep_override():
            continue
        if state.is_of_sweep(override.get_key_element()):
            raise UserError(f"{override.input_line}: found several values, expected one for all jobs of a sweep")
        values = _values(override)
        if len(set(values)) < len(values):
            raise UserError(f"{override.input_line}: found a value twice, expected each once")
        if getattr(override.value(), "shuffle", False):
            raise UserError(
                f"{override.input_line}: found shuffle, expected the same order each time, by which a sweep goes on"
            )
