import itertools
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from stages.errors import UserError
from stages.sweep import space, trials
from stages.sweep.search import Tpe
from stages.sweep.trials import Trial

PARAMS = {
    "margin": "tag(log,interval(0.05,2.0))",
    "dim": "choice(2,4,8,16,32,64)",
    "classes": "range(4,11)",
    "loss": "choice(hard,soft)",
}


class Killed(BaseException):
    pass


class Launcher:
    """Computes a score for each job at once, and notes what it was handed."""

    def __init__(self, score=None, kill_at=None):
        self.score, self.kill_at = score or smooth, kill_at
        self.launched = []

    def launch(self, job_overrides, initial_job_idx):
        jobs = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            if number == self.kill_at:
                raise Killed
            self.launched.append((number, overrides))
            jobs.append(JobReturn(overrides=overrides, status=JobStatus.COMPLETED))
            jobs[-1].return_value = self.score(dict(override.split("=") for override in overrides))
        return jobs


def smooth(values):
    return (
        -abs(math.log(float(values["margin"]) / 0.3))
        - abs(int(values["dim"]) - 16) / 64
        + 0.1 * (values["loss"] == "soft")
    )


def search(folder, launcher, *arguments, params=PARAMS, **changes):
    settings: dict[str, Any] = {"trials": 14, "at_once": 2, "startup": 6, "seed": 0, "direction": "maximize"} | changes
    sweeper = Tpe(**settings, params=params)
    loader = SimpleNamespace(load_sweep_config=lambda **_: None)
    sweeper.hydra_context = SimpleNamespace(config_loader=loader)
    sweeper.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}})
    sweeper.launcher = launcher
    sweeper.sweep(list(arguments))
    return launcher.launched


def kept(folder):
    return json.loads((folder / trials.FILE).read_text())["trials"]


def parsed(*overrides):
    return space.parse(OverridesParser.create().parse_overrides(list(overrides)))


def test_values_lie_in_the_space_and_every_kind_is_tried(tmp_path):
    launched = [
        dict(override.split("=") for override in overrides) for _, overrides in search(tmp_path, Launcher(), trials=40)
    ]
    margins = [float(values["margin"]) for values in launched]
    assert all(0.05 <= margin <= 2.0 for margin in margins)
    assert all(len(f"{margin:.12g}".replace(".", "").lstrip("0")) <= 4 for margin in margins)
    assert {values["dim"] for values in launched} <= {"2", "4", "8", "16", "32", "64"}
    assert {values["classes"] for values in launched} <= set(map(str, range(4, 11)))
    assert {values["loss"] for values in launched} == {"hard", "soft"}
    assert len({values["dim"] for values in launched}) > 3


def test_a_logarithmic_interval_is_random_by_magnitude():
    asked = trials.ask(parsed("x=tag(log,interval(0.0001,1))"), [], 200, direction="maximize", startup=1000, seed=0)
    logarithms = [math.log10(float(trial.values["x"])) for trial in asked]
    assert sum(logarithms) / len(logarithms) == pytest.approx(-2, abs=0.25)  # of a linear one: -0.43


def test_whole_intervals_and_single_values_are_asked_as_such():
    asked = trials.ask(
        parsed("n=int(interval(2,5))", "m=choice(7)", "rate=range(0,1,0.25)"), [], 30,
        direction="maximize", startup=1000, seed=0,
    )  # fmt: skip
    assert {trial.values["n"] for trial in asked} == {"2", "3", "4", "5"}
    assert {trial.values["m"] for trial in asked} == {"7"}
    assert {trial.values["rate"] for trial in asked} == {"0.0", "0.25", "0.5", "0.75"}


def test_rounding_does_not_leave_the_interval():
    axis = space.Interval(0.123456, 0.123459, log=False)
    assert axis.low <= float(axis.text(0.123457)) <= axis.high


def test_optuna_is_told_the_value_that_the_job_had():
    searched = parsed("x=interval(0,1)", "n=8,2,4", "loss=hard,soft")
    trial = Trial({"x": "0.1235", "n": "4", "loss": "soft"}).with_score(0.5)
    frozen = trials._for_optuna(searched, trial)
    assert (frozen.params, frozen.value) == ({"x": 0.1235, "n": 1, "loss": "soft"}, 0.5)


