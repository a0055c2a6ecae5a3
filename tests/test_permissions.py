"""A file or folder without permission ends each stage with one line, and leaves what earlier runs wrote as it was."""

import importlib
import shutil
import tempfile
from pathlib import Path

import pytest

from tests import finished
from tests.unprivileged import unprivileged

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own

INPUTS = {
    "prepare": "source/train_images.csv",
    "batches": "data/prepared/train_labels.npy",
    "train": "data/batches.npy",
    "embed": "artifacts/model/embedder.keras",
    "evaluate": "artifacts/embeddings/test_embeddings.npy",
    "render": "data/prepared/test_images.npy",
}


@pytest.fixture(scope="module")
def folder():
    """Inputs of all stages, and outputs of an earlier run, in a folder that every user may read."""
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    folder = top / "outputs"
    for stage in finished.STAGES:
        importlib.import_module(f"stages.{stage}.stage")  # nobody may not read all of Python's own modules
    (top / "runs").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(top / "runs"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        finished.make(folder)
        for path in (top / "runs", *(top / "runs").rglob("*")):
            path.chmod(0o777)
        yield folder
    shutil.rmtree(top)


@pytest.fixture
def bounded(folder):
    """Takes permissions away, which are back after the test."""
    before = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}

    def bound(paths, mode):
        for path in paths:
            path.chmod(mode)

    yield bound
    for path, mode in before.items():
        path.chmod(mode)


ADVICE = "Permission denied; expected permission for the user who runs this"


@pytest.mark.parametrize("stage", finished.STAGES)
def test_a_stage_says_where_it_may_not_write(folder, bounded, capfd, stage):
    bounded([folder, *(path for path in folder.rglob("*") if path.is_dir())], 0o555)
    line = finished.refusal(stage, folder, capfd, "seed=1", within=unprivileged)
    place = {"batches": "data/batches.npy", "train": ".checkpoints/"}.get(stage, finished.OUTPUTS[stage][0])
    assert line.startswith(f"{stage}: {folder / place}")
    assert line.endswith(ADVICE)


@pytest.mark.parametrize("stage", finished.STAGES)
def test_a_stage_says_what_it_may_not_read(folder, bounded, capfd, stage):
    unreadable = folder / INPUTS[stage]
    bounded([unreadable], 0)
    line = finished.refusal(stage, folder, capfd, within=unprivileged)
    assert line.startswith(f"{stage}: {unreadable}: ")
    assert "Permission denied" in line


def test_the_tests_run_without_the_power_of_root(tmp_path):
    (tmp_path / "file").touch(mode=0)
    with unprivileged(), pytest.raises(PermissionError):
        (tmp_path / "file").read_bytes()
