"""A Hydra sweeper that searches by Optuna's TPE: `python -m stages.sweep -m sweep=optuna`.

It replaces the plugin hydra-optuna-sweeper, whose last version, 1.3.0, holds Optuna below 3 and keeps trials in SQLite,
which fails under SQLAlchemy 2.1, or in memory, where a restart loses them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig

from stages.errors import UserError
from stages.sweep import space, trials
from stages.sweep.trials import Direction, Trial


class Tpe(Sweeper):
    """Ask for a batch of trials, launch it, tell what it reached, until there are as many trials as wanted.

    A trial's number is its job's. Its job returns a score, or None if it failed, and does not raise. Trials stand in
    `trials.json` in the sweep's folder before their jobs start and with their scores once the batch has ended. Sweeping
    again in the same folder launches those whose batch had not ended, under the same numbers, and goes on as if never
    stopped. A trial that failed is not tried again: it tells the search something.

    Args:
        trials: how many, earlier ones in the same folder included.
        at_once: trials in a batch, asked for before any of them has a score.
        startup: random trials before TPE proposes by what they reached.
        seed: the same one asks for the same trials, given the same scores and batches.
        direction: `maximize` or `minimize`.
        params: by key, what to search, in Hydra's grammar of overrides; the command line replaces and adds.
    """

    def __init__(
        self, trials: int, at_once: int, startup: int, seed: int, direction: Direction, params: Mapping[str, Any]
    ) -> None:
        self.trials = trials
        self.at_once = at_once
        self.startup = startup
        self.seed = seed
        self.direction = direction
        self.params = params

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """What Hydra calls before `sweep`."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[Any]]:
        """Search.

        Args:
            arguments: overrides from the command line.

        Returns:
            Of each batch that was launched, what its jobs returned.

        Raises:
            UserError: a setting of the search is not valid, or the folder holds a search of another space.
        """
        check(self.trials, self.at_once, self.startup, self.direction)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = [f"{key}={value}" for key, value in self.params.items()]
        searched = space.parse(parser.parse_overrides([*given, *arguments]))
        file = Path(self.config.hydra.sweep.dir) / trials.FILE
        known = trials.load(file, searched, self.direction)
        returned: list[Sequence[Any]] = []
        while True:
            ended = [trial for trial in known if trial.status != trials.ASKED]
            batch = known[len(ended) :] or self._ask(searched, ended)
            if not batch:
                return returned
            overrides = [searched.overrides(trial.values) for trial in batch]
            self.validate_batch_is_legal(overrides)
            trials.save(file, searched, self.direction, [*ended, *batch])
            jobs = self.launcher.launch(overrides, initial_job_idx=len(ended))
            scored = [trial.with_score(job.return_value) for trial, job in zip(batch, jobs, strict=True)]
            known = [*ended, *scored]
            trials.save(file, searched, self.direction, known)
            returned.append(jobs)

    def _ask(self, searched: space.Space, ended: list[Trial]) -> list[Trial]:
        count = min(self.at_once, self.trials - len(ended))
        return trials.ask(searched, ended, count, direction=self.direction, startup=self.startup, seed=self.seed)


def check(trials: int, at_once: int, startup: int, direction: str) -> None:
    """Refuse settings with which there is no search.

    Raises:
        UserError: a number is below 1, or the direction is none.
    """
    for name, number in (("trials", trials), ("at_once", at_once), ("startup", startup)):
        if number < 1:
            raise UserError(f"hydra.sweeper.{name}: found {number}, expected at least 1")
    if direction not in ("maximize", "minimize"):
        raise UserError(f"hydra.sweeper.direction: found {direction}, expected maximize or minimize")
