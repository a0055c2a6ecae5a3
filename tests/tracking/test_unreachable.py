"""A server that is not there, hangs or fails: stages go on at once, and nothing that they log is lost."""

import errno
import json
import os
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import requests
from mlflow import MlflowClient

from stages import store, tracking
from stages.errors import UserError
from stages.tracking import records, sweeps, unsent
from stages.tracking.push import push
from tests.tracking.servers import Failing, free_port

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own


@pytest.fixture(params=["refuses", "hangs", 500, 401])
def server(request):
    if request.param == "refuses":
        yield f"http://127.0.0.1:{free_port()}", []
        return
    failing = Failing(None if request.param == "hangs" else request.param)
    yield failing.uri, failing.asked
    failing.close()


def test_a_stage_loses_five_seconds_at_most_and_nothing_that_it_logs(server, database, repository, monkeypatch, capsys):
    uri, asked = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run_file, file = repository / "run.json", repository / "table.csv"
    file.write_text("a\n1\n")
    began = time.monotonic()
    with tracking.started(run_file, "digits compact", {"data": "digits"}) as run:
        opened = time.monotonic()
        run.params({"loss": {"margin": 0.5}})
        for epoch in range(50):
            run.points(
                [tracking.Point({"step/loss": 1 / step}, step) for step in range(20 * epoch + 1, 20 * epoch + 21)]
            )
        run.dataset(np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int32), "digits", "data/digits")
        run.artifact(file, "plots")
        logged = time.monotonic()
    with tracking.continued(run_file, {"evaluate": {"knn": 5}}) as later:
        later.metrics({"test/recall_at_1": 0.99})
    file.write_text("changed after it was logged")
    assert opened - began < 6.5
    assert logged - opened < 2
    assert time.monotonic() - logged < 10
    assert len(asked) <= 3  # whatever is logged, it is left alone
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"MLflow: {uri} does not answer (")
    assert f"kept in {repository / '.unsent'}" in said[0]
    assert "python -m stages.tracking push" in said[0]

    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    (line,) = push()
    client = MlflowClient(database)
    stored = the_run_for(client, store.load_json(run_file)["run_id"])
    assert line == f"{run.run_id} (digits compact): sent to {database} as {stored.info.run_id}"
    assert (stored.info.run_name, stored.info.status) == ("digits compact", "FINISHED")
    assert stored.info.end_time - stored.info.start_time < 1000 * (time.monotonic() - began)
    assert stored.data.params == {"loss.margin": "0.5"}
    assert (stored.data.tags["data"], stored.data.tags["evaluate.knn"]) == ("digits", "5")
    assert stored.data.metrics["test/recall_at_1"] == 0.99
    points = client.get_metric_history(stored.info.run_id, "step/loss")
    assert [(point.step, point.value) for point in points] == [(step, 1 / step) for step in range(1, 1001)]
    assert max(point.timestamp for point in points) <= 1000 * (time.time() - time.monotonic() + logged)
    assert [item.dataset.name for item in stored.inputs.dataset_inputs] == ["digits"]
    copied = client.download_artifacts(stored.info.run_id, "plots/table.csv", str(repository))
    assert Path(copied).read_text() == "a\n1\n"
    assert list(push()) == [f"nothing is unsent in {repository / '.unsent'}"]


