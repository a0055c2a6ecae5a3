"""MLflow's own server, which is killed, started again and frozen while stages log to it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from stages import store, tracking
from stages.errors import UserError
from stages.tracking import known, reach, unsent
from stages.tracking.push import push
from tests.repository import wait_until
from tests.tracking.servers import MlflowServer

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    server = MlflowServer(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(running, repository, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    return running


@pytest.fixture
def client(server):
    return MlflowClient(server.uri)


def points(step, count=50):
    return [tracking.Point({"step/loss": 1 / (at + 1)}, at) for at in range(step, step + count)]


def steps(client, run_id):
    return [point.step for point in client.get_metric_history(run_id, "step/loss")]


def test_a_server_that_dies_and_comes_back_has_all_in_the_same_run(server, client, repository, capsys):
    with tracking.started(repository / "run.json", "dies", {}) as run:
        run.points(points(0))
        assert wait_until(lambda: steps(client, run.run_id) == list(range(50)), 60)
        server.kill()
        began = time.monotonic()
        run.params({"seed": 0})
        run.points(points(50))
        assert time.monotonic() - began < 1
        time.sleep(0.5)
        run.points(points(100))
        server.start()
    stored = client.get_run(run.run_id)
    assert (stored.info.status, stored.data.params) == ("FINISHED", {"seed": "0"})
    assert steps(client, run.run_id) == list(range(150))
    assert list((repository / ".unsent").iterdir()) == []
    warned, recovered = capsys.readouterr().err.splitlines()
    assert "does not answer (" in warned
    assert recovered == f"MLflow: {server.uri} answers again, and has all of this run"


KILLED = """
import os, signal, time
from pathlib import Path
from stages import tracking
with tracking.started("run.json", "killed", {}, Path("unfinished.json")) as run:
    run.points([tracking.Point({"step/loss": 1 / (at + 1)}, at) for at in range(50)])
    while (tracking.root() / "wait").read_text():
        time.sleep(0.1)
    run.points([tracking.Point({"step/loss": 1 / (at + 1)}, at) for at in range(50, 100)])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_while_the_server_hangs_loses_nothing_and_goes_on_in_its_run(server, client, repository):
    (repository / "wait").write_text("wait")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    unfinished = repository / "unfinished.json"
    command = [sys.executable, "-W", "ignore", "-c", KILLED]
    with subprocess.Popen(command, cwd=repository, env=environment) as process:
        assert wait_until(lambda: unfinished.is_file() or process.poll() is not None, 120)
        run_id = store.load_json(unfinished)["run_id"]
        assert wait_until(lambda: steps(client, run_id) == list(range(50)), 60)
        with server.frozen():
            (repository / "wait").write_text("")
            assert process.wait(60) == -signal.SIGKILL
    assert steps(client, run_id) == list(range(50))
    with tracking.started(repository / "run.json", "x", {}, unfinished) as run:
        assert run.run_id == run_id
        run.points(points(60, 90), series="step/loss")
    assert steps(client, run_id) == list(range(150))
    assert client.get_run(run_id).info.status == "FINISHED"
    assert list(push()) == [f"nothing is unsent in {repository / '.unsent'}"]
    # Finished, and yet not done with: its outputs were not committed.
    with tracking.started(repository / "run.json", "x", {}, unfinished) as run:
        assert run.run_id == run_id
        run.points(points(0, 150), series="step/loss")
    assert steps(client, run_id) == list(range(150))


def test_a_server_that_hangs_at_the_end_is_waited_for_once(server, client, repository, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with server.frozen():
        with tracking.started(repository / "run.json", "hangs", {}) as run:
            run.points(points(0))
            began = time.monotonic()
        assert time.monotonic() - began < 4
    (line,) = push()
    assert line.startswith(f"{run.run_id} (hangs): sent to {server.uri}")


def test_what_the_server_refuses_is_told_and_kept_and_all_else_is_sent(server, client, repository, capsys):
    with tracking.started(repository / "run.json", "refused", {}) as run:
        run.params({"seed": 0})
        run.params({"seed": 1})
        run.points(points(0))
    assert steps(client, run.run_id) == list(range(50))
    assert client.get_run(run.run_id).info.status == "FINISHED"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"MLflow: {server.uri} refused params: INVALID_PARAMETER_VALUE: Changing param values is not allowed"
    )
    (folder,) = unsent.found()
    assert str(folder) in line
    for _ in range(2):
        with pytest.raises(UserError, match=r"refused params: .*Changing param values is not allowed.*can be removed"):
            list(push())
    assert unsent.found() == [folder]


def test_a_run_that_comes_too_late_is_used_all_the_same(server, client, repository, monkeypatch):
    created: list[str] = []

    def late(*arguments):
        time.sleep(1)
        created.append(known.create(*arguments))
        return created[-1]

    monkeypatch.setattr("stages.tracking.sender.create", late)
    monkeypatch.setattr(reach, "AT_START", 0.2)
    monkeypatch.setattr(reach, "_SHORTEST_PAUSE", 1)
    monkeypatch.setattr(reach, "_PAUSE", 1)
    with tracking.started(repository / "run.json", "late", {}) as run:
        run.points(points(0))
        assert wait_until(lambda: created and steps(client, created[0]) == list(range(50)), 60)
    assert created != [run.run_id]
    assert client.get_run(created[0]).data.tags["continues"] == run.run_id
    with tracking.continued(repository / "run.json", {"evaluate": 1}):
        pass
    assert client.get_run(created[0]).data.tags["evaluate"] == "1"
    assert list((repository / ".unsent").iterdir()) == []
