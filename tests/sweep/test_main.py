"""How a sweep goes on, is refused and is ranked: real Hydra and MLflow, with jobs that train nothing."""

import csv
import sys
from pathlib import Path

import pytest

from stages import store
from stages.errors import UserError
from stages.sweep import cell, launchers, preset, records, state
from stages.sweep.__main__ import run
from stages.tracking import sweeps

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own

STAND_IN = Path(__file__).with_name("stand_in.py")
GRID = ["loss.margin=0.2,0.4", "network.embedding_dim=2,8"]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")  # one for all: creating its tables takes seconds


@pytest.fixture(autouse=True)
def _with_a_stand_in(database, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(database))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(cell, "JOB", (sys.executable, str(STAND_IN)))
    monkeypatch.setattr(preset, "write", lambda *_: False)
    monkeypatch.setattr(sys, "argv", ["sweep"])
    launchers.register()


def sweep(folder, *overrides, metric=None, force=False):
    return run([*overrides, f"hydra.sweep.dir={folder}"], metric, None, force=force)


def resume(folder, *overrides, metric=None, force=False):
    return run(list(overrides), metric, folder, force=force)


def rows(folder):
    with (folder / "results.csv").open() as file:
        return list(csv.DictReader(file))


def client():
    from mlflow import MlflowClient

    from stages import tracking

    return MlflowClient(tracking.tracking_uri())


def test_the_best_is_first_and_seeds_are_averaged(tmp_path, capsys):
    folder = tmp_path / "seeds"
    assert sweep(folder, *GRID, "seed=0,2") == 0
    found = rows(folder)
    assert len(found) == 8
    assert [(row["loss.margin"], row["network.embedding_dim"]) for row in found[:2]] == [("0.4", "8")] * 2
    assert float(found[0]["validation.map_at_r.mean"]) == pytest.approx(0.875 + 0.001)
    assert float(found[0]["validation.map_at_r.sd"]) == pytest.approx(0.001 * 2**0.5, rel=1e-4)
    said = capsys.readouterr().out
    assert "8 jobs → " in said
    assert "seed=0" not in said.splitlines()[-1]  # no seed is the best


def test_a_finished_sweep_is_ranked_by_another_measure_without_computing(tmp_path):
    folder = tmp_path / "again"
    sweep(folder, *GRID)
    logs = [path.read_text() for path in sorted(folder.glob("*/log.txt"))]
    assert resume(folder, metric="recall_at_1") == 0
    assert [path.read_text() for path in sorted(folder.glob("*/log.txt"))] == logs
    assert rows(folder)[0]["network.embedding_dim"] == "2"
    resume(folder, force=True)
    assert [path.read_text() for path in sorted(folder.glob("*/log.txt"))] == [2 * log for log in logs]


def test_failed_jobs_are_tried_again_and_finished_ones_kept(tmp_path, capsys):
    folder = tmp_path / "failing"
    assert sweep(folder, "loss.margin=0.2,9") == 0
    assert "1 finished, 1 failed" in capsys.readouterr().out
    run_id = state.load(folder).run_id
    assert client().get_run(run_id).info.status == "FINISHED"
    resume(folder)
    assert (folder / "0/log.txt").read_text().count("computed") == 1
    assert (folder / "1/log.txt").read_text().count("diverged") == 2
    assert state.load(folder).run_id == run_id


@pytest.mark.parametrize("override", ["sweep=margin_dim", "loss.margin=0.3", "hydra.sweeper.params={}", "seed=0,1"])
def test_a_sweep_goes_on_with_its_own_jobs(tmp_path, override):
    folder = tmp_path / "own"
    sweep(folder, *GRID)
    before = (folder / state.FILE).read_bytes()
    with pytest.raises(UserError, match="a sweep goes on with its own jobs"):
        resume(folder, override)
    assert (folder / state.FILE).read_bytes() == before


def test_a_search_goes_on_by_its_own_measure_and_with_more_trials(tmp_path):
    folder = tmp_path / "search"
    sweep(folder, "sweep=optuna", "hydra.sweeper.trials=3")
    asked = [record.overrides for record in records.load_all(folder)]
    with pytest.raises(UserError, match="metric: found eer, expected map_at_r, by which this search asks"):
        resume(folder, metric="eer")
    assert client().get_run(state.load(folder).run_id).info.status == "FINISHED"
    assert resume(folder, "hydra.sweeper.trials=5") == 0
    found = [record.overrides for record in records.load_all(folder)]
    assert (len(found), found[:3]) == (5, asked)


def test_a_sweep_that_is_interrupted_is_killed_and_says_how_to_go_on(tmp_path, monkeypatch):
    folder = tmp_path / "cut"
    monkeypatch.setattr(cell, "JOB", (sys.executable, "-c", "raise SystemExit(130)"))
    with pytest.raises(KeyboardInterrupt, match=f"--resume {folder}"):
        sweep(folder, *GRID)
    run_id = state.load(folder).run_id
    assert client().get_run(run_id).info.status == "KILLED"
    monkeypatch.setattr(cell, "JOB", (sys.executable, str(STAND_IN)))
    resume(folder)
    assert client().get_run(run_id).info.status == "FINISHED"


def test_an_error_of_the_program_is_not_told_as_one_of_the_configuration(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("a bug")

    monkeypatch.setattr(cell, "_settled", broken)
    with pytest.raises(ValueError, match="a bug"):
        sweep(tmp_path / "bug", *GRID)


def test_jobs_of_other_settings_or_code_are_computed_again(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "changed"
    sweep(folder, *GRID)
    monkeypatch.setattr("stages.sweep.content.of_job", lambda settings: f"other {settings.loss['margin']}")
    resume(folder)
    assert capsys.readouterr().out.count("computed again") == 4
    assert (folder / "0/log.txt").read_text().count("computed") == 2


def test_a_new_attempt_that_fails_leaves_the_run_of_the_one_before_alone(tmp_path, monkeypatch):
    folder = tmp_path / "worse"
    sweep(folder, *GRID)
    first = sweeps.open_parent({"mlflow.runName": "as the job's"})
    sweeps.close_parent(first, "FINISHED")
    store.save_json(folder / "0/artifacts/model/run.json", {"run_id": first})
    monkeypatch.setattr(cell, "JOB", (sys.executable, "-c", "raise SystemExit('broken')"))
    resume(folder, force=True)
    failed = records.load(folder / "0")
    assert failed is not None
    assert failed.run_id != first
    assert client().get_run(failed.run_id).info.status == "FAILED"
    assert client().get_run(first).info.status == "FINISHED"
