"""DVC's queue, really run: a grid of experiments, two at a time, each in a copy of the repository of its own."""

import json

import pytest

from tests.repository import TINY, copy_of_repository, run, wait_until, working_in

NAMES = ["margin-1", "margin-2"]
LONGEST = 240
"""Seconds for the two experiments, which took 28 to 90 on two cores that others used as well."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A repository in which DVC has queued a grid of two and run it by two workers."""
    folder = copy_of_repository(tmp_path_factory.mktemp("queue"))
    settings = ("loss.margin=0.1,0.2", "threads=1", *TINY)
    options = [word for setting in settings for word in ("--set-param", setting)]
    # The stage after evaluate draws maps, which would take as long as all others.
    run(folder, "dvc", "exp", "run", "--queue", "--name", "margin", *options, "evaluate")
    try:
        # The workers keep its output open, so `run` would wait for them.
        run(folder, "sh", "-c", "dvc queue start --jobs 2 > /dev/null 2>&1")
        wait_until(lambda: set(states(folder).values()) <= {"Success", "Failed"}, LONGEST)
        yield folder
    finally:
        end_workers(folder)


def states(folder):
    """The state of each experiment of the queue by its name."""
    rows = (line.split() for line in run(folder, "dvc", "queue", "status").stdout.splitlines())
    return {row[1]: row[-1] for row in rows if len(row) > 3 and row[1] in NAMES}


def end_workers(folder):
    """Workers end by themselves 10 to 20 s after the last experiment, but for a race.

    Of two that start in the same moment one may overwrite the other's entry in DVC's list of who hears commands (3.67);
    who is not on it is never told to end.
    """
    run(folder, "dvc", "queue", "stop", "--kill", check=False)
    wait_until(lambda: not working_in(folder), 8)
    for process in working_in(folder):
        process.kill()


def test_a_queued_grid_becomes_experiments_and_the_working_tree_stays_as_it_was(folder):
    logs = "\n".join(run(folder, "dvc", "queue", "logs", name, check=False).stdout for name in states(folder))
    assert states(folder) == dict.fromkeys(NAMES, "Success"), logs
    assert sorted(run(folder, "dvc", "exp", "list", "--name-only").stdout.split()) == NAMES
    assert run(folder, "git", "status", "--porcelain").stdout == ""
    assert not (folder / "metrics").exists()


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_each_experiment_is_a_run_of_the_repositorys_one_store(folder):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    runs = {found.data.tags["dvc.experiment"]: found for found in client.search_runs([experiment.experiment_id])}
    assert {name: found.data.params["loss.margin"] for name, found in runs.items()} == {
        "margin-1": "0.1",
        "margin-2": "0.2",
    }
    for name, found in runs.items():
        commit = run(folder, "git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").stdout.strip()
        metrics = json.loads(run(folder, "git", "show", f"{commit}:metrics/evaluate.json").stdout)
        assert found.info.status == "FINISHED"
        assert found.data.metrics["test/map_at_r"] == metrics["test"]["trained"]["map_at_r"]
        assert (folder / "mlruns" / found.info.run_id / "artifacts" / "params.yaml").is_file()
