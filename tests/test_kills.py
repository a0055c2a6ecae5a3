"""Kills of `make repro` at any moment: the next one goes on, and what it makes equals what an unbroken one makes.

`make soak` does it for longer, at random moments; a failure names its seed.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
import yaml
from mlflow import MlflowClient
from omegaconf import OmegaConf

from tests.repository import TINY, copy_of_repository, environment, wait_until, working_in

# Steps enough to be killed between them, each of which is saved.
SETTINGS = ("train.steps=120", "train.steps_per_epoch=30", "train.checkpoint_seconds=0", "render.methods=[pca]")
MAKE = ("make", "repro")
FIGURES = ("metrics/evaluate.json", "metrics/threshold.json", "artifacts/model/history.csv")
EVERY_STEP_ONCE = {
    "step/loss": list(range(10, 121, 10)),
    "epoch/loss": [30, 60, 90, 120],
    "epoch/val_map_at_r": [30, 60, 90, 120],
}
OUTPUTS = ("artifacts", "data", "metrics", "plots")


@dataclass(frozen=True)
class Kill:
    """A signal to a victim (make, the process of DVC, the stage that runs, or all at once), some time after a sign."""

    sign: str
    delay: float
    victim: str
    number: signal.Signals


def program(module):
    return lambda folder, _: any(module in command for command in commands(folder))


def file(pattern):
    return lambda folder, began: any(written(path) > began for path in folder.glob(pattern))


def recorded(stage):
    lock = "dvc.lock"
    return lambda folder, began: written(folder / lock) > began and f"  {stage}:" in (folder / lock).read_text()


def written(path):
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


SIGNS = {
    "make has started": lambda folder, began: True,
    "dvc has started": program("stages.repro"),
    "prepare has started": program("stages.prepare"),
    "train has started": program("stages.train"),
    "a training is kept": file(".checkpoints/*/step_*.npz"),
    "the model is written": file("artifacts/model/embedder.keras"),
    "train is recorded": recorded("train"),
    "embeddings are written": file("artifacts/embeddings/test_embeddings.npy"),
    "embed is recorded": recorded("embed"),
    "metrics are written": file("metrics/evaluate.json"),
    "evaluate is recorded": recorded("evaluate"),
    "maps are written": file("plots/maps/*.png"),
}
CHOSEN = [  # the moments at which most can be lost, one after the other in one training
    Kill("a training is kept", 0.2, "stage", signal.SIGKILL),
    Kill("a training is kept", 0.2, "make", signal.SIGTERM),
    Kill("the model is written", 0.0, "dvc", signal.SIGKILL),
    Kill("embeddings are written", 0.0, "all", signal.SIGINT),
]


def at_random(seed):
    rng = random.Random(seed)
    kills = [
        Kill(
            rng.choice(list(SIGNS)),
            round(rng.choice([0.0, rng.uniform(0, 0.3), rng.uniform(0, 4)]), 3),
            rng.choice(["make", "dvc", "stage", "all"]),
            rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]),
        )
        for _ in range(rng.randint(1, 3))
    ]
    return sorted(kills, key=lambda kill: list(SIGNS).index(kill.sign))


SOAK = int(os.environ.get("SOAK", "0"))
ROUNDS = {"chosen": CHOSEN} | {f"seed {seed}": at_random(seed) for seed in range(SOAK)}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the repository whose `make repro` takes seconds."""
    folder = copy_of_repository(tmp_path_factory.mktemp("kills"))
    preset = OmegaConf.to_yaml(OmegaConf.from_dotlist([*TINY, *SETTINGS]))
    (folder / "conf/experiment/tiny.yaml").write_text(f"# @package _global_\n{preset}")
    config = folder / "conf/config.yaml"
    config.write_text(config.read_text().replace("experiment: null", "experiment: tiny"))
    if not SOAK:
        # It makes neither figures nor weights, and takes longest.
        pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
        del pipeline["stages"]["render"]
        (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    # The environment as the Makefile wants it, ready.
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != "ready":
            (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv/ready").touch()
    return folder


@pytest.fixture(scope="module")
def unbroken(clone):
    """What a run makes that nobody disturbs."""
    process, log = start(clone)
    assert process.wait(600) == 0, log.read_text()
    return made(clone)


@pytest.mark.filterwarnings("ignore")  # MLflow's own
@pytest.mark.parametrize("name", ROUNDS)
def test_after_kills_a_run_ends_with_the_bytes_of_an_unbroken_one(clone, unbroken, name):
    forget(clone)
    story, kept = [], None
    for kill in [*ROUNDS[name], None]:
        story.append(str(kill or "to the end"))
        began = time.time()
        process, log = start(clone)
        if kill is None:
            process.wait(600)
        else:
            assert wait_until(lambda: has_ended(process) or SIGNS[kill.sign](clone, began), 300), told(story, log)  # noqa: B023
            time.sleep(kill.delay)
            assert process.poll() in (None, 0), told(story, log)
            strike(clone, process, kill)
            process.wait(600)  # to the end where nothing was struck: no stage ran
        story.append(log.read_text())
        if kept is not None:
            assert f"going on after step {kept}, from" in story[-1], told(story, log)
        kept = None
        if name == "chosen" and wait_until(lambda: not working_in(clone), 60) and kill in CHOSEN[:2]:
            kept = newest_checkpoint(clone)
            assert kept, told(story, log)
    assert process.returncode == 0, told(story, log)
    if name == "chosen":
        assert "train: interrupted; step " in story[3], told(story, log)
    assert_made(made(clone), unbroken, told(story, log))
    assert logged(clone) == ("FINISHED", EVERY_STEP_ONCE), told(story, log)
    assert not working_in(clone)
    hidden = [str(path) for output in OUTPUTS for path in (clone / output).rglob(".*") if path.name != ".gitignore"]
    assert not hidden, told(story, log)
    assert newest_checkpoint(clone) is None, told(story, log)


@pytest.mark.skipif(not SOAK, reason="for make soak: tests/sweep/test_sweep.py kills a sweep as well")
def test_a_sweep_that_is_told_to_end_goes_on_to_the_figures_of_an_unbroken_run(clone, unbroken):
    sweep = (sys.executable, "-m", "stages.sweep")
    folder = clone / "multirun/cut"
    # Two jobs of one content: the second takes what the first has computed.
    process, log = start(clone, *sweep, "-m", "render.gallery=2,3", f"hydra.sweep.dir={folder.relative_to(clone)}")
    assert wait_until(lambda: has_ended(process) or any(folder.glob("0/.checkpoints/*/step_*")), 300), log.read_text()
    process.terminate()
    assert process.wait(120) == 143
    assert "sweep: interrupted; to go on: python -m stages.sweep --resume multirun/cut\n" in log.read_text()
    assert wait_until(lambda: not working_in(clone), 60)
    process, log = start(clone, *sweep, "--resume", str(folder.relative_to(clone)))
    assert process.wait(600) == 0, log.read_text()
    assert "going on after step" in (folder / "0/log.txt").read_text()
    assert_made(made(folder / "0"), unbroken, log.read_text())


def start(folder, *command):
    """A command, by default `make repro`, in a session of its own, as in a terminal of its own; with its log."""
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command or MAKE,
            cwd=folder,
            env=environment() | {"PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    return process, log


def has_ended(process):
    return process.poll() is not None


def commands(folder):
    """Modules that run in the folder."""
    found = []
    for process in working_in(folder):
        with suppress(psutil.Error):
            found.append(process.cmdline())
    return found


def strike(folder, process, kill):
    if kill.victim == "all":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, kill.number)
        return
    if kill.victim == "make":
        # To SIGINT for itself alone GNU make pays no heed.
        process.send_signal(signal.SIGTERM if kill.number == signal.SIGINT else kill.number)
        return
    for other in working_in(folder):
        with suppress(psutil.Error):
            module = next((word for word in other.cmdline() if word.startswith("stages.")), "")
            if module and (module == "stages.repro") == (kill.victim == "dvc"):
                other.send_signal(kill.number)


def forget(folder):
    """All that was computed but the images and the plan."""
    for name in ("artifacts", "metrics", "plots", ".checkpoints", ".dvc/cache/runs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "dvc.lock").unlink(missing_ok=True)


def newest_checkpoint(folder):
    """The step after which the training was saved last."""
    files = sorted(folder.glob(".checkpoints/*/step_*.npz"))
    return int(files[-1].stem.partition("_")[2]) if files else None


def made(folder):
    """Figures as bytes; weights as arrays, for their file holds its date."""
    import keras

    model = keras.models.load_model(folder / "artifacts/model/embedder.keras")
    return {name: (folder / name).read_bytes() for name in FIGURES}, model.get_weights()


def logged(folder):
    """The state of the run of the model in MLflow, and the steps of which it has the loss and the validation."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    run_id = json.loads((folder / "artifacts/model/run.json").read_text())["run_id"]
    series = ("step/loss", "epoch/loss", "epoch/val_map_at_r")
    steps = {name: [point.step for point in client.get_metric_history(run_id, name)] for name in series}
    return client.get_run(run_id).info.status, steps


def assert_made(mine, unbroken, story):
    for path, content in mine[0].items():
        assert content == unbroken[0][path], f"{path}\n{story}"
    for one, other in zip(mine[1], unbroken[1], strict=True):
        np.testing.assert_array_equal(one, other, err_msg=story)


def told(story, log):
    return "\n".join([*story, log.read_text()])
