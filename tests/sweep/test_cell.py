import json
import os
import sys

import pytest

from stages.sweep import cell, state

KILL_ITSELF = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

TOLD = "told to end: what was computed is kept, and --resume goes on from there"


def job_that_runs(code, monkeypatch):
    monkeypatch.setattr(cell, "JOB", (sys.executable, "-c", code))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('train: training diverged'); raise SystemExit(1)", "train: training diverged"),
        ("print('about to'); 1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "ended with status 3"),
        (KILL_ITSELF, "killed by SIGKILL, perhaps for want of memory"),
        ("print('train: interrupted; step 9 is kept'); raise SystemExit(143)", TOLD),
        (KILL_ITSELF.replace("SIGKILL", "SIGTERM"), TOLD),
        ("pass", None),
    ],
)
def test_why_a_job_failed_is_told_in_a_line(code, reason, tmp_path, monkeypatch):
    (tmp_path / cell.LOG).write_text("of an earlier attempt\n")
    job_that_runs(code, monkeypatch)
    assert cell._run(tmp_path, [], os.environ) == reason


@pytest.mark.parametrize("code", ["raise SystemExit(130)", KILL_ITSELF.replace("SIGKILL", "SIGUSR2")])
def test_a_job_that_was_interrupted_has_not_failed(code, tmp_path, monkeypatch):
    job_that_runs(code, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        cell._run(tmp_path, [], os.environ)


def test_a_job_computes_with_its_own_number_of_threads_and_knows_its_sweep(tmp_path, monkeypatch):
    from tests.small import settings

    axes = {"loss.margin": ["loss.margin=0.2"], "network.embedding_dim": ["network.embedding_dim=4"]}
    state.save(tmp_path, state.Sweep("a sweep", [], axes, "map_at_r", run_id="0" * 32))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # as joblib sets it
    overrides = ["seed=3", "loss.margin=0.2", "network.embedding_dim=4"]
    environment = cell._environment(cell._tags(overrides, 5, tmp_path), settings(tmp_path, "threads=1"))
    assert environment["OMP_NUM_THREADS"] == "1"
    tags = json.loads(environment["TRIPLET_RUN_TAGS"])
    assert tags["mlflow.parentRunId"] == "0" * 32
    assert (tags["sweep"], tags["sweep.job"], tags["mlflow.runName"]) == ("a sweep", "5", "margin=0.2 embedding_dim=4")
    assert "OMP_NUM_THREADS" not in cell._environment({}, settings(tmp_path, "threads=0"))
