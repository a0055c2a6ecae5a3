"""Several devices of one machine: two parts of this processor, which share each batch."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from tests.repository import ROOT
from tests.train.on_devices import FIGURES

LOSSES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "conf/loss").glob("*.yaml"))}
# The sum over a batch, of which Keras does not give each device its part.
LOSSES["summed"] = LOSSES["triplet"] | {"reduction": "sum", "rate": 0.001}


@pytest.fixture(scope="module")
def found():
    """What a program found that has divided its processor into two devices, which it must before all else."""
    command = [sys.executable, "-m", "tests.train.on_devices", json.dumps(LOSSES), "single", "mirrored"]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "mirrored: 2 devices take 12 images of each batch" in ended.stdout
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("loss", LOSSES)
def test_devices_that_share_each_batch_learn_what_one_learns_of_all_of_it(found, loss):
    single, mirrored = found["losses"][loss]["single"], found["losses"][loss]["mirrored"]
    assert not mirrored["synchronized"]  # what is saved can be loaded anywhere
    for epoch, (one, two) in enumerate(zip(single["figures"], mirrored["figures"], strict=True)):
        for name, here, there in zip(FIGURES, one, two, strict=True):
            assert there == pytest.approx(here, rel=1e-5, abs=1e-6), (epoch, name)
    for one, two in zip(single["weights"], mirrored["weights"], strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-7 + 1e-5 * np.abs(one).max())


def test_a_training_of_several_devices_that_was_cut_off_goes_on_to_the_same_weights(found):
    whole = found["losses"][next(iter(LOSSES))]["mirrored"]
    assert found["cut"]["figures"] == whole["figures"]
    assert found["cut"]["weights"] == whole["weights"]


def test_a_batch_that_devices_cannot_share_is_refused(found):
    assert found["refused"] == "batches: found 25 images a batch, expected a multiple of the 2 devices"
