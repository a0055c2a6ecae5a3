"""Several processes that train together on JAX: two on this machine."""

import contextlib
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

from stages import config, store
from stages.errors import UserError
from stages.place import BY_HAND, Place, place
from stages.train import abort_told, processes, strategy
from tests.repository import ROOT, wait_until
from tests.small import settings, write_prepared
from tests.train.on_devices import FIGURES

LOSSES = {
    "batch_hard": yaml.safe_load((ROOT / "conf/loss/batch_hard.yaml").read_text()),
    # With a head, that has weights of its own.
    "siamese": yaml.safe_load((ROOT / "conf/loss/siamese.yaml").read_text()),
}


@contextlib.contextmanager
def started(*arguments, count=2, folder=ROOT, **environment):
    """As many processes, that are to train together; killed at the end, should one still be there.

    In their arguments NUMBER stands for each one's own.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    told = {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(ROOT), **environment}
    running = []
    try:
        for number in range(count):
            by_hand = dict(zip(BY_HAND, (address, str(count), str(number)), strict=True))
            running.append(
                subprocess.Popen(
                    [sys.executable, *(str(argument).replace("NUMBER", str(number)) for argument in arguments)],
                    cwd=folder,
                    env=os.environ | told | (by_hand if count > 1 else {}),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        yield running
    finally:
        for process in running:
            process.kill()


@pytest.fixture(scope="module")
def found():
    """What one process finds alone, and what two find together."""
    arguments = ("-m", "tests.train.on_devices", json.dumps(LOSSES))
    with started(*arguments, "single", count=1) as alone, started(*arguments, "data_parallel") as together:
        ended = [process.communicate(timeout=300) for process in (*alone, *together)]
        assert [process.returncode for process in (*alone, *together)] == [0, 0, 0], ended
    return [json.loads(out.splitlines()[-1]) for out, _ in ended]


@pytest.mark.parametrize("loss", LOSSES)
def test_processes_that_share_each_batch_learn_what_one_learns_of_all_of_it(found, loss):
    alone, *together = (one["losses"][loss] for one in found)
    single = alone["single"]
    for each in together:
        shared = each["data_parallel"]
        for epoch, (one, two) in enumerate(zip(single["figures"], shared["figures"], strict=True)):
            for name, here, there in zip(FIGURES, one, two, strict=True):
                assert there == pytest.approx(here, rel=1e-5, abs=1e-6), (epoch, name)
        for one, two in zip(single["weights"], shared["weights"], strict=True):
            np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-7 + 1e-5 * np.abs(one).max())
    assert together[0] == together[1]


def test_processes_that_were_cut_off_take_up_what_the_first_has_kept(found):
    # The second has a folder of its own, with nothing in it.
    for one in found[1:]:
        whole = one["losses"][next(iter(LOSSES))]["data_parallel"]
        assert one["cut"]["figures"] == whole["figures"]
        assert one["cut"]["weights"] == whole["weights"]


def test_a_batch_that_processes_cannot_share_is_refused(found):
    assert found[1]["refused"] == "batches: found 25 images a batch, expected a multiple of the 2 devices"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Place()),
        ({"JAX_COORDINATOR_ADDRESS": "n1:70", "JAX_NUM_PROCESSES": "3", "JAX_PROCESS_ID": "2"}, Place(2, 3, "n1:70")),
        ({"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_LOCALID": "0", "SLURM_NTASKS": "2",
          "SLURM_PROCID": "1"}, Place(1, 2)),
        # Of `sbatch`, or a terminal within `salloc`: no `srun` has started this process as one of several.
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, Place()),
        ({"OMPI_MCA_orte_hnp_uri": "1.0;tcp://n1:7", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"},
         Place(3, 4)),
        # Of `mpirun` within an allocation: its daemon on each machine was started by `srun`.
        ({"OMPI_MCA_orte_hnp_uri": "1.0;tcp://n1:7", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3",
          "SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_LOCALID": "0", "SLURM_NTASKS": "2",
          "SLURM_PROCID": "1"}, Place(3, 4)),
    ],
)  # fmt: skip
def test_a_process_knows_its_place_from_what_started_it(environment, expected):
    assert place(environment) == expected
    assert place(environment).writes == (expected.number == 0)


@pytest.mark.parametrize(
    ("address", "count", "number", "message"),
    [
        ("n1:70", "2", "", "JAX_PROCESS_ID: not set, expected beside n1:70, 2"),
        ("n1:70", "2", "2", "JAX_PROCESS_ID: found 2, expected 0 to 1, one for each process"),
        ("n1:70", "two", "0", "JAX_NUM_PROCESSES: found two, expected a whole number"),
        ("n1", "2", "0", "JAX_COORDINATOR_ADDRESS: found n1, expected host:port of process 0"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(address, count, number, message):
    with pytest.raises(UserError) as caught:
        place(dict(zip(BY_HAND, (address, count, number), strict=True)))
    assert str(caught.value) == message


@pytest.mark.parametrize(("held", "total"), [(8, 12), (4, 12)])
def test_processes_with_other_numbers_of_devices_are_refused(held, total, monkeypatch):
    monkeypatch.setattr(processes, "here", lambda: Place(0, 2))
    monkeypatch.setattr("keras.distribution.list_devices", lambda: [f"gpu:{one}" for one in range(total)])
    monkeypatch.setattr("jax.local_device_count", lambda: held)
    with pytest.raises(UserError) as caught:
        strategy.scope_of("data_parallel", 24)
    expected = f"data_parallel: found {held} devices in this process and {total} in all 2, expected as many in each"
    assert str(caught.value) == expected


def test_tensorflow_is_there_before_a_process_joins():
    # In the seconds that its import takes what is written to standard error is held back.
    program = "import sys; from stages.train import strategy; strategy.joined('data_parallel')"
    with started("-c", f"{program}; sys.modules['tensorflow']", count=1) as (alone,):
        _, said = alone.communicate(timeout=120)
    assert (alone.returncode, said) == (0, "")


WAIT = """
from stages import interruption
from stages.train import processes