@pytest.fixture
def dead(repository, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{free_port()}")
    return repository


def test_pushing_that_is_cut_off_after_each_record_neither_doubles_nor_loses(dead, database, monkeypatch, tmp_path):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    examples = np.zeros((2, 2), np.float32)
    with tracking.started(dead / "run.json", "cut off", {}) as run:
        run.params({"seed": 0})
        run.points([tracking.Point({"step/loss": float(step), "nan": float("nan")}, step) for step in range(3)])
        run.dataset(np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int32), "digits", "data/digits")
        run.artifact(dead / "run.json")
        run.model(network, examples, np.asarray(network(examples)))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    (folder,) = unsent.found()
    logged = [json.loads(line)["log"] for line in (folder / "log.jsonl").read_bytes().splitlines()]
    assert set(logged) == {"tags", "status", "params", "metrics", "dataset", "artifact", "model"}
    with monkeypatch.context() as cut, pytest.raises(UserError, match="failed"):
        cut.setattr(MlflowClient, "log_model_artifacts", lambda *_: 1 / 0)  # in the middle of a record
        list(push())
    with monkeypatch.context() as cut:
        cut.setattr(unsent.Unsent, "sent", lambda *_: (_ for _ in ()).throw(ConnectionResetError("cut off")))
        for noted in range(len(logged)):  # the server has one record more
            store.save_json(folder / "sent.json", {"records": noted, "refused": {}})
            with pytest.raises(UserError, match=r"failed \(cut off\); what was not sent is still in .*\.unsent"):
                list(push())
    store.save_json(folder / "sent.json", {"records": 0, "refused": {}})
    list(push())
    client = MlflowClient(database)
    stored = the_run_for(client, run.run_id)
    for name in ("step/loss", "nan"):
        assert [point.step for point in client.get_metric_history(stored.info.run_id, name)] == [0, 1, 2]
    assert len(stored.inputs.dataset_inputs) == 1
    (output,) = stored.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.name, model.status, model.params) == (records.MODEL, "READY", {"seed": "0"})
    import mlflow

    loaded = mlflow.pyfunc.load_model(f"runs:/{stored.info.run_id}/{records.MODEL}")
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, 2)
    assert loaded.metadata.run_id == stored.info.run_id
    np.testing.assert_allclose(loaded.predict(examples), np.asarray(network(examples)))


def test_work_that_goes_on_while_the_server_is_away_logs_nothing_twice(dead, database, monkeypatch):
    unfinished = dead / "unfinished.json"

    def attempt(steps):
        with tracking.started(dead / "run.json", "x", {}, unfinished) as run:
            points = [tracking.Point({"step/loss": 1 / step, "step/norm": 1.0}, step) for step in steps]
            run.points(points, series="step/loss")
            run.metrics({"test/recall_at_1": 1 / len(steps)})  # of which the latest counts
            raise KeyboardInterrupt

    for steps in (range(1, 7), range(1, 10), range(9, 13)):  # the first is sent before the others begin
        with pytest.raises(KeyboardInterrupt):
            attempt(steps)
        if len(steps) == 6:
            with monkeypatch.context() as back:
                back.setenv("MLFLOW_TRACKING_URI", database)
                list(push())
                assert not unsent.found()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    list(push())
    client = MlflowClient(database)
    run_id = the_run_for(client, store.load_json(unfinished)["run_id"]).info.run_id
    for name in ("step/loss", "step/norm"):
        assert [point.step for point in client.get_metric_history(run_id, name)] == list(range(1, 13))
    assert len(client.get_metric_history(run_id, "test/recall_at_1")) == 3


def test_a_run_that_cannot_be_sent_keeps_no_other_from_it_and_what_is_refused_keeps_nothing_behind_it(
    dead, database, monkeypatch
):
    def without(status):
        answer = requests.Response()
        answer.status_code = status
        return lambda *_: (_ for _ in ()).throw(requests.HTTPError("no", response=answer))

    for name in ("first", "second"):
        with tracking.started(dead / f"{name}.json", name, {}) as run:
            if name == "first":
                run.artifact(dead / "first.json")
            run.metrics({"loss": 0.5})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    client = MlflowClient(database)
    first, second = (store.load_json(dead / f"{name}.json")["run_id"] for name in ("first", "second"))
    with monkeypatch.context() as away, pytest.raises(UserError, match=r"failed \(no\); what was not sent is still in"):
        away.setattr(MlflowClient, "log_artifact", without(503))
        list(push())
    assert the_run_for(client, second).info.status == "FINISHED"
    assert the_run_for(client, first).data.metrics == {}
    with monkeypatch.context() as large, pytest.raises(UserError, match=r"refused artifact: no .*can be removed there"):
        large.setattr(MlflowClient, "log_artifact", without(413))
        list(push())
    stored = the_run_for(client, first)
    assert (stored.info.status, stored.data.metrics) == ("FINISHED", {"loss": 0.5})


