"""The jobs of a sweep in groups that differ in the seed only, ranked by a measure on validation."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from stages.errors import UserError
from stages.sweep import axes
from stages.sweep.axes import Setting
from stages.sweep.measure import RANKS, REPORTED, Measure
from stages.sweep.records import Record

HEADLINES = ("recall_at_1", "map_at_r", "verification_accuracy", "eer")
"""Measures that stand beside the one that ranks."""

Cost = Literal["embedding_dim", "train_seconds"]


@dataclass(frozen=True)
class Mean:
    """A figure over seeds.

    Attributes:
        mean: over the seeds that have the figure.
        sd: sample standard deviation; None of a single seed.
        seeds: how many.
    """

    mean: float
    sd: float | None
    seeds: int


@dataclass(frozen=True)
class Group:
    """Jobs that differ in nothing but the seed.

    Attributes:
        rank: from 1, equal ones the same; None without a score.
        values: by the name of the axis.
        jobs: all of them, in their order.
        validation: the measure that ranks; None if no job has it.
        test: by the name of the measure, the one that ranks among them; those that no job has are left out.
        embedding_dim: numbers in an embedding; None if no job finished.
        parameters: weights of the encoder; None if no job finished.
        train_seconds: mean over the jobs of which it is known; None if there is none.
    """

    rank: int | None
    values: dict[str, Setting]
    jobs: tuple[Record, ...]
    validation: Mean | None
    test: dict[str, Mean]
    embedding_dim: int | None
    parameters: int | None
    train_seconds: float | None

    @property
    def records(self) -> list[Record]:
        """The jobs that have figures."""
        return [job for job in self.jobs if job.finished]

    @property
    def score(self) -> float | None:
        """The mean of the measure that ranks."""
        return None if self.validation is None else self.validation.mean

    @property
    def sd(self) -> float | None:
        """The standard deviation of the measure that ranks; None of a single seed."""
        return None if self.validation is None else self.validation.sd

    @property
    def seeds(self) -> int:
        """How many have the measure that ranks."""
        return 0 if self.validation is None else self.validation.seeds

    @property
    def failed(self) -> int:
        """How many jobs have no figures."""
        return len(self.jobs) - len(self.records)


def rank(records: Sequence[Record], measure: Measure) -> list[Group]:
    """Groups, best first, those without a score last; of equal ones the smaller embedding, then the earlier first.

    Raises:
        UserError: jobs have finished, but none has the measure.
    """
    _check(records, measure)
    names = [axis.name for axis in axes.find(records)]
    members: dict[tuple[Setting, ...], list[Record]] = {}
    for record in records:
        found = axes.settings(record)
        members.setdefault(tuple(found.get(name, axes.ABSENT) for name in names), []).append(record)
    groups = [_group(dict(zip(names, values, strict=True)), jobs, measure) for values, jobs in members.items()]
    groups.sort(key=lambda group: (_loss(group, measure), group.embedding_dim or 0))
    losses = [_loss(group, measure) for group in groups]
    return [
        group if group.score is None else replace(group, rank=losses.index(loss) + 1)
        for group, loss in zip(groups, losses, strict=True)
    ]


def pareto(groups: Iterable[Group], cost: Cost, measure: Measure) -> list[Group]:
    """The groups, cheapest first, that no other equals or beats in score and cost, one of them strictly.

    Those without a score or of unknown cost are left out.
    """
    points = [
        (float(paid), _loss(group, measure), group)
        for group in groups
        if group.score is not None and (paid := getattr(group, cost)) is not None
    ]
    best = [
        (paid, group)
        for paid, loss, group in points
        if not any(a <= paid and b <= loss and (a, b) != (paid, loss) for a, b, _ in points)
    ]
    return [group for _, group in sorted(best, key=lambda found: found[0])]


def varies(groups: Iterable[Group], cost: Cost) -> bool:
    """Whether groups with a score cost different amounts: else the front is the best of them, and says nothing more."""
    return len({getattr(group, cost) for group in groups if group.score is not None} - {None}) > 1


def figures(measure: Measure) -> list[Measure]:
    """The measure that ranks, then the others that stand beside it."""
    return [measure, *(Measure(name) for name in HEADLINES if name != measure.name)]


def _check(records: Sequence[Record], measure: Measure) -> None:
    """A figure may be None where its images cannot show it; a measure that nobody asked for is not there at all."""
    finished = [record for record in records if record.finished]
    there = dict.fromkeys(name for record in finished for name in measure.siblings(record))
    if finished and measure.name not in there:
        raise UserError(f"metric: found {measure.name}, which no job measured, expected one of {', '.join(there)}")


def _group(values: dict[str, Setting], jobs: list[Record], measure: Measure) -> Group:
    # A search may ask for the same settings twice: one computation counts once.
    finished = list({job.key: job for job in reversed(jobs) if job.finished}.values())[::-1]
    beside = {other.name: _mean(finished, other, REPORTED) for other in figures(measure)}
    seconds = [job.train_seconds for job in finished if job.train_seconds is not None]
    return Group(
        rank=None,
        values=values,
        jobs=tuple(jobs),
        validation=_mean(finished, measure, RANKS),
        test={name: mean for name, mean in beside.items() if mean is not None},
        embedding_dim=next((job.embedding_dim for job in finished if job.embedding_dim is not None), None),
        parameters=next((job.parameters for job in finished if job.parameters is not None), None),
        train_seconds=statistics.fmean(seconds) if seconds else None,
    )


def _mean(jobs: Sequence[Record], measure: Measure, view: str) -> Mean | None:
    found = [figure for job in jobs if (figure := measure.value(job, view)) is not None]
    if not found:
        return None
    # Rounded, so that means of figures with six digits are equal wherever they are equal on paper.
    return Mean(round(statistics.fmean(found), 9), statistics.stdev(found) if len(found) > 1 else None, len(found))


def _loss(group: Group, measure: Measure) -> float:
    """The less the better."""
    if group.score is None:
        return float("inf")
    return group.score if measure.lower_is_better else -group.score
