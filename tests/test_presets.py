"""Each preset of conf/experiment: what it says of itself, that its parts go together, and that it trains."""

import csv
import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

import stages.batches.stage
import stages.prepare.stage
import stages.train.stage
from stages import config
from stages.command import arguments_for
from stages.train import strategy
from stages.train.augmentation import RandomAffine
from stages.train.learner import Learner
from stages.train.statistics import TripletStatistics
from stages.train.targets import build
from tests.prepare.small import write_folders
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


# What makes a preset its source, as the source tells it.
TOLD: dict[str, dict[str, object]] = {
    "semi_hard_tutorial": {
        "batches.batch_size": 32,
        "network.embedding_dim": 256,
        "network.dropout": 0.3,
        "loss._target_": "stages.train.losses.TripletSemiHardLoss",
        "loss.margin": 1.0,
        "optimizer._target_": "keras.optimizers.Adam",
        "optimizer.learning_rate": 0.001,
        "train.steps": 5 * 1875,  # epochs of 60,000 images
    },
    "batch_hard_article": {
        "batches.classes_per_batch": 10,
        "batches.samples_per_class": 8,
        "network.embedding_dim": 4,
        "loss._target_": "stages.train.losses.TripletHardLoss",
        "loss.margin": 0.2,
        "loss.soft": False,
        "loss.distance_metric": "L2",
        "optimizer._target_": "keras.optimizers.Adam",
        "optimizer.learning_rate.initial_learning_rate": 0.001,
        "optimizer.learning_rate.decay_rate": 0.96,
        "optimizer.learning_rate.decay_steps": 5000,
        "optimizer.learning_rate.staircase": True,
        "train.steps": 5000,
    },
    "siamese_resnet50": {
        "network.embedding_dim": None,
        "network.weights": None,
        "loss._target_": "stages.train.losses.SiameseLoss",
        "optimizer._target_": "keras.optimizers.Adam",
        "optimizer.learning_rate": 0.001,
    },
    "triplet_resnet50": {
        "batches.batch_size": 32,
        "network.embedding_dim": 128,
        "network.weights": None,
        "loss._target_": "stages.train.losses.TripletSemiHardLoss",
        "optimizer._target_": "keras.optimizers.Adam",
        "train.steps": 3 * 1688,  # epochs of 54,000 images
    },
    "contrastive": {
        "loss._target_": "stages.train.losses.PairContrastiveLoss",
        "loss.margin": 0.2,
        "loss.convention": "hadsell",
    },
    "explicit_triplets": {
        "batches.num_same": 1,
        "batches.num_diff": 1,
        "loss._target_": "stages.train.losses.TripletLoss",
        "loss.margin": 0.2,
        "loss.distance_metric": "squared-L2",
        "loss.reduction": "mean",
    },
    "random_triplets": {
        "batches.triplets_per_batch": 64,
        "batches.num_same": 12,
        "batches.num_diff": 12,
        "loss._target_": "stages.train.losses.TripletLoss",
        "loss.reduction": "sum",
        "optimizer._target_": "keras.optimizers.Adamax",
        "train.steps": 50 * 100,
        "train.steps_per_epoch": 100,
    },
    "batch_all": {
        "loss._target_": "stages.train.losses.TripletBatchAllLoss",
        "loss.average_over": "positive",
    },
}


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
    measured = ("# measured: ", "#   trained  ", "#   untrained  ", "#   raw pixels  ")
    for start in ("# Costs: ", *measured, f"#   dvc exp run -S experiment={name}"):
        assert any(line.startswith(start) for line in opening), start
    assert not any("not measured" in line for line in opening)
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", SOURCES)
def test_a_preset_has_the_values_that_its_source_tells(name):
    values = dict(config.flatten(yaml.safe_load(config.compose([f"experiment={name}"]))))
    assert {key: values[key] for key in TOLD[name]} == TOLD[name]


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
    run_stages(configured, tmp_path, stages.train.stage)
    model = Path(configured.paths.model)
    with (model / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert losses[0] > 0
    assert all(moved(trained_weights(configured), first_weights(configured)))


def test_without_a_rate_a_preset_ends_where_it_begins(tmp_path):
    configured = small("semi_hard_tutorial", tmp_path, "optimizer.learning_rate=0.0")
    run_stages(configured, tmp_path, stages.train.stage)
    assert not any(moved(trained_weights(configured), first_weights(configured)))


def test_random_triplets_train_on_class_folders_of_colour_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    write_folders(tmp_path / "in", pixels, ["ant", "bee", "cat"] * 20)
    paths = {f"paths.{key}={tmp_path / path}" for key, path in preset("random_triplets").paths.model_dump().items()}
    length = ("train.steps=4", "train.steps_per_epoch=2")
    configured = preset("random_triplets", "data=folder", f"data.path={tmp_path / 'in'}", *length, *paths)
    run_stages(configured, tmp_path, stages.prepare.stage, stages.batches.stage, stages.train.stage)
    assert all(moved(trained_weights(configured), first_weights(configured, (8, 8, 3))))


@pytest.mark.parametrize("name", RESNETS)
def test_a_resnet50_learns_together_with_its_head_if_it_has_one(tmp_path, name):
    """One step outside of a graph: to build that of a ResNet50 takes a minute."""
    configured = small(name, tmp_path)
    strategy.set_up(configured.seed, configured.threads)
    loss = build(configured.loss, "loss")
    encoder = build(configured.network, "network", input_shape=(8, 8, 1))
    head = loss.head(encoder.output_shape[1])
    assert (head is not None) is (name == "siamese_resnet50")
    learner = Learner(encoder, RandomAffine(), TripletStatistics(loss), head)
    learner.compile(loss=loss, optimizer=build(configured.optimizer, "optimizer"), run_eagerly=True)
    learner.build((None, 8, 8, 1))
    plan = np.load(configured.paths.batches)
    images, labels = (np.load(Path(configured.paths.prepared) / f"train_{kind}.npy") for kind in ("images", "labels"))
    before = [np.array(weight) for weight in learner.lasting]
    figures = learner.train_on_batch(images[plan[0]], labels[plan[0]], return_dict=True)
    assert np.isfinite(float(figures["loss"]))
    assert all(moved([np.array(weight) for weight in learner.lasting], before))


def trained_weights(configured):
    return keras.models.load_model(Path(configured.paths.model) / "embedder.keras").get_weights()


def first_weights(configured, shape=(8, 8, 1)):
    strategy.set_up(configured.seed, configured.threads)
    return build(configured.network, "network", input_shape=shape).get_weights()


def small(name, folder, *changes):
    """The preset on 8×8 images of four classes, for four steps, with its batches planned."""
    overrides = ["data=digits", "train.steps=4", "train.steps_per_epoch=2", *changes]
    if preset(name).batches.layout == "pk":
        overrides.append("batches.classes_per_batch=4")
    paths = preset(name).paths.model_dump()
    configured = preset(name, *overrides, *(f"paths.{key}={folder / path}" for key, path in paths.items()))
    write_prepared(configured)
    run_stages(configured, folder, stages.batches.stage)
    return configured


def run_stages(configured, folder, *modules):
    """Run stages one after the other, with a file of settings for what they log."""
    params = folder / "params.yaml"
    params.write_text("seed: 0\n")
    for module in modules:
        module.run(**arguments_for(module.run, configured, params))


def moved(new, old):
    """Of each kernel, whether it has changed."""
    return [not np.array_equal(a, b) for a, b in zip(new, old, strict=True) if a.ndim > 1]
