import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from stages import store, tracking
from stages.command import arguments_for
from stages.errors import UserError
from stages.train import stage
from tests.small import settings, write_prepared

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own


@pytest.fixture(autouse=True)
def _tracked_here(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path_factory.getbasetemp()))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def train(configured, tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    stage.run(**arguments_for(stage.run, configured, tmp_path / "params.yaml"))


def test_makes_what_later_stages_read_and_keeps_its_state_until_these_have_it(tmp_path):
    configured = settings(tmp_path)
    write_prepared(configured)
    train(configured, tmp_path)
    model = Path(configured.paths.model)
    assert {path.name for path in model.iterdir()} == {"embedder.keras", "history.csv", "run.json", "training.json"}
    assert store.load_json(model / "training.json")["train_seconds"] > 0
    assert (model / "history.csv").read_text().splitlines()[0].startswith("epoch,step,loss,")
    assert len((model / "history.csv").read_text().splitlines()) == 3
    # Which embed forgets: until DVC has the outputs, a training that is begun again goes on from here.
    (kept,) = Path(configured.paths.checkpoints).iterdir()
    assert kept.name == store.load_json(model / "training.json")["checkpoint"]


def test_several_devices_go_through_the_whole_stage(tmp_path, capsys):
    configured = settings(
        tmp_path, "train.strategy=mirrored"
    )  # which here finds one: see test_devices for what two learn
    write_prepared(configured)
    train(configured, tmp_path)
    assert "mirrored: 1 device takes 12 images of each batch" in capsys.readouterr().out
    assert (Path(configured.paths.model) / "embedder.keras").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.steps=6"], r"batches.npy: found a plan of shape \[4, 12\], expected \[6, 12\] \(run `dvc repro`\)"),
        (["batches.samples_per_class=2"], r"found a plan of shape \[4, 12\], expected \[4, 8\]"),
        (["network.widths=[2,4]"], "network: stages.train.networks.compact refuses its arguments: .*unpack"),
        (["loss.margin=-1"], "loss: .* refuses its arguments: margin must not be negative. Received: -1"),
        (["loss.margin=nan"], "loss.margin: found nan, expected a finite number"),
        (["loss.soft='no'"], "loss.soft: found 'no', expected true or false"),
        (["loss._target_=keras.layers.ReLU"], "loss: keras.layers.ReLU refuses its arguments: "),
        (["~optimizer.learning_rate", "optimizer._target_=keras.losses.MeanSquaredError"],
         "optimizer._target_: keras.losses.MeanSquaredError gives a MeanSquaredError, expected a Keras Optimizer"),
    ],
)  # fmt: skip
def test_refuses_what_does_not_go_together_before_a_run_is_opened(tmp_path, overrides, message):
    write_prepared(settings(tmp_path))
    configured = settings(tmp_path, *overrides)
    with pytest.raises(UserError, match=message) as caught:
        train(configured, tmp_path)
    assert "\n" not in str(caught.value)
    assert not Path(configured.paths.model).exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["batches=pairs"], "loss: TripletHardLoss cannot work with batches.layout 'pairs', expected pk or shuffled: "
                            "add batches=pk"),
        (["loss=contrastive"], "loss: PairContrastiveLoss cannot work with batches.layout 'pk', expected pairs: "
                               "add batches=pairs"),
        (["loss=triplet", "batches=pairs"], "loss: TripletLoss cannot work with batches.layout 'pairs', expected "
                                            "triplets: add batches=triplets"),
        (["loss=contrastive", "batches=pairs", "loss._target_=stages.train.losses.ContrastiveLoss",
          "~loss.distance_metric"],
         "loss: ContrastiveLoss takes distances, a network gives embeddings; PairContrastiveLoss is meant: add "
         "loss=contrastive and batches=pairs"),
    ],
)  # fmt: skip
def test_refuses_a_layout_that_the_loss_would_misread_before_anything_is_read(tmp_path, overrides, message):
    configured = settings(tmp_path, "network._target_=no.such.network", *overrides)
    with pytest.raises(UserError) as caught:
        train(configured, tmp_path)
    assert str(caught.value) == message


