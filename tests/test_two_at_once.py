"""Two processes that want the same, one that outlives DVC, and what a killed DVC leaves: real processes throughout."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import yaml

from stages import config, leftovers, lock, recovery, store
from stages.errors import UserError
from tests.repository import ROOT, copy_of_repository, environment, run, wait_until, working_in
from tests.small import settings

SLEEPER = """
import sys, time
from pathlib import Path
from stages import config, interruption, lock, orphan
from stages.command import call_or_exit

def work():
    with lock.on_outputs("batches", config.load().paths):
        Path("began").write_text("")
        try:
            time.sleep(60)
        finally:
            while Path("slow").exists():
                time.sleep(0.05)
            Path("saved").write_text("")

with interruption.handled():
    orphan.end_with_dvc("sleeper")
    call_or_exit("sleeper", work, debug=False)
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the repository whose pipeline is a stage that sleeps, and saves when it is interrupted."""
    folder = copy_of_repository(tmp_path_factory.mktemp("clone"))
    (folder / "sleeper.py").write_text(SLEEPER)
    stages = {"sleep": {"cmd": "python sleeper.py", "params": ["seed"], "outs": ["saved"]}}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    # The environment as the Makefile wants it, ready.
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv/ready").unlink(missing_ok=True)
    (folder / ".venv/ready").touch()
    return folder


@contextmanager
def running(folder, *command, before=lambda: None):
    """A command whose stage has begun, `before` which something else is waited for."""
    for file in ("began", "saved"):
        (folder / file).unlink(missing_ok=True)
    (folder / "log").write_text("")
    log = (folder / "log").open("a")
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log, start_new_session=True)
    try:
        before()
        assert wait_until((folder / "began").exists, 60), (folder / "log").read_text()
        yield process
    finally:
        for left in [process, *working_in(folder)]:
            left.kill()
        process.wait()
        log.close()
        (folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)  # a plain `dvc repro` heeds what a killed one has left


def of(folder, module):
    """The process of a program in a folder."""
    (found,) = (process for process in working_in(folder) if module in process.cmdline()[1:3])
    return found


def test_the_second_make_repro_says_that_the_first_is_running_and_touches_nothing(clone):
    with running(clone, "make", "repro") as first:
        settings_file = clone / "conf/config.yaml"
        before = (clone / "params.yaml").read_bytes(), settings_file.read_text()
        settings_file.write_text(before[1].replace("seed: 0", "seed: 7"))
        second = run(clone, "make", "repro", check=False)
        settings_file.write_text(before[1])
        assert second.returncode == 2  # make's
        line = second.stderr.splitlines()[-2]
        number = of(clone, "stages.repro").pid
        assert re.fullmatch(
            rf"repro: this clone: found make repro \(process {number}, since [\d :-]+\) at work on it, "
            "expected no other; wait for it or end it",
            line,
        )
        assert (clone / "params.yaml").read_bytes() == before[0]

        first.terminate()
        assert first.wait(30) != 0
        assert (clone / "saved").exists()
        said = (clone / "log").read_text()
        assert "sleeper: interrupted" in said
        assert "repro: interrupted; the same command goes on from here" in said
        assert not working_in(clone)


@pytest.mark.parametrize("victim", ["make", "stages.repro"])
def test_what_is_left_of_a_killed_make_repro_saves_its_work_and_ends(clone, victim):
    with running(clone, "make", "repro") as first:
        (first if victim == "make" else of(clone, victim)).kill()
        assert wait_until(lambda: not working_in(clone), 30)
        assert (clone / "saved").exists()


def test_a_stage_ends_with_a_dvc_that_was_killed_and_the_next_run_waits_until_it_has_saved(clone):
    with running(clone, "dvc", "repro") as dvc:
        (clone / "slow").touch()
        dvc.kill()

        def waiting():
            said = "repro: data/batches.npy: waiting for batches (process"
            assert wait_until(lambda: said in (clone / "log").read_text(), 60), (clone / "log").read_text()
            (clone / "slow").unlink()

        with running(clone, "make", "repro", before=waiting):
            assert "rwlock: removed" in (clone / "log").read_text()
            assert not (clone / "saved").exists()  # DVC has removed it, after it was written


def test_make_repro_says_that_dvc_is_at_work_in_the_clone(clone):
    with running(clone, "dvc", "repro") as dvc:
        result = run(clone, "python", "-m", "stages.repro", check=False)
        assert result.returncode == 1
        assert re.fullmatch(
            rf"repro: \.dvc: found .*dvc repro at work \(process {dvc.pid}\), expected no other; .*\n",
            result.stderr,
        )


def test_a_stage_waits_for_nobody_who_does_not_end(clone):
    composed = config.load(clone / "params.yaml").paths.batches
    with running(clone, sys.executable, "sleeper.py") as first:
        second = run(clone, "python", "-m", "stages.batches", check=False)
        assert second.returncode == 1
        told, refused = second.stderr.splitlines()
        assert told.startswith(f"batches: {composed}: waiting for batches (process {first.pid}, since ")
        assert refused.startswith(f"batches: {composed}: found batches (process {first.pid}, since ")
        first.kill()
        first.wait()
        third = run(clone, "python", "-m", "stages.batches", check=False)
        assert "data/prepared" in third.stderr  # it gets as far as to miss its input


def test_a_lock_leaves_nothing_behind(tmp_path):
    paths = settings(tmp_path).paths
    before = sorted(tmp_path.rglob("*"))
    with lock.on_outputs("evaluate", paths):
        assert sorted(tmp_path.rglob(".*.lock"))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_outputs_that_are_locked_are_those_of_dvc_yaml():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    declared = {
        name: {
            re.sub(r"\$\{paths\.(\w+)\}", r"{\1}", next(iter(out)) if isinstance(out, dict) else out)
            for out in [*stage.get("outs", []), *stage.get("metrics", [])]
        }
        for name, stage in stages.items()
    }
    assert {name: set(outputs) for name, outputs in lock.OUTPUTS.items()} == declared


def test_half_written_files_of_a_killed_process_are_removed_and_no_others(tmp_path):
    def killed_in(path):
        pid = os.fork()
        if pid == 0:
            with store.replacing(path):
                os._exit(0)
        os.waitpid(pid, 0)

    kept = [tmp_path / name for name in (".gitignore", ".batches-notes.npy", "batches.npy", "model/embedder.keras")]
    (tmp_path / "model").mkdir()
    for path in kept:
        path.touch()
    for name in ("batches.npy", "model/embedder.keras", "model/run.json"):
        killed_in(tmp_path / name)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len(kept) + 3
    leftovers.remove(tmp_path / "batches.npy")
    leftovers.remove(tmp_path / "model")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


@pytest.fixture
def cleared(tmp_path, monkeypatch):
    """Clears what DVC has left in a folder."""
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    paths = config.load(ROOT / "params.yaml").paths
    return lambda: recovery.clear(paths)


def claim(folder, pid):
    content = {"write": {"/x/artifacts": {"pid": pid, "cmd": "dvc repro"}}, "read": {}}
    (folder / ".dvc/tmp/rwlock").write_text(json.dumps(content))


def test_a_dvc_lock_cut_off_anywhere_is_removed_or_read_as_dvc_reads_it(tmp_path, cleared, capsys):
    from dvc.dvcfile import Lockfile
    from dvc.utils import strictyaml

    whole = {
        "schema": "2.0",
        "stages": {
            name: {
                "cmd": f"python -m stages.{name}",
                "outs": [{"path": name, "hash": "md5", "md5": "0" * 32, "size": 7}],
            }
            for name in ("prepare", "train")
        },
    }
    text, file = yaml.safe_dump(whole, sort_keys=False), tmp_path / "dvc.lock"
    removed = 0
    for length in range(0, len(text) + 1, 3):
        file.write_text(text[:length])
        cleared()
        if file.exists():
            strictyaml.load(str(file), Lockfile.SCHEMA)
        else:
            removed += 1
    assert removed > len(text) / 6
    assert capsys.readouterr().out.count("dvc.lock: removed, for it is not whole") == removed
    file.write_text(text)
    cleared()
    assert file.read_text() == text


def test_a_dvc_lock_with_a_conflict_is_left_to_the_user(tmp_path, cleared):
    (tmp_path / "dvc.lock").write_text("<<<<<<< HEAD\nschema: '2.0'\n=======\n")
    cleared()
    assert (tmp_path / "dvc.lock").exists()


@pytest.mark.parametrize("content", ["", '{"write": {"/x": {"pid'])
def test_claims_that_dvc_was_killed_in_writing_are_removed(tmp_path, cleared, content):
    (tmp_path / ".dvc/tmp/rwlock").write_text(content)
    cleared()
    assert not (tmp_path / ".dvc/tmp/rwlock").exists()


def test_claims_of_dead_processes_are_removed_though_another_has_the_number_or_a_zombie_keeps_it(tmp_path, cleared):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    assert wait_until(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE, 20)
    claim(tmp_path, ended.pid)
    cleared()
    ended.wait()
    claim(tmp_path, os.getpid())
    long_ago = psutil.Process().create_time() - 100
    os.utime(tmp_path / ".dvc/tmp/rwlock", (long_ago, long_ago))
    cleared()
    assert not (tmp_path / ".dvc/tmp/rwlock").exists()


def test_claims_of_a_process_that_is_there_are_respected(tmp_path, cleared):
    claim(tmp_path, os.getpid())
    with pytest.raises(UserError, match=rf"found dvc repro at work \(process {os.getpid()}\)"):
        cleared()


def test_files_that_dvc_was_killed_in_copying_are_removed(tmp_path, cleared):
    from dvc_objects.fs.utils import tmp_fname

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / tmp_fname()).touch()
    (tmp_path / "data/mine.tmp").touch()
    cleared()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine.tmp"]


WORKERS = """
import numpy as np
from stages.render.projections import project_all

if __name__ == "__main__":
    points = np.random.default_rng(0).normal(size=(20000, 20))
    list(project_all({1: ("tsne", points), 2: ("tsne", points)}, 30.0, 0, workers=2))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_processes_that_project_end_with_the_stage(tmp_path, number):
    (tmp_path / "program.py").write_text(WORKERS)
    with subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        workers = lambda: [p for p in working_in(tmp_path) if "spawn_main" in " ".join(p.cmdline())]  # noqa: E731
        assert wait_until(lambda: len(workers()) == 2, 60)
        time.sleep(1)
        process.send_signal(number)
        assert wait_until(lambda: process.poll() is not None and not working_in(tmp_path), 30)