def test_a_dead_server_is_told_in_a_line_that_holds_no_password_and_nothing_is_lost(dead, capsys, monkeypatch):
    with tracking.started(dead / "run.json", "x", {}):
        pass
    before = next(dead.rglob("log.jsonl")).read_bytes()
    with pytest.raises(
        UserError, match=r"MLFLOW_TRACKING_URI: http://127\.0\.0\.1:\d+ does not answer: Connection refused"
    ):
        list(push())
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(
        UserError, match=r"found nothing, expected the server that was not reached: http://127\.0\.0\.1"
    ):
        list(push())
    assert next(dead.rglob("log.jsonl")).read_bytes() == before
    texts = [path.read_text() for path in dead.rglob("*") if path.is_file()]
    assert not any("secret" in text for text in [*texts, capsys.readouterr().err])


def test_jobs_are_children_of_the_run_that_their_sweep_has_on_the_server(dead, database, monkeypatch):
    parent = sweeps.open_parent({"mlflow.runName": "sweep x", "sweep": "x"})
    with tracking.started(dead / "before.json", "job 0", {sweeps.PARENT: parent}) as before:
        before.params({"seed": 0})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    with tracking.started(dead / "between.json", "job 1", {sweeps.PARENT: parent}) as between:
        sweeps.take_over(between, "0" * 32)
    list(push())
    with tracking.started(dead / "after.json", "job 2", {sweeps.PARENT: parent}) as after:
        sweeps.take_over(after, before.run_id)
    sweeps.close_parent(parent, "FINISHED")
    client = MlflowClient(database)
    stored = the_run_for(client, parent)
    assert (stored.info.run_name, stored.info.status) == ("sweep x", "FINISHED")
    for job in (the_run_for(client, before.run_id).info.run_id, between.run_id, after.run_id):
        assert client.get_run(job).data.tags[sweeps.PARENT] == stored.info.run_id
    assert client.get_run(after.run_id).data.params == {"seed": "0"}
    assert "continues" not in client.get_run(after.run_id).data.tags


def test_a_record_that_a_kill_tore_is_left_out_and_all_before_it_are_sent(dead, database, monkeypatch):
    with tracking.started(dead / "run.json", "torn", {}) as run:
        run.metrics({"loss": 0.5}, 1)
    (folder,) = unsent.found()
    log = (folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "log.jsonl").write_bytes(b"".join(log[:-1]) + log[-1][:20])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    list(push())
    stored = the_run_for(MlflowClient(database), run.run_id)
    assert (stored.info.status, stored.data.metrics) == ("KILLED", {"loss": 0.5})


def test_a_full_disk_is_named_and_leaves_whole_records(dead, monkeypatch):
    with tracking.started(dead / "run.json", "full", {}) as run:
        (folder,) = unsent.found()
        log = folder / "log.jsonl"
        before = log.read_bytes()
        write = os.write

        def full(handle, content):
            if len(content) < 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(handle, content[:-5])

        with monkeypatch.context() as disk, pytest.raises(OSError, match=f"No space left on device: '{log}'"):
            disk.setattr(os, "write", full)
            run.metrics({"loss": 0.5})
        assert log.read_bytes() == before


def the_run_for(client, run_id):
    """The one run that stands for an id that the server did not give."""
    (experiment,) = (one for one in client.search_experiments() if one.name != "Default")
    (found,) = client.search_runs([experiment.experiment_id], f"tags.continues = '{run_id}'")
    return found