def test_the_command_line_replaces_axes_and_adds_to_them(tmp_path):
    launched = search(tmp_path, Launcher(lambda _: 1.0), "dim=16", "rate=interval(1,2)", "seed=3", trials=2)
    for _, overrides in launched:
        assert overrides[:2] == ["dim=16", "seed=3"]
        assert [override.split("=")[0] for override in overrides[2:]] == ["margin", "classes", "loss", "rate"]


@pytest.mark.parametrize("at_once", [1, 2, 4])
@pytest.mark.parametrize("kill_at", [0, 1, 9, 13])
def test_a_killed_search_goes_on_with_the_trials_of_an_unbroken_one(tmp_path, at_once, kill_at):
    unbroken = search(tmp_path / "unbroken", Launcher(), at_once=at_once)
    with pytest.raises(Killed):
        search(tmp_path / "killed", first := Launcher(kill_at=kill_at), at_once=at_once)
    second = search(tmp_path / "killed", Launcher(), at_once=at_once)
    begun = kill_at // at_once * at_once
    assert second == unbroken[begun:]  # the whole batch again, under its numbers
    assert first.launched == unbroken[:kill_at]
    assert kept(tmp_path / "killed") == kept(tmp_path / "unbroken")


def test_a_killed_batch_is_launched_again_whatever_the_launcher_then_runs_at_once(tmp_path):
    unbroken = search(tmp_path / "unbroken", Launcher(), at_once=4)
    with pytest.raises(Killed):
        search(tmp_path / "killed", Launcher(kill_at=9), at_once=4)
    second = search(tmp_path / "killed", Launcher(), at_once=1)
    assert second[:4] == unbroken[8:12]
    assert [number for number, _ in second] == list(range(8, 14))


def test_a_search_that_has_ended_launches_nothing_and_more_trials_continue_it(tmp_path):
    longer = search(tmp_path / "longer", Launcher(), trials=18)
    assert search(tmp_path / "twice", Launcher()) == longer[:14]
    assert search(tmp_path / "twice", Launcher()) == []
    assert search(tmp_path / "twice", Launcher(), trials=18) == longer[14:]


def test_trials_depend_on_scores_seed_and_direction(tmp_path):
    variants: dict[str, dict[str, Any]] = {"as it is": {}, "seed": {"seed": 1}, "direction": {"direction": "minimize"}}
    launched = [search(tmp_path / name, Launcher(), **changes) for name, changes in variants.items()]
    launched.append(search(tmp_path / "scores", Launcher(lambda values: float(values["margin"]))))
    for one, other in itertools.combinations(launched, 2):
        assert one != other
    assert launched[0][:6] == launched[2][:6] == launched[3][:6]  # random ones


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf")])
def test_a_trial_without_a_score_has_failed_and_the_search_goes_on(tmp_path, nothing):
    launcher = Launcher(lambda values: nothing if values["loss"] == "hard" else smooth(values))
    assert len(search(tmp_path, launcher)) == 14
    for trial in kept(tmp_path):
        failed = trial["values"]["loss"] == "hard"
        assert (trial["status"], trial["score"] is None) == ("failed" if failed else "finished", failed)


def test_a_search_whose_trials_all_fail_ends(tmp_path):
    assert len(search(tmp_path, Launcher(lambda _: None))) == 14


def test_a_trial_keeps_away_from_those_that_still_run():
    searched = parsed("x=interval(0,1)")
    ended = [Trial({"x": str(x / 20)}).with_score(-abs(x / 20 - 0.5)) for x in range(21)]
    running = [Trial({"x": str(0.45 + x / 100)}) for x in range(11)]

    def distance(known):
        settings: dict[str, Any] = {"direction": "maximize", "startup": 10}
        asked = [trials.ask(searched, known, 1, seed=seed, **settings)[0] for seed in range(30)]
        return sum(abs(float(trial.values["x"]) - 0.5) for trial in asked) / len(asked)

    assert distance([*ended, *running]) > 1.5 * distance(ended)


