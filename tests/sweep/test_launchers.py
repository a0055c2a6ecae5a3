import json
import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from stages import config, cores
from stages.errors import UserError
from stages.sweep import launchers, trials

FOLDER = config.CONF / "sweep" / "hydra"
LAUNCHERS = ["basic", "joblib", "submitit_local", "submitit_slurm"]
APP = """
import hydra, os
from pathlib import Path
from stages import config
from stages.sweep import launchers

def job(settings):
    from hydra.core.hydra_config import HydraConfig
    folder = Path(HydraConfig.get().runtime.output_dir)
    (folder / "process.txt").write_text(f"{os.getpid()} {settings.threads}")
    return None if settings.loss.margin > 1 else -abs(settings.loss.margin - 0.3)

def main():
    launchers.register()
    hydra.main(version_base=None, config_path=str(config.CONF), config_name="sweep")(job)()
"""


@pytest.fixture
def composed():
    def composed(*overrides):
        launchers.register()
        with initialize_config_dir(str(config.CONF), version_base=None):
            return compose("sweep", overrides=list(overrides), return_hydra_config=True).hydra

    return composed


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(cores, "limit", lambda threads: threads or 4)


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("sweeper", ["basic", "optuna"])
def test_every_launcher_composes_with_every_sweeper(composed, launcher, sweeper):
    hydra = composed(f"hydra/launcher={launcher}", f"hydra/sweeper={sweeper}", "threads=1")
    assert hydra.runtime.choices["hydra/launcher"] == launcher
    assert all(value != "???" for section in (hydra.launcher, hydra.sweeper) for value in dict(section).values())


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: path.stem)
def test_what_our_files_say_is_what_hydra_composes_whatever_the_plugin_stored(composed, path):
    kind = path.parent.name
    section = composed(f"hydra/{kind}={path.stem}")[kind]
    plain = {key: value for key, value in yaml.safe_load(path.read_text()).items() if "${" not in str(value)}
    assert {key: section[key] for key in plain} == plain
    assert section["_target_"]


@pytest.mark.parametrize(
    ("launcher", "threads", "grid", "search"),
    [
        ("basic", 1, None, 1),
        ("joblib", 1, None, 4),
        ("joblib", 3, None, 1),
        ("joblib", 0, None, 1),
        ("submitit_local", 2, 2, 2),
        ("submitit_slurm", 2, None, 16),
    ],
)
def test_as_many_jobs_at_once_as_there_are_cores_for(composed, four_cores, launcher, threads, grid, search):
    hydra = composed(f"hydra/launcher={launcher}", f"threads={threads}")
    assert hydra.sweeper.max_batch_size == grid
    if launcher == "joblib":
        assert hydra.launcher.n_jobs == search
    assert composed(f"hydra/launcher={launcher}", f"threads={threads}", "sweep=optuna").sweeper.at_once == search


def test_what_the_command_line_says_of_a_launcher_counts(composed, four_cores):
    hydra = composed("hydra/launcher=joblib", "hydra.launcher.n_jobs=3", "sweep=optuna", "hydra.sweeper.trials=7")
    assert (hydra.launcher.n_jobs, hydra.sweeper.at_once, hydra.sweeper.trials) == (3, 3, 7)


@pytest.mark.parametrize(("metric", "direction"), [("map_at_r", "maximize"), ("eer", "minimize")])
def test_a_search_goes_the_way_of_the_measure_with_the_seed_of_the_settings(composed, metric, direction):
    sweeper = composed("sweep=optuna", f"sweep.metric={metric}", "seed=5").sweeper
    assert (sweeper.direction, sweeper.seed) == (direction, 5)


def test_the_preset_searches_keys_that_there_are(composed):
    values = {
        "loss.margin": 0.1, "network.embedding_dim": 2, "optimizer.learning_rate.peak": 0.001,
        "batches.classes_per_batch": 4, "batches.samples_per_class": 2,
    }  # fmt: skip
    assert set(composed("sweep=optuna").sweeper.params) == set(values)
    config.compose([f"{key}={value}" for key, value in values.items()])


@pytest.mark.parametrize(
    ("launcher", "sweeper", "absent", "message"),
    [
        ("joblib", "basic", "hydra_plugins.hydra_joblib_launcher",
         "hydra/launcher=joblib: hydra-joblib-launcher is not installed"),
        ("submitit_local", "basic", "submitit", "hydra/launcher=submitit_local: submitit is not installed"),
        ("submitit_slurm", "basic", "hydra_plugins.hydra_submitit_launcher",
         "hydra/launcher=submitit_slurm: hydra-submitit-launcher is not installed"),
        ("basic", "optuna", "optuna", "hydra/sweeper=optuna: optuna is not installed"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("without_parent", [False, True])
def test_an_absent_package_is_named_with_the_extra(monkeypatch, launcher, sweeper, absent, message, without_parent):
    find_spec = util.find_spec

    def find(name):
        if name != absent:
            return find_spec(name)
        if without_parent:
            raise ModuleNotFoundError(name)
        return None

    monkeypatch.setattr(launchers, "find_spec", find)
    with pytest.raises(UserError) as refusal:
        launchers.check_installed(launcher, sweeper)
    assert str(refusal.value).startswith(message)
    assert str(refusal.value).endswith("'.[sweep]'")
    launchers.check_installed("basic", "basic")


def test_without_the_plugin_its_settings_still_compose_so_that_the_check_can_speak(composed, monkeypatch):
    from hydra.core.config_store import ConfigStore

    composed()
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], "joblib.yaml")
    assert composed("hydra/launcher=joblib").runtime.choices["hydra/launcher"] == "joblib"


def test_a_search_through_parallel_processes(tmp_path):
    processes = multirun(tmp_path, "sweep=optuna", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
                         "hydra.sweeper.trials=5", "threads=1")  # fmt: skip
    kept = json.loads((tmp_path / "multirun" / trials.FILE).read_text())["trials"]
    margins = [float(trial["values"]["loss.margin"]) for trial in kept]
    assert [trial["score"] for trial in kept] == [None if x > 1 else pytest.approx(-abs(x - 0.3)) for x in margins]
    assert len(processes) == 5
    assert {threads for _, threads in processes} == {"1"}
    assert 1 <= len({process for process, _ in processes}) <= 2


def test_jobs_of_the_cluster_way_are_processes_of_their_own(tmp_path):
    processes = multirun(tmp_path, "loss.margin=0.1,0.2,2.0", "hydra/launcher=submitit_local",
                         "hydra.sweeper.max_batch_size=2")  # fmt: skip
    assert len({process for process, _ in processes}) == 3


def multirun(folder: Path, *overrides: str) -> list[list[str]]:
    """Run a Hydra program on the real `conf/` whose jobs only say who they are; each job's process and threads."""
    (folder / "app.py").write_text(APP)
    program = [sys.executable, "-W", "error", "-c", "import app; app.main()"]
    path = os.pathsep.join([str(config.CONF.parent), str(folder)])
    subprocess.run(
        [*program, f"hydra.sweep.dir={folder / 'multirun'}", *overrides],
        check=True, cwd=folder, timeout=60, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    found = sorted((folder / "multirun").glob("*/process.txt"))
    assert [path.parent.name for path in found] == [str(number) for number in range(len(found))]
    return [path.read_text().split() for path in found]
