"""Every input of the table is refused in one line, with status 1, and nothing is changed or executed."""

import re
from pathlib import Path

import pytest

from stages import config
from tests.bad_input import artifact_cases, csv_cases, folder_cases, setting_cases
from tests.bad_input.table import Refused, contents, pattern, refuse

CASES = [*csv_cases.CASES, *folder_cases.CASES, *setting_cases.CASES, *artifact_cases.CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_refused(case: Refused, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refuse(case, tmp_path, capfd)


@pytest.mark.parametrize(("override", "line"), setting_cases.OVERRIDES)
def test_override_is_refused_and_params_yaml_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], override: str, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("earlier")
    before = contents(tmp_path)
    with pytest.raises(SystemExit) as ended:
        config.main(["--", override])
    assert ended.value.code == 1
    assert re.fullmatch(pattern(f"config: {line}", tmp_path), capfd.readouterr().err)
    assert contents(tmp_path) == before
