"""The answer of a sweep: results as a table and as pictures, and the best settings as a preset."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages import naming, store
from stages.sweep import axes, pictures, preset, records, results
from stages.sweep.axes import SEED
from stages.sweep.measure import Measure
from stages.sweep.ranked import Group, rank
from stages.sweep.records import Record
from stages.sweep.state import key_of
from stages.tracking import sweeps

RESULTS = "results.csv"


@dataclass(frozen=True)
class Answer:
    """What a sweep has found.

    Attributes:
        jobs: that have ended.
        groups: of them, best first.
        files: that say so, in the sweep's folder.
        command: that runs the pipeline with the best settings; None where no job has the measure.
    """

    jobs: list[Record]
    groups: list[Group]
    files: list[Path]
    command: str | None

    @property
    def finished(self) -> int:
        """How many jobs have figures."""
        return sum(job.finished for job in self.jobs)

    @property
    def failed(self) -> int:
        """How many jobs have none."""
        return len(self.jobs) - self.finished


def find(folder: Path, measure: Measure) -> Answer:
    """Rank the jobs that have ended, and write results, pictures and the preset of the best.

    Raises:
        UserError: jobs have finished, but none has the measure.
    """
    jobs = records.load_all(folder)
    groups = rank(jobs, measure)
    store.save_text(folder / RESULTS, results.csv_text(jobs, groups, measure))
    with naming.missing_letters_told(
        [str(value) for group in groups for value in group.values.values()], "the settings"
    ):
        files = [folder / RESULTS, *pictures.draw(groups, axes.find(jobs), measure, folder)]
    if not groups or groups[0].score is None:
        return Answer(jobs, groups, files, None)
    overrides = _without_averaged_seed(groups[0], jobs)
    command = " ".join(["dvc exp run", *(f"-S {shlex.quote(override)}" for override in overrides)])
    if preset.write(overrides, _comment(groups[0], jobs, measure, folder)):
        command = f"dvc exp run -S experiment={preset.NAME}"
        store.save_text(folder / preset.PATH.name, preset.PATH.read_text(encoding="utf-8"))
        files.append(folder / preset.PATH.name)
    return Answer(jobs, groups, files, command)


def log(answer: Answer, measure: Measure, run_id: str) -> None:
    """Log the answer into the sweep's own MLflow run."""
    figures: dict[str, float | None] = {"jobs/finished": answer.finished, "jobs/failed": answer.failed}
    with sweeps.parent(run_id) as run:
        if answer.command:
            best = answer.groups[0]
            # Not under the names that jobs have: it would stand among them.
            figures |= {f"best/validation/{measure.name}": best.score}
            figures |= {f"best/test/{name}": mean.mean for name, mean in best.test.items()}
            run.tags({"best": best.values})
        run.metrics(figures)
        run.tags({"jobs": in_words(answer)})
        for file in answer.files:
            run.artifact(file)


def in_words(answer: Answer) -> str:
    """How many jobs there are, in words."""
    return f"{answer.finished} finished" + (f", {answer.failed} failed" if answer.failed else "")


def _without_averaged_seed(best: Group, jobs: Sequence[Record]) -> list[str]:
    """The best settings; where seeds are an axis, no seed is better than another."""
    seeds = {axes.value_of(job, SEED) for job in jobs}
    return [override for override in best.records[0].overrides if len(seeds) == 1 or key_of(override) != SEED]


def _comment(best: Group, jobs: Sequence[Record], measure: Measure, folder: Path) -> str:
    values = ", ".join(f"{name} {results.shown(value)}" for name, value in best.values.items())
    found = results.mean(best.validation)
    test = ", ".join(f"{Measure(name).label} {results.mean(mean)}" for name, mean in best.test.items())
    seconds = f" Training took {best.train_seconds:.0f} s." if best.train_seconds is not None else ""
    over = f"Mean ± s.d. over {best.seeds} seeds; here it is the seed of conf/config.yaml.\n" if best.seeds > 1 else ""
    return (
        f"The best of {len(jobs)} jobs of {folder}, by {measure.title}: {found}.{seconds}\n"
        f"{values}.\nOn test, which chose nothing: {test}.\n"
        f"{over}Written by `python -m stages.sweep`; the next sweep replaces it.\n\n"
        f"  dvc exp run -S experiment={preset.NAME}"
    )
