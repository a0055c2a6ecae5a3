import shutil

import pytest

from stages import config
from stages.sweep import content


def settings(*overrides):
    return config.parse(config.compose(overrides), "conf")


@pytest.mark.parametrize(
    "override",
    ["loss.margin=0.3", "seed=1", "threads=1", "evaluate.knn=3", "data.validation=0.2", "batches.samples_per_class=4"],
)
def test_a_job_of_other_settings_is_another(override):
    assert content.of_job(settings(override)) != content.of_job(settings())


def test_where_files_lie_and_what_is_drawn_make_no_other_job():
    assert content.of_job(settings("paths.model=elsewhere", "render.gallery=3")) == content.of_job(settings())


def test_images_are_prepared_again_only_for_other_images_or_another_split():
    prepared = content.of_prepared(settings())
    assert content.of_prepared(settings("loss.margin=0.3", "batches=shuffled")) == prepared
    assert content.of_prepared(settings("data.validation=0.2")) != prepared
    assert content.of_prepared(settings("seed=1")) != prepared


def test_batches_are_planned_again_only_where_the_plan_differs():
    batches = content.of_batches(settings())
    assert content.of_batches(settings("loss.margin=0.3")) == batches
    assert content.of_batches(settings("batches=shuffled")) != batches
    assert content.of_batches(settings("train.steps=60")) != batches


def test_another_image_makes_another_job_and_another_place_does_not(tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree("data/digits", folder)
    assert content.of_job(settings(f"data.path={folder}")) == content.of_job(settings())
    file = next(folder.glob("*labels*"))
    (folder / "cat").mkdir()
    shutil.copy(file, folder / "cat")
    cat = content.of_job(settings(f"data.path={folder}"))
    (folder / "cat").rename(folder / "dog")
    assert content.of_job(settings(f"data.path={folder}")) != cat
    shutil.rmtree(folder / "dog")
    file.write_bytes(file.read_bytes() + b"\n")
    assert content.of_job(settings(f"data.path={folder}")) != content.of_job(settings())


def test_a_changed_stage_makes_another_job(tmp_path, monkeypatch):
    before = content.of_job(settings())
    shutil.copytree("stages", tmp_path / "stages")
    shutil.copy("requirements.lock", tmp_path)
    monkeypatch.setattr(content, "_ROOT", tmp_path)
    assert content.of_job(settings()) == before
    with (tmp_path / "stages/train/networks.py").open("a") as file:
        file.write("# another line\n")
    assert content.of_job(settings()) != before


def test_a_changed_network_of_the_users_own_makes_another_job(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_users_networks.py").write_text("def net(input_shape): ...\n")
    override = ("network={_target_: a_users_networks.net}", "allowed_targets=[a_users_networks.net]")
    overrides = ("~network", f"+{override[0]}", override[1])
    before = content.of_job(settings(*overrides))
    (tmp_path / "a_users_networks.py").write_text("def net(input_shape): return None\n")
    assert content.of_job(settings(*overrides)) != before


def test_another_backend_makes_another_job(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    before = content.of_job(settings())
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert content.of_job(settings()) != before
