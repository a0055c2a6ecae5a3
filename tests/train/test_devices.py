"""Several devices of one machine: two parts of this processor, which share each batch."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from stages.train.feed import THREAD
from tests.repository import ROOT
from tests.train.on_devices import FIGURES

LOSSES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "conf/loss").glob("*.yaml"))}
# What Keras does not divide by the number of devices: the sum over a batch (but the regulariser beside it), a scalar.
LOSSES["summed"] = LOSSES["triplet"] | {"reduction": "sum", "rate": 0.001, "l2": 1.0}
LOSSES["mixed"] = {"_target_": "tests.train.on_devices.Mixed"}


@pytest.fixture(scope="module")
def found():
    """What a program found that has divided its processor into two devices, which it must before all else."""
    said, told = ran(LOSSES, "single", "mirrored")
    assert "mirrored: 2 devices take 12 images of each batch" in said
    return told


@pytest.fixture(scope="module")
def on_jax():
    """The same of JAX, in one process; and with images that lie on the devices, as they do on cards."""
    flags = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    hows = ("single", "single resident", "data_parallel", "data_parallel resident")
    said, told = ran({"siamese": LOSSES["siamese"]}, *hows, **flags)
    assert "data_parallel: 2 devices take 12 images of each batch" in said
    return told


def ran(losses, *hows, **environment):
    """What the program said, and what it found."""
    command = [sys.executable, "-m", "tests.train.on_devices", json.dumps(losses), *hows]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"} | environment
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("loss", LOSSES)
def test_devices_that_share_each_batch_learn_what_one_learns_of_all_of_it(found, loss):
    single, mirrored = found["losses"][loss]["single"], found["losses"][loss]["mirrored"]
    assert not mirrored["synchronized"]  # what is saved can be loaded anywhere
    assert_learned_the_same(mirrored, single)


@pytest.mark.parametrize("how", ["data_parallel", "data_parallel resident"])
def test_devices_of_jax_learn_what_one_learns(on_jax, how):
    assert_learned_the_same(on_jax["losses"]["siamese"][how], on_jax["losses"]["siamese"]["single"])


def assert_learned_the_same(there, here):
    for epoch, (one, two) in enumerate(zip(here["figures"], there["figures"], strict=True)):
        for name, expected, found in zip(FIGURES, one, two, strict=True):
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-6), (epoch, name)
    for one, two in zip(here["weights"], there["weights"], strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-7 + 1e-5 * np.abs(one).max())


def test_images_on_the_device_change_nothing_of_what_jax_learns(on_jax):
    ways = on_jax["losses"]["siamese"]
    for how in ("single", "data_parallel"):
        assert ways[f"{how} resident"] == ways[how]


def test_no_thread_that_reads_ahead_outlives_the_training(on_jax):
    assert not [name for name in on_jax["threads"] if name.startswith(THREAD)]


@pytest.mark.parametrize(("program", "how"), [("found", "mirrored"), ("on_jax", "data_parallel resident")])
def test_a_training_of_several_devices_that_was_cut_off_goes_on_to_the_same_weights(request, program, how):
    found = request.getfixturevalue(program)
    whole = next(iter(found["losses"].values()))[how]
    assert found["cut"]["figures"] == whole["figures"]
    assert found["cut"]["weights"] == whole["weights"]


def test_a_batch_that_devices_cannot_share_is_refused(found, on_jax):
    for told in (found, on_jax):
        assert told["refused"] == "batches: found 25 images a batch, expected a multiple of the 2 devices"
