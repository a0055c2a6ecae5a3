"""Random damage is refused in one line, or read; `tests/bad_input/fuzz.py` goes on for hours."""

import pytest

from tests.bad_input import fuzz


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_damaged_input_is_read_or_refused_in_one_line(target: str) -> None:
    fuzz.check(target, examples=fuzz.TARGETS[target][2])
