import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.train.backend_values import values_and_gradients
from tests.train.gradients import BACKEND

without_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is no part of the lock")


@pytest.fixture(scope="module")
def here():
    return values_and_gradients()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others are compared with TensorFlow")
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=without_torch)])
def test_backends_agree_on_values_and_gradients(here, backend, tmp_path):
    command = [sys.executable, "-m", "tests.train.backend_values", tmp_path / "there.npz"]
    subprocess.run(command, check=True, env=os.environ | {"KERAS_BACKEND": backend})
    there = np.load(tmp_path / "there.npz", allow_pickle=False)
    assert set(there) == set(here)
    for name in there:
        np.testing.assert_allclose(there[name], here[name], rtol=1e-5, atol=1e-6, err_msg=name)
