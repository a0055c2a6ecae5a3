import contextlib
import json
import os
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from stages import store, tracking
from stages.errors import UserError
from stages.tracking import sweeps

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own


class Signalled(KeyboardInterrupt):
    """As what SIGTERM raises."""


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    # One for all: creating its tables takes seconds.
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture
def client(database, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(database))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    import mlflow

    return mlflow.MlflowClient(tracking.tracking_uri())


def test_a_run_holds_what_was_logged_and_later_stages_go_on_with_it(client, database, tmp_path):
    run_file = tmp_path / "run.json"
    with tracking.started(run_file, "digits compact", {"data": "digits"}) as run:
        run.params({"loss": {"margin": 0.5}, "seed": 0})
        run.points([tracking.Point({"step/loss": 0.5, "none": None}, 10), tracking.Point({"step/loss": 0.25}, 20)])
        run.dataset(np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int32), "digits", "data/digits")
    with tracking.continued(run_file, {"evaluate": {"knn": 5}}) as run:
        run.metrics({"test/recall_at_1": 0.99})
        run.artifact(store_text(tmp_path / "table.csv"), "plots")

    run_id = store.load_json(run_file)["run_id"]
    stored = client.get_run(run_id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "digits compact"
    assert stored.data.params == {"loss.margin": "0.5", "seed": "0"}
    assert stored.data.metrics["test/recall_at_1"] == 0.99
    assert {name: stored.data.tags[name] for name in ("data", "evaluate.knn")} == {
        "data": "digits",
        "evaluate.knn": "5",
    }
    assert len(stored.data.tags["mlflow.source.git.commit"]) == 40
    assert [(point.step, point.value) for point in client.get_metric_history(run_id, "step/loss")] == [
        (10, 0.5),
        (20, 0.25),
    ]
    assert "none" not in stored.data.metrics
    assert [item.dataset.name for item in stored.inputs.dataset_inputs] == ["digits"]
    assert (database / "mlruns" / run_id / "artifacts" / "plots" / "table.csv").is_file()


def test_a_run_that_the_store_does_not_know_is_followed_by_one_that_names_it(client, tmp_path):
    run_file = tmp_path / "run.json"
    store.save_json(run_file, {"run_id": "0123456789abcdef0123456789abcdef"})
    with tracking.continued(run_file, {"evaluate.knn": 5}) as run:
        run.metrics({"x": 1.0})
    stored = client.get_run(run.run_id)
    assert stored.data.tags["continues"] == "0123456789abcdef0123456789abcdef"
    assert stored.data.metrics == {"x": 1.0}
    with tracking.continued(run_file, {}) as again:
        assert again.run_id == run.run_id


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuntimeError(), "FAILED"), (SystemExit(1), "FAILED"), (KeyboardInterrupt(), "KILLED"), (Signalled(), "KILLED")],
)
def test_a_run_tells_whether_it_failed_or_was_interrupted(error, status, client, tmp_path):
    with pytest.raises(type(error)), tracking.started(tmp_path / "run.json", "x", {}):
        raise error
    assert client.get_run(store.load_json(tmp_path / "run.json")["run_id"]).info.status == status


def test_a_run_whose_work_is_unfinished_goes_on_however_it_ended(client, tmp_path):
    unfinished = tmp_path / "unfinished.json"
    done = 0
    for end in (RuntimeError, None, KeyboardInterrupt, None):
        opened = tracking.started(tmp_path / "run.json", "x", {}, unfinished)
        with contextlib.suppress(RuntimeError, KeyboardInterrupt), opened as run:
            done += 1
            run.points([tracking.Point({"epoch/loss": 1 / step}, step) for step in range(1, done + 1)], "epoch/loss")
            if end:
                raise end
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run.run_id, "epoch/loss")] == [1, 2, 3, 4]


def test_the_run_of_work_that_was_killed_and_is_not_gone_on_with_ends_as_killed(client, tmp_path, monkeypatch):
    files = {name: tmp_path / f"{name}.json" for name in ("killed", "failed")}
    with monkeypatch.context() as killed:
        killed.setattr(tracking.Run, "status", lambda self, status: None)  # RUNNING, as MLflow begins it
        with tracking.started(tmp_path / "run.json", "x", {}, files["killed"]) as run:
            pass
    content = store.load_json(files["killed"])
    store.save_json(files["killed"], content | {"status": "RUNNING"})
    with pytest.raises(RuntimeError), tracking.started(tmp_path / "run.json", "x", {}, files["failed"]) as failed:
        raise RuntimeError
    assert client.get_run(run.run_id).info.status == "RUNNING"
    for _ in range(2):
        tracking.end_killed(files.values())
        assert client.get_run(run.run_id).info.status == "KILLED"
        assert client.get_run(failed.run_id).info.status == "FAILED"
    with tracking.started(tmp_path / "run.json", "x", {}, files["killed"]) as again:  # with its settings after all
        assert again.run_id == run.run_id
    assert client.get_run(run.run_id).info.status == "FINISHED"


