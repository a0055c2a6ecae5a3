"""Training in bfloat16: it converges, what comes after it works, and nothing of it stays in the process."""

import csv
from pathlib import Path

import keras
import numpy as np
import pytest

import stages.batches.stage
import stages.embed.stage
import stages.prepare.stage
import stages.train.stage
from stages import config
from stages.command import arguments_for
from stages.train import strategy
from stages.train.encoding import embed
from stages.train.networks import compact, conv_blog

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own
ROOT = Path(__file__).parents[2]
MIXED = "mixed_bfloat16"


LIGHT = ("shift=0.3", "rotation=4.0", "scale=0.0", "shear=0.0")


@pytest.fixture(autouse=True)
def _precision_of_other_tests():
    yield
    strategy.set_up(0, 2)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs stages with a configuration whose paths lie in `tmp_path`."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    names = config.parse(config.compose(), "conf").paths.model_dump()
    paths = [f"paths.{name}={tmp_path / path}" for name, path in names.items()]

    def run_stages(overrides, *chosen):
        text = config.compose([*paths, f"data.path={ROOT / 'data/digits'}", f"train.precision={MIXED}", *overrides])
        for name in chosen:
            stage = getattr(stages, name).stage
            stage.run(**arguments_for(stage.run, config.parse(text, "conf"), tmp_path / "params.yaml"))

    return run_stages


def test_mixed_bfloat16_converges_on_digits_and_is_embedded_as_it_was_trained(tmp_path, run):
    overrides = (
        "train.steps=250", "train.steps_per_epoch=250", *(f"train.augmentation.{change}" for change in LIGHT),
        "optimizer.learning_rate.peak=0.003", "network.widths=[16,32,64]",
    )  # fmt: skip
    run(overrides, "prepare", "batches", "train", "embed")
    with (tmp_path / "artifacts/model/history.csv").open() as file:
        assert max(float(row["val_recall_at_1"]) for row in csv.DictReader(file)) >= 0.97
    model = keras.models.load_model(tmp_path / "artifacts/model/embedder.keras")
    assert {layer.compute_dtype for layer in model.layers if layer.weights} == {"bfloat16"}
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    found = np.load(tmp_path / "artifacts/embeddings/test_embeddings.npy")
    np.testing.assert_array_equal(found, embed(model, np.load(tmp_path / "data/prepared/test_images.npy")))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_embeddings_in_bfloat16_reach_head_evaluation_and_mlflow(tmp_path, run):
    overrides = (
        "network=conv_blog", "loss=siamese", "batches=pairs", "batches.pairs_per_batch=4", "train.steps=2",
        "train.steps_per_epoch=1", "optimizer=adam",
    )  # fmt: skip
    run(overrides, "prepare", "batches", "train", "embed")
    model = keras.models.load_model(tmp_path / "artifacts/model/embedder.keras")
    images = np.load(tmp_path / "data/prepared/test_images.npy")
    assert model.predict_on_batch(images[:2]).dtype.name == "bfloat16"
    found = np.load(tmp_path / "artifacts/embeddings/test_embeddings.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:500], model.predict_on_batch(images[:500]).astype(np.float32))
    strategy.set_up(0, 2, MIXED)
    start = conv_blog((8, 8, 1), 4).predict_on_batch(images[:500]).astype(np.float32)
    np.testing.assert_array_equal(np.load(tmp_path / "artifacts/embeddings/test_untrained.npy")[:500], start)
    head = keras.models.load_model(tmp_path / "artifacts/model/head.keras")
    w = np.load(tmp_path / "artifacts/embeddings/head.npy")
    left, right = np.random.default_rng(0).normal(size=(2, 50, 4)).astype(np.float32)
    expected = 1 / (1 + np.exp(-(np.abs(left - right) @ w[:-1] + w[-1])))
    np.testing.assert_allclose(head.predict_on_batch([left, right])[:, 0], expected, rtol=1e-5)
    assert list((tmp_path / "mlruns").rglob("head.keras"))
    assert list((tmp_path / "mlruns").rglob("model.keras"))


def test_setting_up_for_float32_ends_what_was_set_up_before():
    strategy.set_up(0, 2, MIXED)
    assert compact((8, 8, 1), 4, (2, 2, 2)).layers[2].compute_dtype == "bfloat16"
    strategy.set_up(0, 2)
    assert {layer.compute_dtype for layer in compact((8, 8, 1), 4, (2, 2, 2)).layers} == {"float32"}
