"""The settings of a job as a preset of `conf/experiment/`, so that the pipeline runs with them by one name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stages import config, store
from stages.errors import UserError

NAME = "best"
PATH = config.CONF / "experiment" / f"{NAME}.yaml"
_NO_GROUPS = ("experiment",)  # a preset's values are written out, for another sweep may replace it


def text(overrides: Sequence[str], comment: str) -> str:
    """A preset that composes to what these overrides compose to.

    It names the choices of groups that differ from those of `conf/config.yaml`, then all values that still differ.

    Args:
        overrides: Hydra's, of one job.
        comment: what the preset is.
    """
    chosen, default = (_choices(arguments) for arguments in (overrides, ()))
    choices = {group: choice for group, choice in chosen.items() if choice != default.get(group)}
    wanted = _leaves(overrides)
    given = _leaves([f"{group}={choice}" for group, choice in choices.items()])
    values = {name: value for name, value in wanted.items() if name not in given or given[name] != value}
    content: dict[str, Any] = {}
    if choices:
        content["defaults"] = [{f"override /{group}": choice} for group, choice in choices.items()]
    for name, value in values.items():
        *sections, key = name.split(".")
        section = content
        for part in sections:
            section = section.setdefault(part, {})
        section[key] = value
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True) if content else ""
    return "\n".join(["# @package _global_", *(f"# {line}".rstrip() for line in comment.splitlines()), body])


def write(overrides: Sequence[str], comment: str, path: Path = PATH) -> bool:
    """Write the preset; returns whether the pipeline composes to the job's settings with it.

    Where it does not, for a preset cannot take away a key that a group has, the file is left as it was.
    """
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    wanted = config.compose(overrides)  # first: they may name the preset that is being replaced
    store.save_text(path, text(overrides, comment))
    try:
        if config.compose([f"experiment={path.stem}"]) == wanted:
            return True
    except UserError:
        pass
    if before is None:
        path.unlink()
    else:
        store.save_text(path, before)
    return False


def _choices(overrides: Sequence[str]) -> dict[str, str]:
    """The file that was chosen of each group."""
    choices = _composed(overrides, with_hydra=True).hydra.runtime.choices
    return {
        group: choice for group, choice in choices.items() if not group.startswith("hydra/") and group not in _NO_GROUPS
    }


def _leaves(overrides: Sequence[str]) -> Mapping[str, Any]:
    """All values under their dotted names; references to other values as references."""
    from omegaconf import OmegaConf

    return dict(config.flatten(OmegaConf.to_container(_composed(overrides), resolve=False)))  # type: ignore[arg-type]


def _composed(overrides: Sequence[str], *, with_hydra: bool = False) -> Any:
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(config.CONF), version_base=None):
        return compose("config", overrides=list(overrides), return_hydra_config=with_hydra)
