"""Sweep over settings: `python -m stages.sweep -m loss.margin=0.1,0.2,0.5 network.embedding_dim=4,16,64`.

One job a combination: train, embed and evaluate, each in a folder of its own, on shared prepared data. At the end
all of them are ranked by a measure on validation, and the best settings are written as a preset.
"""

import argparse
import itertools
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stages import config, interruption, orphan
from stages.command import call_or_exit
from stages.errors import UserError, said_by
from stages.sweep import answer, cell, launchers, records, results, state, watch
from stages.sweep.measure import Measure
from stages.sweep.plan import Plan, plan
from stages.tracking import sweeps

_EXAMPLES = """examples:
  python -m stages.sweep -m loss.margin=0.1,0.2,0.5,1.0 network.embedding_dim=4,8,16,64
  python -m stages.sweep -m sweep=margin_dim seed=0,1,2        a preset of axes; mean and deviation over seeds
  python -m stages.sweep -m loss=batch_hard,semi_hard data=mnist --metric recall_at_1
  python -m stages.sweep -m sweep=margin_dim hydra/launcher=joblib threads=1       jobs beside each other
  python -m stages.sweep -m sweep=optuna                       a search (TPE) in place of a grid
  python -m stages.sweep --resume multirun/2026-01-31_12-00-00

The exit status is 1 if all jobs failed.
"""

_GRACE = interruption.GRACE + 15  # that of a job, and time to tell MLflow


def run(overrides: Sequence[str], metric: str | None, resume: Path | None, *, force: bool) -> int:
    """Run a sweep, or go on with one, and show its answer.

    Args:
        overrides: Hydra's.
        metric: by which validation measure to rank; by default what the configuration says.
        resume: the folder of the sweep to go on with.
        force: compute what was computed before, too.

    Returns:
        The exit status: 1 if all jobs failed.

    Raises:
        UserError: the overrides give no sweep, a package is missing, or the folder is in use.
    """
    launchers.register()
    begun = state.load(resume) if resume else None
    arguments = _resumed(begun, overrides) if begun else list(overrides)
    if metric:
        arguments = _with(arguments, [f"sweep.metric={metric}"])
    composed = _with(arguments, ["sweep.force=true"]) if force else arguments  # which is not for when it goes on
    planned = plan(composed)
    launchers.check_installed(planned.launcher, planned.sweeper)
    if begun:
        _check_same(begun, planned)
    named = any(state.key_of(override) == "hydra.sweep.dir" for override in overrides)
    folder = state.shown(resume or (planned.folder if named else _free(planned.folder)))
    with _alone(folder):
        if not resume and (folder / state.FILE).exists():
            raise UserError(f"{folder}: holds a sweep already; expected another hydra.sweep.dir, or --resume {folder}")
        sweep = _opened(folder, arguments, planned, begun)
        try:
            _launch(composed, folder, sweep, planned)
            found = answer.find(folder, planned.measure)
            answer.log(found, planned.measure, sweep.run_id)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            sweeps.close_parent(sweep.run_id, "KILLED" if interrupted else "FAILED")
            how = f"to go on: python -m stages.sweep --resume {folder}"
            if interrupted:
                raise interruption.Interrupted(getattr(error, "signal_number", signal.SIGINT), how) from error
            if records.load_all(folder):
                print(f"cut off; {how}", file=sys.stderr, flush=True)
            raise
        all_failed = found.failed == len(found.jobs)
        sweeps.close_parent(sweep.run_id, "FAILED" if all_failed else "FINISHED")
    _show(found, planned.measure)
    if found.failed:
        print(f"\nto try what failed once more:\n  python -m stages.sweep --resume {folder}")
    return 1 if all_failed else 0


_MAY_CHANGE = re.compile(r"hydra/launcher|hydra\.launcher\..*|hydra\.sweeper\.(trials|at_once)|sweep\.(metric|force)")


def _resumed(begun: state.Sweep, overrides: Sequence[str]) -> list[str]:
    """The overrides of a sweep that was begun, with others for the way it goes on."""
    for override in overrides:
        if not _MAY_CHANGE.fullmatch(state.key_of(override)):
            raise UserError(
                f"{override}: a sweep goes on with its own jobs, expected hydra/launcher, hydra.launcher.…, "
                "hydra.sweeper.trials or none"
            )
    return _with(begun.arguments, overrides)


