import numpy as np
import pytest

from stages import store, tracking

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own


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


def test_an_error_marks_the_run_failed(client, tmp_path):
    with pytest.raises(RuntimeError), tracking.started(tmp_path / "run.json", "x", {}):
        raise RuntimeError
    assert client.get_run(store.load_json(tmp_path / "run.json")["run_id"]).info.status == "FAILED"


def test_the_users_tracking_server_wins(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert tracking.tracking_uri() == "http://127.0.0.1:9"


def store_text(path):
    store.save_text(path, "a\n1\n")
    return path
