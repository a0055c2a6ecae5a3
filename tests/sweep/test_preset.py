import pytest
import yaml

from stages import config
from stages.sweep import preset

HERE = config.CONF / "experiment"


@pytest.fixture
def path():
    # Hydra finds presets in conf/ alone.
    path = HERE / "preset_of_a_test.yaml"
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["loss.margin=0.3", "network.embedding_dim=16", "seed=3"],
        ["loss=semi_hard", "network=conv_blog", "optimizer=adam", "optimizer.learning_rate=0.01"],
        ["experiment=mnist", "loss.margin=0.3"],
        ["experiment=[mnist,open_set]", "data.path='/a folder/of images'"],
        ["train.steps=1200", "batches=triplets", "loss=triplet", "data.holdout_classes=[]"],
        ["evaluate.fars=[0.5]", "evaluate.threshold_far=0.01"],
    ],
    ids=" ".join,
)
def test_the_preset_composes_to_the_settings_of_the_job(path, overrides):
    assert preset.write(overrides, "Of a test.", path)
    assert config.compose([f"experiment={path.stem}"]) == config.compose(overrides)


def test_it_names_groups_and_then_no_value_that_a_group_has():
    content = yaml.safe_load(preset.text(["loss=semi_hard", "loss.margin=0.3", "train.steps=1200"], "Of a test."))
    assert content == {
        "defaults": [{"override /loss": "semi_hard"}],
        "loss": {"margin": 0.3},
        "train": {"steps": 1200},  # and the optimizer's steps refer to it
    }


def test_a_job_without_a_key_that_its_group_has_gives_no_preset(path):
    path.write_text("# @package _global_\n# An earlier one.\n")
    assert not preset.write(["~optimizer.learning_rate"], "Of a test.", path)
    assert "An earlier one" in path.read_text()


def test_the_best_can_be_found_around_the_best_of_before(path):
    assert preset.write(["loss.margin=0.3"], "Of a test.", path)
    assert preset.write([f"experiment={path.stem}", "seed=3"], "Of a test.", path)
    assert config.compose([f"experiment={path.stem}"]) == config.compose(["loss.margin=0.3", "seed=3"])
