"""A disk that is full ends each stage with one line, and leaves what earlier runs wrote as it was."""

import errno
import os
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from stages import store
from stages.errors import UserError, in_a_line
from tests import finished

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own

PAGE = 4096  # bytes, in which a tmpfs counts


class SmallDisk:
    """A disk of its own that can be filled: a tmpfs where this user may mount one.

    Else every file after some that the store makes is a link to /dev/full, which has no room either.
    """

    def __init__(self, folder, patch, mount):
        self.folder, self._patch = folder, patch
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
        self.is_mounted = mount and subprocess.run(command, capture_output=True, check=False).returncode == 0

    def leave(self, part, stage):
        """Leave room for a part of what the stage writes."""
        written = finished.written_by(stage, self.folder)
        if self.is_mounted:
            room = int(part * sum(-(-path.stat().st_size // PAGE) for path in written)) * PAGE
            with (self.folder / "filler").open("wb", buffering=0) as filler:
                free = os.statvfs(self.folder)
                filler.write(b"\0" * (free.f_bavail * free.f_frsize - room))
            return
        real, files = tempfile.mkstemp, int(part * len(written))

        def mkstemp(*arguments, **named):
            nonlocal files
            handle, name = real(*arguments, **named)
            files -= 1
            if files < 0 and Path(name).is_relative_to(self.folder):
                Path(name).unlink()
                Path(name).symlink_to("/dev/full")
            return handle, name

        self._patch.setattr("stages.store.tempfile.mkstemp", mkstemp)

    def make_room(self):
        (self.folder / "filler").unlink(missing_ok=True)
        self._patch.undo()

    def unmount(self):
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)  # an array may still be mapped


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Outputs of all stages, and MLflow's database and folder."""
    folder = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder / "runs"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        (folder / "runs").mkdir()
        finished.make(folder / "outputs")
        yield folder


@pytest.fixture
def disk(base, tmp_path, request):
    with pytest.MonkeyPatch.context() as patch:
        disk = SmallDisk(tmp_path, patch, mount=getattr(request, "param", True))
        try:
            finished.copy(base / "outputs", tmp_path)
            yield disk
        finally:
            disk.unmount()


ADVICE = "No space left on device; make room on its disk and run this again"


@pytest.mark.parametrize(
    ("stage", "part"),
    [
        *((stage, 0.4) for stage in finished.STAGES),
        *((stage, 0) for stage in ("prepare", "batches", "embed", "evaluate")),
    ],
)
def test_a_stage_says_which_file_found_no_room_and_leaves_those_of_before(disk, capfd, base, stage, part):
    lines = [f"{stage}: {path}: {ADVICE}" for path in finished.written_by(stage, disk.folder)]
    disk.leave(part, stage)
    assert finished.refusal(stage, disk.folder, capfd, "seed=1", f"paths.checkpoints={base / 'checkpoints'}") in lines


@pytest.mark.parametrize("disk", [True, False], ids=["mounted", "linked"], indirect=True)
def test_a_stage_goes_through_once_there_is_room(disk, capfd):
    before = finished.files(disk.folder)
    disk.leave(0, "prepare")
    finished.refusal("prepare", disk.folder, capfd, "seed=1")
    disk.make_room()
    finished.run("prepare", disk.folder, "seed=1")
    after = finished.files(disk.folder)
    assert after.keys() == before.keys()
    assert after["data/prepared/train_images.npy"] != before["data/prepared/train_images.npy"]


def test_a_checkpoint_that_finds_no_room_ends_training(disk, capfd):
    disk.leave(0.1, "train")
    line = finished.refusal("train", disk.folder, capfd, "seed=1")
    assert line.startswith(f"train: {disk.folder / '.checkpoints'}/")
    assert line.endswith(ADVICE)


def test_mlflows_database_that_finds_no_room_ends_a_stage(base, capfd):
    """A database that may not grow is to SQLite what a full disk is."""

    def bound(connection, *_):
        connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the number that there is

    def free(connection, *_):
        connection.execute("PRAGMA max_page_count = 4294967294")

    listened = ((Pool, "checkout", bound), (Pool, "checkin", free))
    for one in listened:
        event.listen(*one)
    try:
        line = finished.refusal("evaluate", base / "outputs", capfd)
    finally:
        for one in listened:
            event.remove(*one)
    assert line.startswith(f"evaluate: sqlite:///{base / 'runs' / 'mlflow.db'}: ")
    assert line.endswith(ADVICE)


def test_mlflows_folder_that_finds_no_room_ends_a_stage(base, capfd, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")  # a file that is written to does not say which it is

    monkeypatch.setattr("mlflow.store.artifact.local_artifact_repo.shutil.copyfileobj", full)
    line = finished.refusal("evaluate", base / "outputs", capfd)
    assert line.startswith(f"evaluate: {base / 'runs' / 'mlruns'}")
    assert line.endswith(ADVICE)


def test_no_room_for_temporary_files_is_told_in_a_line(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/full", str(tmp_path / "none")])
    with pytest.raises(FileNotFoundError) as error:
        tempfile.gettempdir()
    assert "make room in one of them, or set TMPDIR" in str(in_a_line(error.value))


def test_a_folder_that_finds_no_room_for_its_copy_is_told_in_a_line(tmp_path):
    (tmp_path / "model/data").mkdir(parents=True)
    for name in ("model/data/weights", "model/MLmodel"):
        (tmp_path / name).write_text("a")
    (tmp_path / "copy/data").mkdir(parents=True)
    (tmp_path / "copy/data/weights").symlink_to("/dev/full")
    with pytest.raises(UserError, match=f"^{tmp_path}/copy/data/weights: {ADVICE}$"):
        store.copy(tmp_path / "model", tmp_path / "copy")


def test_what_another_thread_writes_does_not_wait_for_files_that_belong_together(tmp_path):
    with store.together():
        store.save_text(tmp_path / "a", "new")
        thread = threading.Thread(target=store.save_text, args=(tmp_path / "b", "new"))
        thread.start()
        thread.join()
        assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {"b"}
    assert (tmp_path / "a").read_text() == "new"


def test_files_that_belong_together_are_replaced_together(tmp_path):
    for name in "abc":
        store.save_text(tmp_path / name, "old")
    with pytest.raises(ZeroDivisionError), store.together():
        store.save_text(tmp_path / "a", "new")
        store.remove(tmp_path / "b")
        store.save_array(tmp_path / "d.npy", np.zeros(2))
        raise ZeroDivisionError
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys("abc", "old")
    with store.together():
        store.save_text(tmp_path / "a", "new")
        store.remove(tmp_path / "b")
        store.remove(tmp_path / "c")
        store.save_text(tmp_path / "c", "new")
        assert (tmp_path / "a").read_text() == "old"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new", "c": "new"}
