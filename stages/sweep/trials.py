"""The trials of a search: asked of Optuna's TPE, kept in one file.

The file is replaced as a whole: a kill at any moment leaves the trials of before or of after. Optuna's own journal
writes a trial in several lines, and one that a kill cut short makes it unreadable after the next is appended. Each
trial gets a sampler of its own and all earlier trials to read, so there is no other state to keep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from stages import config, store
from stages.errors import UserError
from stages.sweep.space import Space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FILE = "trials.json"
Direction = Literal["maximize", "minimize"]
ASKED, FINISHED, FAILED = "asked", "finished", "failed"


@dataclass(frozen=True)
class Trial:
    """One point of the space; its number is its place in the list of trials.

    Attributes:
        values: by key, the value of the override, as text.
        status: `ASKED` until its job has ended, then `FINISHED` or `FAILED`.
        score: what its job reached; None unless finished.
    """

    values: Mapping[str, str]
    status: str = ASKED
    score: float | None = None

    def with_score(self, score: float | None) -> "Trial":
        """The same trial once its job has ended; without a finite score it has failed."""
        if score is None or not np.isfinite(score):
            return Trial(self.values, FAILED)
        return Trial(self.values, FINISHED, float(score))


def save(path: Path, space: Space, direction: Direction, trials: Sequence[Trial]) -> None:
    """Write the trials, and what they were asked for."""
    content = {"direction": direction, **space.described(), "trials": [asdict(trial) for trial in trials]}
    store.save_json(path, content)


def load(path: Path, space: Space, direction: Direction) -> list[Trial]:
    """The trials so far; none where there is no file.

    Raises:
        UserError: they are of another space or direction, or the file holds something else.
    """
    if not path.is_file():
        return []
    content = store.load_json(path)
    try:
        trials = [Trial(**trial) for trial in content.pop("trials")]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: found other content ({error!r}), expected what a search wrote") from None
    expected = {"direction": direction, **space.described()}
    if content != expected:
        raise UserError(
            f"{path}: {_difference(content, expected)}; expected the search that began here, or a new folder"
        )
    return trials


def ask(
    space: Space, trials: Sequence[Trial], count: int, *, direction: Direction, startup: int, seed: int
) -> list[Trial]:
    """The next trials, a pure function of what is passed.

    Args:
        space: what may be tried.
        trials: all earlier ones. Those without a score yet are taken to be bad, so that others are asked meanwhile.
        count: how many to ask.
        direction: `maximize` or `minimize`.
        startup: so many finished trials are random before TPE proposes by them.
        seed: of the proposals.

    >>> from stages.sweep.space import Choice
    >>> ask(Space({"n": Choice(("7",), True)}, []), [], 1, direction="maximize", startup=10, seed=0)
    [Trial(values={'n': '7'}, status='asked', score=None)]
    """
    asked: list[Trial] = []
    for _ in range(count):
        asked.append(_next(space, [*trials, *asked], direction, startup, seed))
    return asked


def _next(space: Space, trials: Sequence[Trial], direction: Direction, startup: int, seed: int) -> Trial:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    own_seed = int(np.random.SeedSequence([seed, len(trials)]).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(seed=own_seed, n_startup_trials=startup, constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction=direction)
    study.add_trials([_for_optuna(space, trial) for trial in trials])
    suggested = study.ask({key: axis.distribution() for key, axis in space.axes.items()}).params
    return Trial({key: axis.text(suggested[key]) for key, axis in space.axes.items()})


def _for_optuna(space: Space, trial: Trial) -> "FrozenTrial":
    """With the values as its job had them, rounded, and not as Optuna had suggested them."""
    from optuna.trial import TrialState, create_trial

    states = {ASKED: TrialState.RUNNING, FINISHED: TrialState.COMPLETE, FAILED: TrialState.FAIL}
    return create_trial(
        state=states[trial.status],
        value=trial.score,
        params={key: axis.for_optuna(trial.values[key]) for key, axis in space.axes.items()},
        distributions={key: axis.distribution() for key, axis in space.axes.items()},
    )


def _difference(found: Mapping[str, object], expected: Mapping[str, object]) -> str:
    old, new = (dict(config.flatten(content)) for content in (found, expected))
    name = next(name for name in [*new, *old] if old.get(name) != new.get(name))
    return f"found {name.removeprefix('axes.')} {old.get(name, 'not set')}, and now {new.get(name, 'not set')}"