def test_a_loss_of_keras_trains_on_any_layout_and_leaves_no_head(tmp_path):
    target = "loss._target_=keras.losses.SparseCategoricalCrossentropy"
    configured = settings(
        tmp_path, "batches=shuffled", "batches.batch_size=9", target, "network.embedding_dim=4",
        *(f"~loss.{name}" for name in ("margin", "soft", "distance_metric")), "+loss.from_logits=true",
    )  # fmt: skip
    write_prepared(configured)
    train(configured, tmp_path)
    model = Path(configured.paths.model)
    assert {path.name for path in model.iterdir()} == {"embedder.keras", "history.csv", "run.json", "training.json"}


def test_a_change_of_any_file_of_the_train_package_makes_another_checkpoint(tmp_path):
    package = Path(stage.__file__).parent
    expected = {path.relative_to(package) for path in package.rglob("*.py")}
    assert Path("losses/siamese.py") in expected
    assert {package / path for path in expected} <= set(stage._files_behind(settings(tmp_path).paths))


@pytest.mark.parametrize("index", [-1, 40])
def test_refuses_a_plan_that_points_outside_the_images(tmp_path, index):
    configured = settings(tmp_path)
    write_prepared(configured)
    store.save_array(configured.paths.batches, np.full((4, 12), index, np.int32))
    with pytest.raises(UserError, match=rf"found indices from {index} to {index}, expected 0 to 39"):
        train(configured, tmp_path)


def test_refuses_a_validation_split_by_which_epochs_cannot_be_compared(tmp_path):
    configured = settings(tmp_path)
    write_prepared(configured)
    prepared = Path(configured.paths.prepared)
    store.save_array(prepared / "validation_images.npy", np.zeros((4, 8, 8, 1), np.uint8))
    store.save_array(prepared / "validation_labels.npy", np.arange(4, dtype=np.int32))
    with pytest.raises(UserError, match="gives no class two validation images"):
        train(configured, tmp_path)


def test_training_that_diverges_ends_with_a_line(tmp_path):
    configured = settings(tmp_path, "optimizer=adam", "optimizer.learning_rate=1e38")
    write_prepared(configured)
    with pytest.raises(UserError, match=r"training diverged.*; try a lower learning rate"):
        train(configured, tmp_path)
    assert not (Path(configured.paths.model) / "embedder.keras").exists()


def test_interrupted_training_goes_on_in_its_mlflow_run_and_logs_nothing_twice(tmp_path, monkeypatch):
    configured = settings(tmp_path)
    write_prepared(configured)
    with monkeypatch.context() as cut, pytest.raises(ZeroDivisionError):
        cut.setattr(stage, "_save", lambda *_: 1 / 0)  # all epochs are made, nothing is kept but the checkpoint
        train(configured, tmp_path)
    run_file = Path(configured.paths.model) / "run.json"
    interrupted = run_file.read_bytes()
    train(configured, tmp_path)
    assert run_file.read_bytes() == interrupted
    client = MlflowClient(tracking.tracking_uri())
    run_id = store.load_json(run_file)["run_id"]
    assert client.get_run(run_id).info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run_id, "epoch/loss")] == [2, 4]
    shutil.rmtree(configured.paths.checkpoints)  # as embed does
    train(configured, tmp_path)
    assert run_file.read_bytes() != interrupted


def test_a_server_that_does_not_answer_stops_no_training(tmp_path, monkeypatch, capsys):
    configured = settings(tmp_path)
    write_prepared(configured)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    train(configured, tmp_path)
    assert "http://127.0.0.1:9 does not answer" in capsys.readouterr().err
    assert (Path(configured.paths.model) / "embedder.keras").is_file()
