"""Each loss with its layout through batches, train, embed and evaluate, on small data."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import stages.batches.stage
import stages.embed.stage
import stages.evaluate.stage
import stages.train.stage
from stages.command import arguments_for
from stages.train import strategy
from stages.train.targets import build
from tests.small import settings, write_prepared

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own

PAIRS = ("batches=pairs", "batches.pairs_per_batch=6")
TRIPLETS = ("batches=triplets", "batches.triplets_per_batch=4")
LOSSES = {
    "batch_hard": (),
    "semi_hard": (),
    "batch_all": (),
    "contrastive": PAIRS,
    "triplet": TRIPLETS,
    "siamese": PAIRS,
}


@pytest.fixture(autouse=True)
def _tracked_here(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path_factory.getbasetemp()))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def prepared(folder, loss, *overrides):
    configured = settings(folder, f"loss={loss}", *LOSSES[loss], *overrides)
    write_prepared(configured)
    return configured


def run(configured, *names):
    params = Path(configured.paths.prepared).parents[1] / "params.yaml"
    params.write_text("seed: 0\n")
    for name in names:
        function = getattr(stages, name).stage.run
        function(**arguments_for(function, configured, params))


def heads(configured):
    return Path(configured.paths.model) / "head.keras", Path(configured.paths.embeddings) / "head.npy"


def artifacts(configured):
    from mlflow import MlflowClient

    from stages import tracking

    run_id = json.loads((Path(configured.paths.model) / "run.json").read_text())["run_id"]
    return {item.path for item in MlflowClient(tracking.tracking_uri()).list_artifacts(run_id)}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_goes_through_the_pipeline_and_leaves_its_own_head_or_none(tmp_path, loss):
    configured = prepared(tmp_path, loss)
    for file in heads(configured):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"of an earlier loss")
    run(configured, "batches", "train", "embed", "evaluate")
    with_head = loss == "siamese"
    assert [file.exists() for file in heads(configured)] == [with_head, with_head]
    assert ("head.keras" in artifacts(configured)) == with_head
    metrics, threshold = (
        json.loads((Path(configured.paths.metrics) / f"{name}.json").read_text()) for name in ("evaluate", "threshold")
    )
    assert threshold["scored_by"] == ("head" if with_head else "distance")
    assert all(isinstance(metrics["test"]["trained"][name], float) for name in ("recall_at_1", "map_at_r", "auc"))
    if with_head:
        check_head(configured, tmp_path)


def check_head(configured, folder):
    """The saved head loads without this repository, and says what the weights for evaluate say."""
    file, weights = heads(configured)
    w = np.load(weights)
    assert (w.dtype, w.shape) == (np.float32, (4,))
    embeddings = np.load(Path(configured.paths.embeddings) / "test_embeddings.npy")
    np.savez(folder / "rows.npz", left=embeddings[:6], right=embeddings[6:])
    script = (
        "import keras, numpy as np; rows = np.load('rows.npz');"
        f"head = keras.models.load_model({str(file)!r}, safe_mode=True);"
        "np.save('said.npy', head.predict([rows['left'], rows['right']], verbose=0))"
    )
    subprocess.run([sys.executable, "-I", "-c", script], cwd=folder, check=True, capture_output=True)
    logits = np.abs(embeddings[:6] - embeddings[6:]) @ w[:-1] + w[-1]
    np.testing.assert_allclose(np.load(folder / "said.npy")[:, 0], 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_training_with_a_head_begins_with_the_network_that_embed_calls_untrained(tmp_path):
    configured = prepared(tmp_path, "siamese", "optimizer=adam", "optimizer.learning_rate=0.0")
    run(configured, "batches", "train")
    kept = keras.models.load_model(Path(configured.paths.model) / "embedder.keras")
    strategy.set_up(configured.seed, configured.threads)  # as the embed stage does before it builds the network
    start = build(configured.network, "network", input_shape=(8, 8, 1))
    for found, expected in zip(kept.trainable_weights, start.trainable_weights, strict=True):
        np.testing.assert_array_equal(found, expected)