def test_a_store_that_refuses_is_named_in_a_line_and_does_not_hide_the_error_before_it(client, tmp_path, monkeypatch):
    with tracking.started(tmp_path / "run.json", "x", {}) as run:
        run.params({"seed": 0})
        with pytest.raises(UserError, match=r"^sqlite:.*mlflow\.db: Changing param values is not allowed[^\n]*$"):
            run.params({"seed": 1})

    def full(*_, **__):
        raise MlflowException("database or disk is full") from sqlite3.OperationalError("database or disk is full")

    with pytest.raises(RuntimeError, match="of training"), tracking.started(tmp_path / "run.json", "x", {}):
        monkeypatch.setattr(MlflowClient, "set_terminated", full)
        raise RuntimeError("of training")


def test_whoever_starts_the_stages_tags_and_names_their_run(client, tmp_path, monkeypatch):
    monkeypatch.setenv(tracking.TAGS, json.dumps({"mlflow.runName": "margin=0.2", "sweep": "first"}))
    with tracking.started(tmp_path / "run.json", "digits compact", {"data": "digits"}) as run:
        pass
    stored = client.get_run(run.run_id)
    assert stored.info.run_name == "margin=0.2"
    assert (stored.data.tags["sweep"], stored.data.tags["data"]) == ("first", "digits")


def test_a_run_of_a_dvc_experiment_has_its_name(client, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "brave-fig")
    with tracking.started(tmp_path / "run.json", "digits compact", {}) as run:
        pass
    stored = client.get_run(run.run_id)
    assert stored.info.run_name == "brave-fig: digits compact"
    assert stored.data.tags["dvc.experiment"] == "brave-fig"


def test_only_dvc_logs_its_lock_file(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.lock").write_text("stages:\n")
    with tracking.started(tmp_path / "run.json", "x", {}) as run:
        pass
    for stage, expected in ((None, []), ("evaluate", ["dvc.lock"])):
        if stage:
            monkeypatch.setenv("DVC_STAGE", stage)
        with tracking.continued(tmp_path / "run.json", {}):
            pass
        assert [item.path for item in client.list_artifacts(run.run_id)] == expected


def test_a_sweep_that_goes_on_has_the_same_parent(client):
    tags = {"mlflow.runName": "sweep x", "sweep": "x"}
    run_id = sweeps.open_parent(tags)
    assert client.get_run(run_id).info.status == "RUNNING"
    sweeps.close_parent(run_id, "KILLED")
    assert client.get_run(run_id).info.status == "KILLED"
    assert sweeps.open_parent(tags, run_id) == run_id
    assert client.get_run(run_id).info.status == "RUNNING"
    assert sweeps.open_parent(tags, "0" * 32) != run_id


def test_a_job_that_failed_is_a_run_that_says_why(client, tmp_path):
    log = store_text(tmp_path / "log.txt")
    run_id = sweeps.close_failed(None, "train: diverged", {"mlflow.runName": "margin=9", "sweep": "x"}, [log])
    with pytest.raises(RuntimeError), tracking.started(tmp_path / "run.json", "job", {}) as run:
        raise RuntimeError
    for one in (run_id, sweeps.close_failed(run.run_id, "train: diverged", {}, [log, tmp_path / "missing"])):
        stored = client.get_run(one)
        assert (stored.info.status, stored.data.tags["error"]) == ("FAILED", "train: diverged")
        assert [item.path for item in client.list_artifacts(one)] == ["log.txt"]
    assert client.get_run(run_id).data.tags["sweep"] == "x"


def test_a_run_that_takes_over_has_parameters_curves_and_tags_of_the_other(client, tmp_path):
    with tracking.started(tmp_path / "one.json", "one", {"data": "digits", "sweep": "first"}) as one:
        one.params({"seed": 0})
        one.points([tracking.Point({"epoch/loss": 0.5}, 10), tracking.Point({"epoch/loss": 0.25}, 20)])
    with tracking.started(tmp_path / "other.json", "other", {"sweep": "second"}) as other:
        sweeps.take_over(other, one.run_id)
        sweeps.take_over(other, "0" * 32)
    stored = client.get_run(other.run_id)
    assert stored.data.params == {"seed": "0"}
    assert (stored.data.tags["data"], stored.data.tags["sweep"]) == ("digits", "second")
    assert [point.step for point in client.get_metric_history(other.run_id, "epoch/loss")] == [10, 20]


WRITER = """
import sys
from stages import tracking
with tracking.started(sys.argv[1] + "/run.json", "writer", {"writer": sys.argv[1]}) as run:
    for begin in range(0, 200, 10):
        run.points([tracking.Point({"step/loss": float(step)}, step) for step in range(begin, begin + 10)])
"""


def test_eight_processes_create_one_database_and_none_loses_a_number(tmp_path):
    environment = {**os.environ, "DVC_ROOT": str(tmp_path)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-W", "ignore", "-c", WRITER]
    writers = [subprocess.Popen([*command, str(tmp_path / str(number))], env=environment) for number in range(8)]
    assert [writer.wait(300) for writer in writers] == [0] * 8
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    for number in range(8):
        run_id = store.load_json(tmp_path / str(number) / "run.json")["run_id"]
        assert [point.value for point in client.get_metric_history(run_id, "step/loss")] == list(range(200))


def test_the_users_tracking_server_wins(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert tracking.tracking_uri() == "http://127.0.0.1:9"


def store_text(path):
    store.save_text(path, "a\n1\n")
    return path
