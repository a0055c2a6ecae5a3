"""Networks, rates, and how the configuration names them."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from stages.errors import UserError
from stages.train.networks import compact, conv_blog
from stages.train.rates import warmup_cosine
from stages.train.targets import build

COMPACT = {"_target_": "stages.train.networks.compact", "embedding_dim": 8, "widths": [4, 4, 8]}


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 20, 3)])
def test_compact_gives_embeddings_of_length_one(shape):
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    embeddings = compact(shape, 8, (4, 4, 8)).predict_on_batch(images)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert embeddings.shape == (5, 8)


def test_conv_blog_is_the_articles_network():
    model = conv_blog((28, 28, 1), 4)
    kernels = [weight.shape for weight in model.weights if len(weight.shape) > 1]
    assert kernels == [(7, 7, 1, 128), (5, 5, 128, 256), (7 * 7 * 256, 4)]
    first, second = (np.asarray(model.weights[i]).ravel() for i in (0, 2))
    assert np.std(second) == pytest.approx(0.88, abs=0.01)  # a normal of 1, cut at 2
    assert (first[:1000] != second[:1000]).mean() > 0.99


def test_encoder_loads_where_there_is_only_keras(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    model = compact((8, 8, 1), 4, (4, 4, 8))
    model.save(tmp_path / "embedder.keras")
    np.save(tmp_path / "images.npy", images)
    script = (
        "import keras, numpy as np, sys; model = keras.models.load_model('embedder.keras', safe_mode=True);"
        "assert not any(name.startswith('stages') for name in sys.modules);"
        "np.save('embeddings.npy', model.predict_on_batch(np.load('images.npy')))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "embeddings.npy"), model.predict_on_batch(images), rtol=1e-5)


def test_rate_climbs_then_falls_to_zero():
    rate = warmup_cosine(peak=0.01, warmup=0.1, steps=1000)
    assert [float(rate(step)) for step in (0, 50, 100, 550, 1000)] == pytest.approx([0, 0.005, 0.01, 0.005, 0])
    assert float(warmup_cosine(peak=0.01, warmup=0.0, steps=10)(0)) == pytest.approx(0.01)


def test_builds_nested_targets():
    section = {
        "_target_": "keras.optimizers.Adam",
        "learning_rate": {
            "_target_": "keras.optimizers.schedules.ExponentialDecay",
            "initial_learning_rate": 0.001,
            "decay_steps": 5000,
            "decay_rate": 0.96,
            "staircase": True,
        },
    }
    optimizer = build(section, "optimizer")
    schedule = optimizer.get_config()["learning_rate"]["config"]
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert (schedule["decay_steps"], schedule["staircase"]) == (5000, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeding_dim": 4}, r"network.embeding_dim: unknown .* nearest valid one is network.embedding_dim"),
        ({"_target_": "stages.train.networks.compat"}, r"network._target_: found .*, which does not exist .*compat"),
        ({"_target_": "stages.train.nets.compact"}, r"network._target_: .* does not exist .*nets"),
        ({"_target_": "compact"}, r"network._target_: found 'compact', expected a dotted path"),
        ({"_target_": "os.system"}, r"expected a Keras .*add it to allowed_targets"),
        ({"_target_": "keras.src.utils.file_utils.tarfile.open"}, r"expected a Keras .*add it to allowed_targets"),
        ({"embedding_dim": 0}, r"network: stages.train.networks.compact refuses its arguments: .*0"),
    ],
)  # fmt: skip
def test_refuses_a_section_in_one_line(change, message):
    with pytest.raises(UserError, match=message) as caught:
        build({**COMPACT, **change}, "network", input_shape=(8, 8, 1))
    assert "\n" not in str(caught.value)


def test_names_a_missing_argument():
    with pytest.raises(UserError, match=r"rate.peak: missing; stages.train.rates.warmup_cosine needs it"):
        build({"_target_": "stages.train.rates.warmup_cosine", "warmup": 0.1, "steps": 5}, "rate")


def test_a_function_of_the_users_is_called_once_it_is_allowed():
    section = {"_target_": "textwrap.dedent", "text": "  a"}
    with pytest.raises(UserError, match="to allow it, add it to allowed_targets"):
        build(section, "network")
    assert build(section, "network", allowed=["textwrap.dedent"]) == "a"