def _check_same(begun: state.Sweep, planned: Plan) -> None:
    """Refuse to go on with other jobs than there were: of presets that were edited, or by another measure searched."""
    if planned.axes != begun.axes:
        raise UserError(
            f"{begun.name}: conf/ gives axes {planned.axes} now, expected those of the sweep, {begun.axes}; "
            "a new sweep takes from this one what is the same"
        )
    if planned.sweeper != "basic" and planned.measure.name != begun.metric:
        raise UserError(
            f"metric: found {planned.measure.name}, expected {begun.metric}, by which this search asks for its jobs; "
            "results.csv has the other measures"
        )


def _with(overrides: Sequence[str], others: Sequence[str]) -> list[str]:
    """The overrides, with others in the place of those of the same key."""
    replaced = {state.key_of(override) for override in others}
    return [*(override for override in overrides if state.key_of(override) not in replaced), *others]


def _free(folder: Path) -> Path:
    """The folder, made, or if another sweep began in the same second one beside it."""
    for name in itertools.chain([folder.name], (f"{folder.name}_{number}" for number in itertools.count(2))):
        try:
            folder.with_name(name).mkdir(parents=True)
        except FileExistsError:
            continue
        return folder.with_name(name)
    raise AssertionError("there are infinitely many names")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from working on the same sweep."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder}: found another process at work on this sweep, expected none") from None
    try:
        yield
    finally:
        lock.release()


def _opened(folder: Path, arguments: list[str], planned: Plan, begun: state.Sweep | None) -> state.Sweep:
    """The sweep with its MLflow run, a new one or that which it had."""
    tags = {"mlflow.runName": f"sweep {folder.name}", "sweep": folder.name, "sweep.metric": planned.measure.name}
    run_id = sweeps.open_parent(tags, begun.run_id if begun else None)
    metric = begun.metric if begun else planned.measure.name
    sweep = state.Sweep(folder.name, arguments, planned.axes, metric, run_id)
    state.save(folder, sweep)
    return sweep


def _launch(overrides: list[str], folder: Path, sweep: state.Sweep, planned: Plan) -> None:
    """Hand over to Hydra, which calls `cell.compute` for each job through its launcher."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    number = "" if planned.jobs is None else f"{planned.jobs} "
    beside = f", {planned.at_once} at a time" if planned.at_once > 1 else ""
    finished = sum(record.finished for record in records.load_all(folder))
    before = f", of which {finished} had finished before" if finished else ""
    print(f"{number}jobs{beside} → {folder}{before}; Ctrl+C stops, `--resume {folder}` goes on", flush=True)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises then, where else it prints and exits
    sys.argv = [sys.argv[0], *_with(overrides, [f"hydra.sweep.dir={_quoted(folder)}"])]
    with watch.reporting(folder, sweep, planned.jobs, planned.measure):
        try:
            hydra.main(version_base=None, config_path=str(config.CONF), config_name="sweep")(cell.compute)()
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(f"conf: {said_by(error)}") from error


def _quoted(path: Path) -> str:
    """A path as a string of Hydra's grammar."""
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _show(found: answer.Answer, measure: Measure) -> None:
    print(f"\n{answer.in_words(found)}\n", results.table(found.groups, measure), sep="\n")
    print("\nfiles:", *(f"  {file}" for file in found.files), sep="\n")
    if found.command:
        print(f"\nthe pipeline with the best settings, until another sweep has other ones:\n  {found.command}")


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.sweep",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("overrides", nargs="*", help="Hydra's: axes like loss.margin=0.1,0.2, and settings of all jobs")
    parser.add_argument("-m", "--multirun", action="store_true", help="as every Hydra program has it; always on here")
    parser.add_argument("--metric", help="validation measure to rank by, like map_at_r or recall_at_1")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the sweep in this folder")
    parser.add_argument("--end-with", type=int, metavar="PID", help="the process that started this one")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--force", action="store_true", help="compute what was computed before, too")
    options = parser.parse_intermixed_args()

    def sweep() -> None:
        sys.exit(run(options.overrides, options.metric, options.resume, force=options.force))

    with interruption.handled(_GRACE):
        if options.end_with:
            orphan.end_with("sweep", options.end_with)
        call_or_exit("sweep", sweep, debug=options.debug)


if __name__ == "__main__":
    _main()
