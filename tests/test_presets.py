"""Each preset of conf/experiment: what it says of itself, that its parts go together, and that it trains."""

import csv
import itertools
from pathlib import Path

import keras
import numpy as np
import pytest

import stages.batches.stage
import stages.train.stage
from stages import config
from stages.command import arguments_for
from stages.train import strategy
from stages.train.augmentation import RandomAffine
from stages.train.learner import Learner
from stages.train.statistics import TripletStatistics
from stages.train.targets import build
from tests.small import write_prepared

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own
FOLDER = config.CONF / "experiment"
PRESETS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SOURCES = (
    "semi_hard_tutorial",
    "batch_hard_article",
    "siamese_resnet50",
    "triplet_resnet50",
    "contrastive",
    "explicit_triplets",
    "random_triplets",
    "batch_all",
)
RESNETS = ("siamese_resnet50", "triplet_resnet50")
OTHER_LOSSES = ("contrastive", "explicit_triplets", "batch_all")


@pytest.fixture(autouse=True)
def _tracked_here(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path_factory.getbasetemp()))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def preset(name, *overrides):
    return config.parse(config.compose([f"experiment={name}", *overrides]), name)


@pytest.mark.parametrize("name", SOURCES)
def test_a_preset_opens_with_what_differs_what_it_costs_what_was_measured_and_its_command(name):
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    opening = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert opening[0] == "# @package _global_"
    assert sum(line == "#" for line in opening) >= 3  # its source, what differs here, costs and measured, commands
    for start in ("# Costs: ", "# measured: ", f"#   dvc exp run -S experiment={name}"):
        assert any(line.startswith(start) for line in opening), start
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", SOURCES)
def test_a_preset_is_for_mnist_and_can_be_put_on_other_data(name):
    assert preset(name).data.name == "mnist"
    moved = preset(name, "data=digits", "train.steps=600", "train.steps_per_epoch=60")
    assert (moved.data.name, moved.train.steps) == ("digits", 600)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_a_loss_that_takes_its_batches_and_an_optimizer(name):
    configured = preset(name)
    assert configured.batches.layout in build(configured.loss, "loss", kind=keras.losses.Loss).layouts
    build(configured.optimizer, "optimizer", kind=keras.optimizers.Optimizer)


@pytest.mark.parametrize("name", OTHER_LOSSES)
def test_presets_of_another_loss_differ_from_mnist_in_loss_and_batches_alone(name):
    changed = config.changes(config.compose(["experiment=mnist"]), config.compose([f"experiment={name}"]))
    assert {change.partition(".")[0] for change in changed} <= {"loss", "batches"}
    assert changed


def test_both_resnets_are_one_backbone_and_make_as_many_steps_of_as_many_images():
    siamese, triplet = map(preset, RESNETS)
    assert siamese.train == triplet.train
    assert siamese.batches.size == triplet.batches.size
    assert siamese.network | {"embedding_dim": 128} == triplet.network


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in RESNETS])
def test_a_preset_trains_on_small_data(tmp_path, name):
    configured = small(name, tmp_path)
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    stages.train.stage.run(**arguments_for(stages.train.stage.run, configured, tmp_path / "params.yaml"))
    model = Path(configured.paths.model)
    with (model / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert losses[0] > 0
    strategy.set_up(configured.seed, configured.threads)
    start = build(configured.network, "network", input_shape=(8, 8, 1))
    trained = keras.models.load_model(model / "embedder.keras")
    assert all(moved(trained.get_weights(), start.get_weights()))


def test_siamese_resnet50_learns_together_with_its_head(tmp_path):
    """One step outside of a graph: to build that of a ResNet50 takes a minute, and triplet_resnet50 has no head."""
    configured = small("siamese_resnet50", tmp_path)
    strategy.set_up(configured.seed, configured.threads)
    loss = build(configured.loss, "loss")
    encoder = build(configured.network, "network", input_shape=(8, 8, 1))
    learner = Learner(encoder, RandomAffine(), TripletStatistics(loss), loss.head(encoder.output_shape[1]))
    learner.compile(loss=loss, optimizer=build(configured.optimizer, "optimizer"), run_eagerly=True)
    learner.build((None, 8, 8, 1))
    plan = np.load(configured.paths.batches)
    images, labels = (np.load(Path(configured.paths.prepared) / f"train_{kind}.npy") for kind in ("images", "labels"))
    before = [np.array(weight) for weight in learner.lasting]
    figures = learner.train_on_batch(images[plan[0]], labels[plan[0]], return_dict=True)
    assert np.isfinite(float(figures["loss"]))
    assert all(moved([np.array(weight) for weight in learner.lasting], before))


def small(name, folder):
    """The preset on 8×8 images of four classes, for four steps, with its batches planned."""
    overrides = ["data=digits", "train.steps=4", "train.steps_per_epoch=2"]
    if preset(name).batches.layout == "pk":
        overrides.append("batches.classes_per_batch=4")
    paths = preset(name).paths.model_dump()
    configured = preset(name, *overrides, *(f"paths.{key}={folder / path}" for key, path in paths.items()))
    write_prepared(configured)
    stages.batches.stage.run(**arguments_for(stages.batches.stage.run, configured, folder / "params.yaml"))
    return configured


def moved(new, old):
    """Of each kernel, whether it has changed."""
    return [not np.array_equal(a, b) for a, b in zip(new, old, strict=True) if a.ndim > 1]
