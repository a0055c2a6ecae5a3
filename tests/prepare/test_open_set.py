"""The preset `open_set`, and the stages after prepare, which must bear labels with gaps."""

from pathlib import Path

import numpy as np
import pytest

import stages.batches.stage
import stages.embed.stage
import stages.prepare.stage
import stages.train.stage
from stages import config, embedded
from stages.command import arguments_for

ROOT = Path(__file__).parents[2]
TINY = ("train.steps=4", "train.steps_per_epoch=2", "network.widths=[2,4,4]", "network.embedding_dim=3")


def composed(folder: Path, *overrides: str) -> config.Config:
    """The preset, small, on the committed digits, with paths in `folder`."""
    names = config.parse(config.compose(), "conf").paths.model_dump()
    paths = [f"paths.{name}={folder / path}" for name, path in names.items()]
    chosen = ["experiment=open_set", f"data.path={ROOT / 'data/digits'}", *TINY, *paths, *overrides]
    return config.parse(config.compose(chosen), "conf")


def run(settings: config.Config, *names: str) -> None:
    for name in names:
        stage = getattr(stages, name).stage
        stage.run(**arguments_for(stage.run, settings, Path(settings.paths.prepared) / "summary.json"))


def test_preset_changes_which_classes_train_and_nothing_else() -> None:
    assert config.changes(config.compose(), config.compose(["experiment=open_set"])) == [
        "data.holdout_classes: [] → [6, 7, 8, 9]",
        "batches.classes_per_batch: 10 → 6",
    ]


@pytest.mark.parametrize(
    ("overrides", "like"),
    [
        (["experiment=open_set", "data=mnist"], ["data=mnist"]),
        (["experiment=[mnist,open_set]"], ["experiment=mnist"]),
        (["experiment=[open_set,mnist]"], ["experiment=mnist"]),
    ],
)
def test_preset_goes_with_other_data_and_with_the_preset_of_mnist(overrides: list[str], like: list[str]) -> None:
    assert config.changes(config.compose(like), config.compose(overrides)) == [
        "data.holdout_classes: [] → [6, 7, 8, 9]",
        "batches.classes_per_batch: 10 → 6",
    ]


@pytest.mark.parametrize("layout", ["pk", "shuffled", "pairs", "triplets"])
def test_no_batch_of_any_layout_has_an_image_of_a_held_out_class(tmp_path: Path, layout: str) -> None:
    classes = ["batches.classes_per_batch=6"] if layout == "pk" else ["~batches.classes_per_batch"]
    settings = composed(tmp_path, f"batches={layout}", *classes)
    run(settings, "prepare", "batches")
    labels = np.load(Path(settings.paths.prepared) / "train_labels.npy")
    planned = labels[np.load(settings.paths.batches)]
    assert planned.shape == (4, settings.batches.size)
    assert set(np.unique(planned)) == set(range(6))


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_trained_and_embedded_with_gaps_among_the_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = composed(tmp_path, "data.holdout_classes=[0,4,7]", "batches.classes_per_batch=7")
    run(settings, "prepare", "batches", "train", "embed")
    splits = {name: embedded.load_split(settings.paths, name) for name in embedded.SPLITS}
    for name, classes in (("train", {1, 2, 3, 5, 6, 8, 9}), ("validation", {1, 2, 3, 5, 6, 8, 9}), ("test", range(10))):
        assert set(np.unique(splits[name].labels)) == set(classes)
    test = splits["test"]
    groups = embedded.groups(splits["train"].labels, test.labels)
    assert list(groups) == ["test", "test_seen", "test_unseen"]
    assert set(np.unique(test.rows(groups["test_unseen"]).labels)) == {0, 4, 7}
    np.testing.assert_array_equal(
        test.rows(groups["test_unseen"]).trained, test.trained[np.isin(test.labels, [0, 4, 7])]
    )
