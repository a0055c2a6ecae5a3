import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from stages import config
from stages.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
GROUPS = sorted(
    (folder.name, file.stem)
    for folder in (ROOT / "conf").iterdir()
    if folder.is_dir()
    for file in folder.glob("*.yaml")
)


def test_params_yaml_is_what_conf_composes_to():
    assert (ROOT / "params.yaml").read_text(encoding="utf-8") == config.compose()


@pytest.mark.parametrize(("group", "option"), [choice for choice in GROUPS if choice[0] != "sweep"])
def test_every_option_of_every_group_composes_to_a_valid_configuration(group, option):
    config.parse(config.compose([f"{group}={option}"]), option)


@pytest.mark.parametrize(("group", "option"), GROUPS)
def test_every_config_file_opens_with_what_it_is_and_what_it_costs_where_it_costs(group, option):
    lines = (ROOT / "conf" / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
    opening = " ".join(itertools.takewhile(lambda line: line.startswith("#"), lines)).replace("# @package _global_", "")
    assert re.match(r"\s*# [A-Z].*\w\.", opening)
    if group in ("experiment", "train", "network", "evaluate", "render"):
        assert re.search(r"\d m?s\b", opening)


def test_an_override_changes_its_key_alone():
    before, after = config.compose(), config.compose(["loss.margin=0.3", "network.embedding_dim=16"])
    assert config.changes(before, after) == ["network.embedding_dim: 64 → 16", "loss.margin: 0.5 → 0.3"]


@pytest.mark.parametrize(
    ("overrides", "section", "size"),
    [
        (["batches=pk"], config.ClassBalanced, 80),
        (["batches=shuffled"], config.Shuffled, 32),
        (["batches=pairs"], config.Pairs, 80),
        (["batches=pairs", "batches.pairs_per_batch=7"], config.Pairs, 14),
        (["batches=triplets"], config.Triplets, 96),
        (["batches=triplets", "batches.triplets_per_batch=7", "batches.num_same=2"], config.Triplets, 21),
    ],
)
def test_each_layout_of_batches_has_its_section_and_size(overrides, section, size):
    batches = config.parse(config.compose(overrides), "").batches
    assert type(batches) is section
    assert batches.size == size


def test_interpolations_are_written_resolved():
    composed = yaml.safe_load(config.compose(["train.steps=120"]))
    assert composed["optimizer"]["learning_rate"]["steps"] == 120


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+data.validaton=0.2"], "conf: data.validaton: unknown key, the nearest valid one is data.validation"),
        (["+batches.clases_per_batch=3"], "conf: batches.clases_per_batch: unknown key, the nearest valid one is "
                                          "batches.classes_per_batch"),
        (["+seeds=1"], "conf: seeds: unknown key, the nearest valid one is seed"),
        (["loss.margn=1"], "conf: loss.margn: unknown key, the nearest valid one is loss.margin"),
        (["los.margin=1"], "conf: los.margin: unknown key, the nearest valid one is loss.margin"),
        (["los=batch_hard"], "conf: los: unknown key, the nearest valid one is loss"),
        (["seed=-1"], "conf: seed: found -1, expected greater than or equal to 0"),
        (["seed=a"], "conf: seed: found 'a', expected a valid integer"),
        (["train.steps=100"], "conf: train: steps (100) is no multiple of steps_per_epoch (60): set both"),
        (["data.validation=0"], "conf: data.validation: found 0, expected greater than 0"),
        (["data.shape=[3]"], "conf: data: shape is [height, width] or [height, width, channels] with 1 or 3 channels"),
        (["train.steps=0"], "conf: train.steps: found 0, expected greater than or equal to 1"),
        (["~loss._target_"], "conf: loss has no _target_, the dotted path of a class or function"),
        (["~train.augmentation.shift"], "conf: train.augmentation.shift: missing; expected a value"),
        (["+evaluate.balanced_pair=1"], "conf: evaluate.balanced_pair: unknown key, the nearest valid one is "
                                        "evaluate.balanced_pairs"),
        (["evaluate.recall_at=[2,4]"], "conf: evaluate: recall_at is [2, 4]; it needs a 1, by which classes are "
                                       "compared"),
        (["evaluate.recall_at=[1,1]"], "conf: evaluate: recall_at is [1, 1]; it must name nothing twice"),
        (["evaluate.balanced_pairs=a"], "conf: evaluate.balanced_pairs: found 'a', expected a valid integer"),
        (["batches=pairs", "+batches.batch_size=9"], "conf: batches.batch_size: unknown key, the nearest valid one is "
                                                     "batches.pairs_per_batch"),
        (["batches=pairs", "batches.pairs_per_bach=9"], "conf: batches.pairs_per_bach: unknown key, the nearest valid "
                                                        "one is batches.pairs_per_batch"),
        (["batches=pairs", "batches.pairs_per_batch=1"], "conf: batches.pairs_per_batch: found 1, expected greater "
                                                         "than or equal to 2"),
        (["batches=pairs", "batches.pairs_per_batch=2.0"], "conf: batches.pairs_per_batch: found 2.0, expected a valid "
                                                           "integer"),
        (["batches=triplets", "+batches.classes_per_batch=9"], "conf: batches.classes_per_batch: unknown key, the "
                                                               "nearest valid one is batches.triplets_per_batch"),
        (["batches=triplets", "batches.num_diff=many"], "conf: batches.num_diff: found 'many', expected a valid "
                                                        "integer"),
        (["batches=triplets", "~batches.num_same"], "conf: batches.num_same: missing; expected a value"),
    ],
)  # fmt: skip
def test_refuses_an_override_in_one_line(overrides, message):
    with pytest.raises(UserError) as caught:
        config.compose(overrides)
    assert str(caught.value) == message