with interruption.handled(), processes.joined():
    pass
"""


def test_a_process_that_waits_for_others_says_where_and_ends_at_once_when_it_is_asked_to():
    by_hand = dict(zip(BY_HAND, ("127.0.0.1:1", "2", "1"), strict=True))
    with started("-c", WAIT, count=1, **by_hand) as (alone,):
        line = alone.stdout.readline()
        assert line == "data_parallel: process 1 of 2 waits for the others at 127.0.0.1:1, up to 5 minutes\n"
        time.sleep(1)  # until it does
        alone.send_signal(signal.SIGINT)
        _, said = alone.communicate(timeout=10)
    assert said == "train: interrupted while it waited for the others; nothing was begun\n"
    assert alone.returncode == 128 + signal.SIGINT


COME_LATE_AND_STOP = """
import json, time
from stages import command, errors, interruption
from stages.train import processes

def together():
    with processes.joined():
        number = processes.here().number
        time.sleep(3 * number)
        came = time.time()
        processes.agree_on("things", "one")
        went = time.time()
        score = json.loads(processes.from_the_first(json.dumps([number + 0.5, number == 0]).encode()))
        print(json.dumps([came, went, score]), flush=True)
        step = 1
        while not processes.all_stop(step, number == 1):
            step += 1
            time.sleep(0.1)
        if number == 0:
            raise {error}
        interruption.end("all is kept")

command.call_or_exit("train", together, debug=False)
"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("errors.UserError('no room')", "no room"),
        ("interruption.Interrupted(15)", "Interrupted"),  # by a second signal, which does not wait for the save
    ],
)
def test_processes_wait_for_the_last_and_a_save_that_fails_at_the_stop_is_told_by_all(error, line):
    with started("-c", COME_LATE_AND_STOP.replace("{error}", error)) as running:
        ended = [process.communicate(timeout=120) for process in running]
    (came, went, score), (came_late, _, received) = (json.loads(out.splitlines()[-1]) for out, _ in ended)
    assert came + 2 < came_late <= went
    assert score == received == [0.5, True]
    assert "is kept" not in ended[1][1]
    assert f"train: process 0 ended: {line}; start all of them again" in ended[1][1]
    assert running[1].returncode == 1


def test_one_that_does_not_become_ready_is_not_waited_for_without_end(monkeypatch):
    only_this = types.SimpleNamespace(key_value_set=lambda *_: None, key_value_dir_get=lambda _: [("agreed/0", "one")])
    monkeypatch.setattr(processes._Group, "client", only_this)
    monkeypatch.setattr(processes._Group, "place", Place(0, 2))
    monkeypatch.setattr(processes, "_CONNECTING", 0.1)
    with pytest.raises(UserError) as caught:
        processes.agree_on("things", "one")
    assert str(caught.value) == "found 1 of 2 processes ready after 0.1 s, expected all"


FAIL_WHILE_ANOTHER_HOLDS_BACK = """
import time
from stages import command, errors, quiet
from stages.train import processes

def together():
    with processes.joined():
        if processes.here().number == 1:
            time.sleep(1)
            raise errors.UserError("no data")
        with quiet.hidden_stderr():
            time.sleep(60)

command.call_or_exit("train", together, debug=False)
"""


def test_a_process_that_others_end_says_so_also_while_standard_error_is_held_back():
    with started("-c", FAIL_WHILE_ANOTHER_HOLDS_BACK) as running:
        said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [1, 1]
    assert said[0].endswith(
        "train: process 1 ended: no data; start all of them again: the training goes on from the last saved step\n"
    )
    assert said[1] == "train: no data\n"


