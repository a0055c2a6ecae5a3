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
from pathlib import Path

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

from stages import config, store
from stages.errors import UserError
from stages.place import BY_HAND, Place, place
from stages.train import abort_told
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