def test_names_the_options_of_a_group():
    with pytest.raises(
        UserError, match="loss=batch_hrd: no such option, the nearest valid one is batch_hard of batch_all, "
    ) as caught:
        config.compose(["loss=batch_hrd"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("data:\n\tpath: x", "not readable as YAML"),
        ("- 1\n- 2", "found list, expected sections"),
        ("", "found NoneType, expected sections"),
        ("!!python/object/apply:os.system ['true']", "not readable as YAML"),
    ],
)
def test_refuses_a_params_file_in_one_line(tmp_path, content, message):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        config.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_params_file_says_how_to_make_it(tmp_path):
    with pytest.raises(UserError, match=r"no such file; `python -m stages.config` composes it"):
        config.load(tmp_path / "params.yaml")


def test_write_names_changed_keys_and_leaves_an_equal_file_alone(tmp_path):
    path = tmp_path / "params.yaml"
    config.write(path)
    written = path.stat().st_mtime_ns
    assert config.write(path) == []
    assert path.stat().st_mtime_ns == written
    assert config.write(path, ["loss.margin=0.3"]) == ["loss.margin: 0.5 → 0.3"]


def test_composed_text_reads_back_as_the_same_settings():
    text = config.compose(["experiment=mnist"])
    assert OmegaConf.to_yaml(OmegaConf.create(text)) == text
    assert config.parse(text, "").data.name == "mnist"


def test_a_stage_ends_with_one_line_and_status_one_after_a_mistake(tmp_path):
    (tmp_path / "params.yaml").write_text(config.compose().replace("seed: 0", "seed: -3"))
    command = [sys.executable, "-m", "stages.prepare", "--params", str(tmp_path / "params.yaml")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == f"prepare: {tmp_path}/params.yaml: seed: found -3, expected greater than or equal to 0\n"
    assert result.stdout == ""
    assert "Traceback" in subprocess.run([*command, "--debug"], cwd=ROOT, capture_output=True, text=True).stderr
