"""The part of the table that needs TensorFlow."""

from pathlib import Path

import pytest

from tests.bad_input import model_cases
from tests.bad_input.table import Refused, refuse


@pytest.mark.parametrize("case", model_cases.CASES, ids=str)
def test_refused(case: Refused, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refuse(case, tmp_path, capfd)
