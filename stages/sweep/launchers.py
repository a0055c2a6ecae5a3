"""Who starts the jobs of a sweep and how many at once; what Hydra has to know of it, and what must be installed."""

from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stages import cores
from stages.config import CONF
from stages.errors import UserError

_SUBMITIT = {"hydra-submitit-launcher": "hydra_plugins.hydra_submitit_launcher", "submitit": "submitit"}
_NEEDED = {
    "hydra/launcher=joblib": {"hydra-joblib-launcher": "hydra_plugins.hydra_joblib_launcher"},
    "hydra/launcher=submitit_local": _SUBMITIT,
    "hydra/launcher=submitit_slurm": _SUBMITIT,
    "hydra/sweeper=optuna": {"optuna": "optuna"},
}
_INSTALL = ".venv/bin/uv pip install --python .venv/bin/python '.[sweep]'"


def check_installed(launcher: str, sweeper: str) -> None:
    """Check that the packages behind a launcher and a sweeper are there, which are an extra.

    Args:
        launcher: Hydra's choice, like `joblib`.
        sweeper: Hydra's choice, like `optuna`.

    Raises:
        UserError: one is not installed.
    """
    for choice in (f"hydra/launcher={launcher}", f"hydra/sweeper={sweeper}"):
        for package, module in _NEEDED.get(choice, {}).items():
            if not _is_there(module):
                raise UserError(f"{choice}: {package} is not installed; expected the extra `sweep`: {_INSTALL}")


def register() -> None:
    """Tell Hydra of the settings in `conf/sweep/hydra/`, their resolvers and our search, before it composes.

    The settings are laid over those that plugins have stored under the same names. Files where Hydra looks itself would
    be found, with a warning that this is out of date. Plugins are taken by a name in the package `hydra_plugins` alone:
    an entry in Hydra's table spares a folder of that name on the path of this process and of each one it starts.
    """
    from hydra.core.plugins import Plugins
    from omegaconf import OmegaConf

    from stages.sweep.search import Tpe

    for resolver in (at_once, batch_size, trials_at_once, direction):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
    plugins = Plugins.instance()  # which store their settings as they are found
    plugins.class_name_to_class[f"hydra_plugins.{Tpe.__module__}.{Tpe.__name__}"] = Tpe
    for kind in ("launcher", "sweeper"):
        for path in sorted((CONF / "sweep" / "hydra" / kind).glob("*.yaml")):
            _lay_over(f"hydra/{kind}", path)


def at_once(threads: int) -> int:
    """How many jobs of so many threads this machine has cores for, at least one.

    >>> at_once(0), at_once(10_000)
    (1, 1)
    """
    return max(cores.limit(0) // cores.limit(threads), 1)


def batch_size(launcher: Mapping[str, Any], threads: int) -> int | None:
    """How many jobs of a grid a launcher may be handed at a time; None for all of them.

    Args:
        launcher: the settings `hydra.launcher`.
        threads: of a job.
    """
    # submitit's local executor starts all that it is handed, at once. The others know their own limit.
    return at_once(threads) if launcher["_target_"].endswith(".LocalLauncher") else None


def trials_at_once(launcher: Mapping[str, Any], threads: int) -> int:
    """How many jobs a launcher runs at once, which is how many trials a search asks for at a time.

    >>> trials_at_once({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, threads=1)
    1
    >>> trials_at_once({"_target_": "…JoblibLauncher", "n_jobs": 3}, threads=1)
    3
    """
    own_limit = launcher.get("n_jobs") or launcher.get("array_parallelism")
    if own_limit and own_limit < 0:  # joblib's way to say all cores, or all but some
        return max(cores.limit(0) + 1 + own_limit, 1)
    return own_limit or batch_size(launcher, threads) or 1


def direction(metric: str) -> str:
    """Which way a search goes by this measure.

    >>> direction("map_at_r"), direction("eer")
    ('maximize', 'minimize')
    """
    from stages.sweep.measure import Measure

    return "minimize" if Measure.named(metric).lower_is_better else "maximize"


def _lay_over(group: str, path: Path) -> None:
    from hydra.core.config_store import ConfigStore
    from hydra.plugins.config_source import ConfigLoadError
    from omegaconf import OmegaConf

    settings = OmegaConf.load(path)
    with suppress(ConfigLoadError):  # ours alone, or the plugin is not installed, which `check_installed` tells
        settings = OmegaConf.merge(ConfigStore.instance().load(f"{group}/{path.name}").node, settings)
    ConfigStore.instance().store(group=group, name=path.stem, node=settings, provider="stages.sweep")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False
