import pytest

from stages import cores
from stages.errors import UserError
from stages.sweep import launchers
from stages.sweep.plan import plan


@pytest.fixture(autouse=True, scope="module")
def _registered():
    launchers.register()


def test_a_grid_has_a_job_for_each_combination():
    planned = plan(["loss.margin=0.1,0.2", "network.embedding_dim=2,4,8", "seed=3", "hydra.sweep.dir=here"])
    assert planned.jobs == 6
    assert planned.axes == {
        "loss.margin": ["loss.margin=0.1", "loss.margin=0.2"],
        "network.embedding_dim": [f"network.embedding_dim={size}" for size in (2, 4, 8)],
    }
    assert (planned.launcher, planned.sweeper, str(planned.folder)) == ("basic", "basic", "here")


def test_axes_of_a_preset_are_replaced_and_added_to_by_the_command_line():
    planned = plan(["sweep=margin_dim", "loss.margin=0.3", "seed=0,1,2"])
    assert planned.jobs == 4 * 3
    assert list(planned.axes) == ["network.embedding_dim", "seed"]


def test_a_launcher_runs_as_many_jobs_at_a_time_as_there_are_cores_for_their_threads():
    assert plan(["seed=0,1"]).at_once == 1
    assert plan(["seed=0,1", "hydra/launcher=joblib", "threads=1"]).at_once == cores.limit(0)
    assert plan(["seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=7"]).at_once == 7
    assert plan(["seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=-1"]).at_once == cores.limit(0)


def test_an_axis_that_adds_a_key_is_named_by_it():
    assert list(plan(["+optimizer.weight_decay=0.1,0.2"]).axes) == ["optimizer.weight_decay"]


def test_a_measure_that_an_axis_asks_for_is_not_refused():
    assert plan(["evaluate.recall_at=[1],[1,5]", "sweep.metric=recall_at_5"]).measure.name == "recall_at_5"


def test_a_search_has_as_many_jobs_as_trials():
    planned = plan(["sweep=optuna", "hydra.sweeper.trials=7"])
    assert (planned.jobs, planned.sweeper) == (7, "optuna")
    assert {"loss.margin", "network.embedding_dim", "batches.classes_per_batch"} <= set(planned.axes)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss.margin=0.1"], "nothing to sweep over: expected an axis like loss.margin=0.1,0.2, or sweep=margin_dim"),
        (["loss.margn=0.1,0.2"], "conf: loss.margn: unknown key, the nearest valid one is loss.margin"),
        (["loss=batch_hard,semi_hard", "loss.margn=0.1"], "conf: loss.margn: unknown key, the nearest .* loss.margin"),
        (
            ["loss=batch_hard,semihard"],
            "conf: loss=semihard: no such option, the nearest valid one is semi_hard of .*triplet",
        ),
        (["sweep.metric=eer,auc", "seed=0,1"], "sweep.metric=eer,auc: found several values, expected one for all jobs"),
        (["loss.margin=0.1,0.2,0.1"], "loss.margin=0.1,0.2,0.1: found a value twice, expected each once"),
        (["seed=shuffle(0,1,2)"], r"seed=shuffle\(0,1,2\): found shuffle, expected the same order each time"),
        (["seed=0,1", "paths.metrics=../all"], "paths.metrics: found ../all"),
        (["sweep=optuna", "hydra.sweeper.trials=0"], "hydra.sweeper.trials: found 0, expected at least 1"),
        (["seed=0,-1"], "conf: seed: found -1, expected greater than or equal to 0"),
        (["train.steps=60,61"], "conf: train: steps .61. is no multiple of steps_per_epoch .60.: set both"),
        (["seed=0,1", "sweep.metrik=x"], "conf: sweep.metrik: unknown key, the nearest valid one is sweep.metric"),
        (
            ["seed=0,1", "sweep=margin_dm"],
            "conf: sweep=margin_dm: no such option, the nearest valid one is margin_dim of",
        ),
        (
            ["seed=0,1", "hydra/launcher=slurm"],
            "conf: hydra/launcher=slurm: no such .* is submitit_slurm of basic, joblib",
        ),
        (["seed=0,1", "hydra.launcher.n_job=2"], "conf: .*n_job"),
        (["seed=0,1", "sweep.metric=test.map_at_r"], "metric: found test.map_at_r, but figures on test choose nothing"),
        (["seed=0,1", "sweep.metric=recall_at_5"], "metric: found recall_at_5, but evaluate.recall_at has 1, 2, 4, 8"),
        (["seed=0,1", "sweep.metric=val_at_far_0.5"], "evaluate.fars has 1e-2, 1e-3, 1e-4 alone"),
        (["sweep=optuna", "loss.margin=interval(1,0.1)"], "loss.margin: found interval"),
        (["seed=0,1", "paths.metrics=/all"], "paths.metrics: found /all, expected a path within the folder that each"),
        (["loss.margin=interval(0.1,1)"], r"interval\(0.1,1\): found an interval, expected values of a grid"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_in_a_line_before_anything_runs(overrides, message):
    with pytest.raises(UserError, match=message) as caught:
        plan(overrides)
    assert "\n" not in str(caught.value)