def test_trials_asked_together_differ(tmp_path):
    launched = search(tmp_path, Launcher(), trials=40, at_once=8)
    for start in range(0, 40, 8):
        assert len({tuple(overrides) for _, overrides in launched[start : start + 8]}) == 8


@pytest.mark.parametrize(
    ("arguments", "changes", "found"),
    [
        (["margin=interval(0.1,2)"], {}, "found margin tag(log,interval(0.05,2.0)), and now interval(0.1,2.0)"),
        (["dim=4"], {}, "found fixed [], and now ['dim=4']"),
        (["new=1,2"], {}, "found new not set, and now choice(1,2)"),
        (["seed=1"], {}, "found fixed [], and now ['seed=1']"),
        ([], {"direction": "minimize"}, "found direction maximize, and now minimize"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(tmp_path, arguments, changes, found):
    search(tmp_path, Launcher(), trials=2)
    before = kept(tmp_path)
    with pytest.raises(UserError) as refusal:
        search(tmp_path, Launcher(), *arguments, **changes)
    assert str(refusal.value).startswith(f"{tmp_path / trials.FILE}: {found}")
    assert str(refusal.value).endswith("; expected the search that began here, or a new folder")
    assert kept(tmp_path) == before


def test_computing_anew_is_no_other_search(tmp_path):
    search(tmp_path, Launcher(), trials=2)
    assert len(search(tmp_path, Launcher(), "sweep.force=true", trials=4)) == 2


@pytest.mark.parametrize("content", ["[]", "{}", '{"trials": 1}', '{"trials": [{"value": 1}]}', "{"])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / trials.FILE).write_text(content)
    with pytest.raises(UserError, match=trials.FILE):
        search(tmp_path, Launcher())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("x=interval(2,1)", "x: found interval(2.0,1.0), expected interval(low,high) with low < high"),
        ("x=interval(1,1)", "x: found interval(1.0,1.0), expected interval(low,high) with low < high"),
        ("x=tag(log,interval(0,1))", "x: found tag(log,interval(0.0,1.0)), expected interval(low,high) with 0 < low <"),
        ("x=tag(logg,interval(1,2))", "x: found tag(logg, …), expected tag(log, interval(…)) or no tag"),
        ("x=tag(log,choice(1,2))", "x: found tag(log, …), expected tag(log, interval(…)) or no tag"),
        ("x=1", "search: found nothing to search; expected a key with several values, as in 'loss.margin=interval("),
    ],
)
def test_a_space_that_means_nothing_is_refused(override, message):
    with pytest.raises(UserError) as refusal:
        parsed(override)
    assert str(refusal.value).startswith(message)


def test_a_shuffled_choice_is_the_same_space_each_time():
    spaces = {json.dumps(parsed("x=shuffle(1,2,3,4,5)", "y=shuffle(a,b,c,d)").described()) for _ in range(20)}
    assert spaces == {'{"axes": {"x": "choice(1,2,3,4,5)", "y": "choice(a,b,c,d)"}, "fixed": []}'}


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [("trials", 0, "at least 1"), ("at_once", -1, "at least 1"), ("startup", 0, "at least 1"),
     ("direction", "up", "maximize or minimize")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(tmp_path, setting, value, expected):
    with pytest.raises(UserError) as refusal:
        search(tmp_path, Launcher(), **{setting: value})
    assert str(refusal.value) == f"hydra.sweeper.{setting}: found {value}, expected {expected}"


def test_a_configuration_that_hydra_refuses_leaves_no_trial_behind(tmp_path):
    sweeper = Tpe(trials=2, at_once=1, startup=1, seed=0, direction="maximize", params={"x": "interval(0,1)"})

    def refuse(**_):
        raise KeyError("x")

    sweeper.hydra_context = SimpleNamespace(config_loader=SimpleNamespace(load_sweep_config=refuse))
    sweeper.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    with pytest.raises(KeyError):
        sweeper.sweep([])
    assert not (tmp_path / trials.FILE).exists()