def test_of_an_abort_of_jax_a_line_is_left(capfd):
    said = (
        "epoch 1\n"
        "E1122 19:12:53.253745    3796 coordination_service_agent.cc:289] Polled an error\n"
        "F1122 19:12:53.253967    3796 client.h:80] Terminating process\n"
        "    @     0x7f9e14c40634  absl::lts_20260107::log_internal::LogMessage::SendToLog()\n"
    )
    joined = abort_told.JOINED.decode()
    only_said = said.splitlines(keepends=True)
    for text, told in (
        (said, "epoch 1\nthe others did not come\n"),
        (joined + said, "epoch 1\nprocess 0 is gone\n"),
        (joined + "epoch 1\n", "epoch 1\n"),
        ("".join(only_said[:2]) + "train: another line\n", "".join(only_said[:2]) + "train: another line\n"),
    ):
        command = [sys.executable, "-m", abort_told.__name__, "the others did not come", "process 0 is gone"]
        subprocess.run(command, input=text, text=True, check=True, cwd=ROOT)
        assert capfd.readouterr().err == told


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A training of the stage, as settings and the environment that it runs in."""
    folder = tmp_path_factory.mktemp("together")
    configured = settings(
        folder,
        "train.strategy=data_parallel",
        "train.steps=60",
        "train.steps_per_epoch=20",
        "train.checkpoint_seconds=0",
    )
    write_prepared(configured)
    for number in range(2):
        store.save_text(folder / f"params_{number}.yaml", config.as_yaml(configured))
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return configured, cache | {"DVC_ROOT": str(folder), "MLFLOW_TRACKING_URI": ""}


@contextlib.contextmanager
def trainings(training):
    configured, environment = training
    folder = Path(configured.paths.model).parents[1]
    command = ("-m", "stages.train", "--params", folder / "params_NUMBER.yaml")
    with started(*command, folder=folder, **environment) as running:
        yield running


def kept(configured):
    """How far the saved states have come, in steps."""
    return max((int(path.stem[5:]) for path in Path(configured.paths.checkpoints).glob("*/step_*.npz")), default=0)


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_the_end_of_one_process_ends_all_and_the_training_goes_on_from_there(training):
    configured, environment = training
    begun, ended = 0, []
    for victim, number in ((1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGTERM)):
        with trainings(training) as running:
            assert wait_until(lambda past=begun + 2: kept(configured) > past, 120)
            running[victim].send_signal(number)
            since = time.monotonic()
            said = [process.communicate(timeout=60)[1] for process in running]
            assert time.monotonic() - since < 60
        ended.append(([process.returncode for process in running], said))
        assert begun < kept(configured) < 60
        begun = kept(configured)

    again = "start all of them again: the training goes on from the last saved step\n"
    (codes, said), (codes_of_0, said_of_0), (stopped, said_of_stop) = ended
    assert codes == [1, -signal.SIGKILL]
    assert said[0].endswith(f"train: process 1 of 2 gave no sign of life for 15 s; {again}")
    assert codes_of_0[0] == -signal.SIGKILL
    assert codes_of_0[1] != 0
    assert said_of_0[1].endswith(f"train: process 0 is gone, or cannot be reached; {again}")
    assert stopped == [128 + signal.SIGTERM] * 2
    for line in said_of_stop:
        assert line.splitlines()[-1].startswith(f"train: interrupted; step {begun} of 60 is kept in ")

    with trainings(training) as running:
        said = [process.communicate(timeout=120) for process in running]
        assert [process.returncode for process in running] == [0, 0], said
    assert f"going on after step {begun}, from " in said[0][0]
    lines = "2 devices take 6 images of each batch", "computes on 2 devices (the processor) in float32, compiled by XLA"
    assert [[line in out for line in lines] for out, _ in said] == [[True] * 2, [False] * 2]
    with (Path(configured.paths.model) / "history.csv").open(encoding="utf-8") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["20", "40", "60"]
    client = MlflowClient(f"sqlite:///{environment['DVC_ROOT']}/mlflow.db")
    (experiment,) = (one for one in client.search_experiments() if one.name != "Default")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    # What comes next runs on JAX too.
    command = [sys.executable, "-m", "stages.embed", "--params", f"{environment['DVC_ROOT']}/params_0.yaml"]
    told = {"KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT), **environment}
    embedded = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=False)
    assert "embedded 64 images in 3 dimensions" in embedded.stdout, embedded.stderr


def test_processes_that_were_given_different_things_end_and_say_so(training):
    configured, _ = training
    file = Path(configured.paths.model).parents[1] / "params_1.yaml"
    store.save_text(file, config.as_yaml(configured).replace("seed: 0", "seed: 1"))
    with trainings(training) as running:
        said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [1, 1], said
    differs = "other settings, prepared images, batches, code, packages or precision on this machine than process 0 has"
    assert said[1].endswith(f"train: found {differs}, expected the same for all\n")
    assert f"train: process 1 ended: found {differs}" in said[0]
