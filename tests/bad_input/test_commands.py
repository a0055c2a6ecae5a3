"""A few of the cases as the commands that a user types, and a few that want a lack of permission."""

import functools
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stages.command import main
from tests.bad_input import csv_cases
from tests.bad_input.folder_cases import FOLDER, class_folders, idx_files
from tests.bad_input.table import Refused, contents, params, pattern, write_input
from tests.repository import ROOT, environment
from tests.unprivileged import unprivileged

_GIGABYTE = 1 << 20  # in units of 1024 bytes


def run_limited(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m` with these arguments in a folder, in a process that may have a gigabyte of data."""
    command = ["sh", "-c", f'ulimit -d {_GIGABYTE}; exec "$@"', "sh", sys.executable, "-m", *arguments]
    found = environment() | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True, check=False)


def _named(cases: list[Refused], name: str) -> Refused:
    return next(case for case in cases if case.name == name)


@pytest.mark.parametrize(
    "case",
    [
        _named(csv_cases.CASES, "gzip bomb: 4 GB of rows in 4 MB"),
        _named(csv_cases.CASES, "gzip bomb: 4 GB without an end of line"),
    ],
    ids=str,
)
def test_the_command_prints_the_line_alone_and_ends_with_1(tmp_path: Path, case: Refused) -> None:
    write_input(tmp_path, case.stage)
    case.spoil(tmp_path)
    before = contents(tmp_path)
    ended = run_limited(tmp_path, f"stages.{case.stage}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(pattern(f"{case.stage}: {case.line}", tmp_path), ended.stderr), ended.stderr
    assert contents(tmp_path) == before


def test_a_tab_in_a_file_of_conf_is_named_by_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages import config
    from stages.errors import UserError

    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf/loss/batch_hard.yaml").write_text("_target_: x\n\tmargin: 1\n")
    monkeypatch.setattr(config, "CONF", tmp_path / "conf")
    with pytest.raises(UserError) as refused:
        config.write(tmp_path / "params.yaml")
    assert "found character '\\t' that cannot start any token" in str(refused.value)
    assert f'{tmp_path}/conf/loss/batch_hard.yaml", line 2, column 1' in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "params.yaml").exists()


def test_settings_that_change_while_a_stage_runs_end_it_for_dvc_would_record_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from stages.batches import stage

    write_input(tmp_path, "batches")
    file, run = tmp_path / "params.yaml", stage.run

    @functools.wraps(run)
    def meanwhile(*arguments: Any, **named: Any) -> None:
        run(*arguments, **named)
        file.write_text(params(tmp_path, {"loss.margin": 0.3, "seed": seed}), encoding="utf-8")

    monkeypatch.setattr(stage, "run", meanwhile)
    seed = 0
    main("batches", ["--params", str(file)])  # whose loss is none of its settings
    seed = 5
    with pytest.raises(SystemExit) as ended:
        main("batches", ["--params", str(file)])
    assert ended.value.code == 1
    assert capfd.readouterr().err.startswith(f"batches: {file}: seed: changed by somebody while this stage ran, ")


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that every user may look into, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


_UNPERMITTED: list[tuple[str, int, Mapping[str, Any], str]] = [
    ("in", 0, {}, "{}/in: Permission denied; expected permission for the user who runs this"),
    ("in", 0o444, {}, "{}/in/…: Permission denied; expected permission for the user who runs this"),
    (
        "in/test_labels.csv",
        0,
        {},
        "{}/in/test_labels.csv: Permission denied; expected permission for the user who runs this",
    ),
    ("in/t10k-images-idx3-ubyte", 0, {"data.source": "idx"}, "{}/in/t10k-images-idx3-ubyte: Permission denied; …"),
    (
        "in/ant/00000.png",
        0,
        FOLDER,
        "{}/in: found unreadable images, 1 of 12: ant/00000.png (Permission denied); expected whole …",
    ),
    ("in/ant", 0, FOLDER, "{}/in/ant: not readable (Permission denied), expected a folder of images"),
    ("params.yaml", 0, {}, "{}/params.yaml: Permission denied; expected permission for the user who runs this"),
]


@pytest.mark.parametrize(("name", "mode", "settings", "line"), _UNPERMITTED)
def test_what_may_not_be_read_is_named(
    open_to_all: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    mode: int,
    settings: Mapping[str, Any],
    line: str,
) -> None:
    write_input(open_to_all, "prepare")
    if "data.source" in settings:
        {"folder": class_folders, "idx": idx_files}[settings["data.source"]](open_to_all)
    (open_to_all / "params.yaml").write_text(params(open_to_all, settings), encoding="utf-8")
    before = contents(open_to_all)
    permissions = (open_to_all / name).stat().st_mode
    (open_to_all / name).chmod(mode)
    with unprivileged(), pytest.raises(SystemExit) as ended:
        main("prepare", ["--params", str(open_to_all / "params.yaml")])
    assert ended.value.code == 1
    assert re.fullmatch(pattern(f"prepare: {line}", open_to_all), capfd.readouterr().err)
    (open_to_all / name).chmod(permissions)
    assert contents(open_to_all) == before


def test_a_reader_who_has_had_enough_ends_a_command_without_a_word():
    print_much = "call_or_exit('x', lambda: print(*range(10**6)), debug=False)"
    command = [sys.executable, "-c", f"from stages.command import call_or_exit; {print_much}"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == "0"
        process.stdout.close()
        assert (process.stderr.read(), process.wait(20)) == ("", 1)
