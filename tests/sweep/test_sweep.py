"""Real sweeps of tiny trainings in copies of the repository."""

import csv
import json
import signal
import subprocess
import sys

import pytest
import yaml

from stages.sweep import records, state
from tests.repository import TINY, copy_of_repository, environment, run, wait_until, working_in

GRID = ("loss.margin=0.2,0.5", "network.embedding_dim=4,8")
CELLS = [(0.2, 4), (0.2, 8), (0.5, 4), (0.5, 8)]
FIGURES = ("metrics/evaluate.json", "metrics/threshold.json", "artifacts/model/history.csv")


def sweep(folder, *arguments, check=True):
    return run(folder, "python", "-m", "stages.sweep", "-m", *TINY, *arguments, check=check)


def folder_of(repository, name):
    return repository / "multirun" / name


def jobs_of(repository, name):
    return [path.parent for path in folder_of(repository, name).glob("*/params.yaml")]


def cell_of(job):
    """The margin and the dimension that a job was trained with."""
    settings = yaml.safe_load((job / "params.yaml").read_text())
    return settings["loss"]["margin"], settings["network"]["embedding_dim"]


def ended(folder):
    """What is kept of a job that has ended."""
    record = records.load(folder)
    assert record is not None
    return record


def children(repository, name):
    """The MLflow runs of a sweep: the parent, and its children by the number of the job."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{repository / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    found = client.search_runs([experiment.experiment_id], f"tags.sweep = '{name}'")
    (parent,) = (one for one in found if "mlflow.parentRunId" not in one.data.tags)
    jobs = {int(one.data.tags["sweep.job"]): one for one in found if one is not parent}
    assert len(jobs) == len(found) - 1
    assert {one.data.tags["mlflow.parentRunId"] for one in jobs.values()} <= {parent.info.run_id}
    return client, parent, jobs


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return copy_of_repository(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def basic(repository):
    """What a 2×2 grid printed, job after job."""
    return sweep(repository, *GRID, "hydra.sweep.dir=multirun/basic").stdout


@pytest.fixture(scope="module")
def beside(repository, basic):
    """What the first half of the grid printed with two jobs at a time, computed anew."""
    arguments = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=multirun/joblib", "--force")
    return sweep(repository, "loss.margin=0.2", GRID[1], *arguments).stdout


@pytest.fixture(scope="module")
def with_failure(repository, basic):
    """A sweep by submitit of a job that was computed before and one whose batches want more classes than there are."""
    axes = ("loss.margin=0.2", "network.embedding_dim=4", "batches.classes_per_batch=10,11")
    return sweep(repository, *axes, "hydra/launcher=submitit_local", "hydra.sweep.dir=multirun/failing").stdout


@pytest.mark.filterwarnings("ignore")  # MLflow's own
@pytest.mark.parametrize(("name", "cells"), [("basic", CELLS), ("joblib", CELLS[:2])])
def test_each_cell_is_a_child_with_its_settings_and_figures(repository, basic, beside, name, cells):
    client, parent, jobs = children(repository, name)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["jobs/finished"] == len(cells)
    assert {job.info.status for job in jobs.values()} == {"FINISHED"}
    settings = [(job.data.params["loss.margin"], job.data.params["network.embedding_dim"]) for job in jobs.values()]
    assert sorted(settings) == [(str(margin), str(dim)) for margin, dim in cells]
    for number, job in jobs.items():
        metrics = json.loads((folder_of(repository, name) / str(number) / "metrics/evaluate.json").read_text())
        assert job.data.metrics["validation/map_at_r"] == metrics["validation"]["trained"]["map_at_r"]
        assert {"step/loss", "epoch/val_map_at_r", "train_seconds"} <= set(job.data.metrics)
        assert {"data", "loss", "network"} <= set(job.data.tags)
        artifacts = {item.path for item in client.list_artifacts(job.info.run_id)}
        assert {"params.yaml", "plots", "metrics"} <= artifacts
    answer = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"results.csv", "pareto.png", "best.yaml"} <= answer


def test_figures_do_not_depend_on_the_launcher(repository, basic, beside):
    basic_jobs, joblib_jobs = ({cell_of(job): job for job in jobs_of(repository, name)} for name in ("basic", "joblib"))
    assert set(joblib_jobs) == set(CELLS[:2])
    for cell, job in joblib_jobs.items():
        for file in FIGURES:
            assert (job / file).read_bytes() == (basic_jobs[cell] / file).read_bytes(), (cell, file)


@pytest.mark.parametrize(("name", "jobs"), [("basic", 4), ("joblib", 2)])
def test_images_are_prepared_once(repository, basic, beside, name, jobs):
    assert len(list(folder_of(repository, name).glob("prepared/*/summary.json"))) == 1
    logs = [(folder_of(repository, name) / str(number) / "log.txt").read_text() for number in range(jobs)]
    assert sum("1293 train" in log for log in logs) == 1


def test_the_answer_ranks_by_validation_and_says_so(repository, basic):
    with (folder_of(repository, "basic") / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = [float(row["validation.map_at_r"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert sorted((float(row["loss.margin"]), int(row["network.embedding_dim"])) for row in rows) == CELLS
    assert "Ranked by validation MAP@R" in basic
    for file in ("results.csv", "heatmap.png", "pareto.png", "best.yaml"):
        assert f"multirun/basic/{file}" in basic


def test_the_preset_of_the_best_gives_the_pipeline_its_settings(repository, basic):
    with (folder_of(repository, "basic") / "results.csv").open() as file:
        best = next(csv.DictReader(file))
    assert "dvc exp run -S experiment=best" in basic
    run(repository, "python", "-m", "stages.config", "experiment=best")
    composed, job = (
        yaml.safe_load(path.read_text())
        for path in (repository / "params.yaml", folder_of(repository, "basic") / best["job"] / "params.yaml")
    )
    assert composed | {"paths": None} == job | {"paths": None}


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_what_was_computed_before_is_taken_and_logged_as_a_child_too(repository, with_failure):
    record = ended(folder_of(repository, "failing") / "0")
    assert record.reused in {"multirun/basic/0", "multirun/joblib/0"}
    for file in FIGURES:
        taken, computed = (folder_of(repository, name) / "0" / file for name in ("failing", "basic"))
        assert taken.read_bytes() == computed.read_bytes()
    _, _, jobs = children(repository, "failing")
    _, _, before = children(repository, "basic")
    assert jobs[0].info.run_id != before[0].info.run_id
    assert jobs[0].data.params == before[0].data.params
    assert jobs[0].data.metrics["test/map_at_r"] == before[0].data.metrics["test/map_at_r"]
    for tag in ("data", "loss", "network"):
        assert jobs[0].data.tags[tag] == before[0].data.tags[tag]


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_failed_job_stops_no_other_and_is_shown_with_its_reason(repository, with_failure):
    record = ended(folder_of(repository, "failing") / "1")
    assert record.error is not None
    assert record.status == "failed"
    assert "batches" in record.error
    assert "11" in record.error
    assert "1 finished, 1 failed" in with_failure
    assert record.error in with_failure
    assert record.error in (folder_of(repository, "failing") / "1" / "log.txt").read_text()
    client, parent, jobs = children(repository, "failing")
    assert (parent.info.status, parent.data.tags["jobs"]) == ("FINISHED", "1 finished, 1 failed")
    assert (jobs[1].info.status, jobs[1].data.tags["error"]) == ("FAILED", record.error)
    assert "log.txt" in {item.path for item in client.list_artifacts(jobs[1].info.run_id)}


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_sweep_all_of_whose_jobs_fail_ends_as_failed(repository):
    axes = ("batches.classes_per_batch=11,12", "hydra.sweep.dir=multirun/hopeless")
    result = sweep(repository, *axes, check=False)
    assert result.returncode == 1
    assert "2 failed" in result.stdout
    assert children(repository, "hopeless")[1].info.status == "FAILED"


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_killed_sweep_goes_on_where_it_was(repository, basic):
    arguments = [
        "train.steps=200",
        "train.checkpoint_seconds=0",
        "loss.margin=0.2,0.3",
        "hydra.sweep.dir=multirun/killed",
    ]
    command = [sys.executable, "-m", "stages.sweep", "-m", *TINY, *arguments]
    cut = folder_of(repository, "killed") / "1"
    in_training, after_it = ".checkpoints/*/step_*.npz", "progress.json"
    moments = [(in_training, signal.SIGKILL), (after_it, signal.SIGTERM)]
    for sign, number in moments:
        with subprocess.Popen(
            command, cwd=repository, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert wait_until(lambda sign=sign: any(cut.glob(sign)) or process.poll() is not None, 120)
            process.send_signal(number)
            said = process.communicate()[1]
        if number == signal.SIGTERM:
            assert "sweep: interrupted; to go on: python -m stages.sweep --resume multirun/killed\n" in said
        assert wait_until(lambda: not working_in(repository), 30)  # the job ends with whoever started it
        assert records.load(cut) is None
        command = [sys.executable, "-m", "stages.sweep", "--resume", "multirun/killed"]
    finished = folder_of(repository, "killed") / "0" / records.FILE
    before = finished.stat().st_mtime_ns

    said = run(repository, "python", "-m", "stages.sweep", "--resume", "multirun/killed").stdout
    assert "2 jobs → multirun/killed, of which 1 had finished before" in said
    assert finished.stat().st_mtime_ns == before
    log = (cut / "log.txt").read_text()
    assert "going on after step" in log
    assert log.count("parameters, 200 steps") == 1
    assert "train: done before" in log
    client, parent, jobs = children(repository, "killed")
    assert parent.info.run_id == state.load(folder_of(repository, "killed")).run_id
    assert [run.info.status for run in (parent, *jobs.values())] == ["FINISHED"] * 3
    steps = [point.step for point in client.get_metric_history(jobs[1].info.run_id, "epoch/loss")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 200


def test_a_folder_holds_one_sweep_at_a_time(repository, basic):
    result = sweep(repository, *GRID, "hydra.sweep.dir=multirun/basic", check=False)
    assert result.returncode == 1
    assert result.stderr == (
        "sweep: multirun/basic: holds a sweep already; expected another hydra.sweep.dir, or --resume multirun/basic\n"
    )
