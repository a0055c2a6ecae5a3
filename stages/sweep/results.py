"""The answer of a sweep in words: a table on the terminal, and a CSV file with a row a job."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from stages import naming
from stages.evaluate.table import number
from stages.sweep import axes
from stages.sweep.axes import ABSENT, SEED, Setting
from stages.sweep.measure import RANKS, REPORTED, Measure
from stages.sweep.ranked import Cost, Group, Mean, figures, pareto, varies
from stages.sweep.records import Record

LETTERS = 24  # of a value in the table
SHOWN = ("recall_at_1", "map_at_r", "verification_accuracy")  # on test, beside the measure that ranks


def csv_text(records: Sequence[Record], groups: Sequence[Group], measure: Measure) -> str:
    """A row a job, of the best group first.

    Columns: rank, job, status, the axes by their full names, seed if it is varied, the measure that ranks (with `.mean`
    and `.sd` over the seeds), the other headline figures of validation and test, embedding_dim, parameters,
    train_seconds, step_ms, reused, run_id, error. Empty where there is nothing to say.
    """
    names = [axis.name for axis in axes.find(records)]
    seeds = len({axes.value_of(record, SEED) for record in records}) > 1
    beside = [(view, other) for view in (RANKS, REPORTED) for other in figures(measure)][1:]
    title = f"{RANKS}.{measure.name}"
    header = ["rank", "job", "status", *names, *([SEED] if seeds else []), title]
    header += [f"{title}.mean", f"{title}.sd"] if seeds else []
    header += [f"{view}.{other.name}" for view, other in beside]
    rows = []
    for group in groups:
        for job in group.jobs:
            row: list[str | float | None] = [group.rank, job.job, job.status, *map(str, group.values.values())]
            row += [str(axes.value_of(job, SEED))] if seeds else []
            row += [measure.value(job), *([group.score, group.sd] if seeds else [])]
            row += [other.value(job, view) for view, other in beside]
            rows.append([*row, *(getattr(job, name) for name in _OF_JOB)])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [[*header, *_OF_JOB], *([_plain(cell) for cell in row] for row in rows)]
    )
    return text.getvalue()


_OF_JOB = ("embedding_dim", "parameters", "train_seconds", "step_ms", "reused", "run_id", "error")


def table(groups: Sequence[Group], measure: Measure, limit: int = 20) -> str:
    """The best groups as aligned text, with what the columns and marks mean; then the jobs that failed, with why.

    Args:
        groups: ranked.
        measure: by what.
        limit: how many groups, and how many failed jobs, are shown.
    """
    columns = _columns(groups, measure)
    heads = [[column.of for column in columns], [column.title for column in columns]]
    rows = [[column.cell(group) for column in columns] for group in groups[:limit]]
    widths = [max(map(len, cells)) for cells in zip(*heads, *rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [*heads, *rows]]
    rule = "-" * max(map(len, lines))
    more = [f"… and {len(groups) - limit:,} more in results.csv"] if len(groups) > limit else []
    return "\n".join([*lines[:2], rule, *lines[2:], *more, "", *_legend(groups, measure), *_failures(groups, limit)])


@dataclass(frozen=True)
class _Column:
    """Of the table: what its figures are of (a split, or nothing), its title, and what it shows of a group."""

    of: str
    title: str
    cell: Callable[[Group], str]


def _columns(groups: Sequence[Group], measure: Measure) -> list[_Column]:
    short = axes.short_names(list(groups[0].values) if groups else [])
    marks = _marks(groups, measure)
    most = max([group.seeds for group in groups], default=0)
    test = [measure, *(Measure(name) for name in SHOWN if name != measure.name)]
    return [
        _Column("", "rank", lambda group: _rank(group) + marks.get(id(group), "")),
        *(_Column("", title, partial(_value, name=name)) for name, title in short.items()),
        _Column(RANKS, measure.label, lambda group: mean(group.validation)),
        *([_Column("", "seeds", partial(_seeds, most=most))] if most > 1 else []),
        *(_Column(REPORTED, other.label, partial(_tested, name=other.name)) for other in test),
        *([] if "embedding_dim" in short.values() else [_Column("", "dim", lambda group: _count(group.embedding_dim))]),
        _Column("training", "seconds", lambda group: _seconds(group.train_seconds)),
    ]


def shown(value: Setting) -> str:
    """A value of an axis on one line, short enough to stand in a table.

    >>> shown(0.1), shown("{shift:1.0,rotation:10.0,scale:0.1}")
    ('0.1', '{shift:1.0,rota…ale:0.1}')
    """
    return naming.shown(str(value), LETTERS)


def _marks(groups: Sequence[Group], measure: Measure) -> dict[int, str]:
    """By the identity of a group that is on a front."""
    marks: dict[int, str] = {}
    for mark, cost in _FRONTS.items():
        for group in _front(groups, cost, measure):
            marks[id(group)] = marks.get(id(group), " ") + mark
    return marks


_FRONTS: dict[str, Cost] = {"*": "embedding_dim", "+": "train_seconds"}
_SAID = {
    "*": "* Pareto front: the best of its embedding size or any smaller.",
    "+": "+ Pareto front: the best of its training time, which varies by some percent, or any shorter.",
}


def _front(groups: Sequence[Group], cost: Cost, measure: Measure) -> list[Group]:
    return pareto(groups, cost, measure) if varies(groups, cost) else []


def _rank(group: Group) -> str:
    return ABSENT if group.rank is None else str(group.rank)


def _value(group: Group, name: str) -> str:
    return shown(group.values[name])


def mean(found: Mean | None) -> str:
    """A mean, with its standard deviation over seeds if there are several."""
    if found is None or found.sd is None:
        return number(None if found is None else found.mean)
    return f"{number(found.mean)} ± {number(found.sd)}"


def _seeds(group: Group, most: int) -> str:
    return str(most) if group.seeds == most else f"{group.seeds} of {most}"


def _tested(group: Group, name: str) -> str:
    found = group.test.get(name)
    return number(None if found is None else found.mean)


def _count(value: int | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def _seconds(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _legend(groups: Sequence[Group], measure: Measure) -> list[str]:
    better = "lower" if measure.lower_is_better else "higher"
    over = "; ± s.d. over seeds, test: means" if any(group.sd is not None for group in groups) else ""
    marks = [said for mark, said in _SAID.items() if _front(groups, _FRONTS[mark], measure)]
    lines = [f"Ranked by {measure.title}, {better} is better{over}. Figures on test rank nothing."]
    best = sum(group.rank == 1 for group in groups)
    reused = any(job.reused for group in groups for job in group.jobs)
    return [
        *lines,
        *(
            ["Of equal ones the smallest embedding is first, then the earliest job; the first one is taken."]
            * (best > 1)
        ),
        *marks,
        *(["Training times of jobs that were taken from earlier sweeps are those of then."] if reused else []),
    ]


def _failures(groups: Sequence[Group], limit: int) -> list[str]:
    """Failed jobs, those that failed for the same reason together."""
    reasons: dict[str, list[tuple[int, str]]] = {}
    failed = [(job, group) for group in groups for job in group.jobs if not job.finished]
    for job, group in sorted(failed, key=lambda pair: pair[0].job):
        reasons.setdefault(job.error or "no reason was kept", []).append((job.job, _said(job, group)))
    if not failed:
        return []
    count = "1 job" if len(failed) == 1 else f"{len(failed):,} jobs"
    lines = ["", f"{count} failed; each has a log.txt in the folder of its number:"]
    for reason, jobs in reasons.items():
        if len(jobs) == 1:
            lines.append(f"  {jobs[0][0]}  {jobs[0][1]}: {reason}")
            continue
        lines += [f"  {number_}  {said}" for number_, said in jobs[:limit]]
        more = (
            f"  … and {len(jobs) - limit:,} more in results.csv, all of them:"
            if len(jobs) > limit
            else "  all of them:"
        )
        lines.append(f"{more} {reason}")
    return lines


def _said(job: Record, group: Group) -> str:
    values = {**group.values, **({SEED: seed} if (seed := axes.value_of(job, SEED)) != ABSENT else {})}
    return " ".join(f"{name}={shown(value)}" for name, value in values.items()) or "all settings"


def _plain(value: str | float | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
