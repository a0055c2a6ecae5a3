"""The networks of published systems: their layers, their embeddings, their weights from elsewhere.

`compact` and `conv_blog` are tested in test_parts.
"""

import socket
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format  # Keras reads this layout, and no longer offers to write it

from stages.errors import UserError
from stages.train import strategy
from stages.train.networks import pretrained, resnet50, tutorial
from stages.train.targets import build


def random_images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def colour():
    """A ResNet50 of random weights: building one takes 2 s."""
    return resnet50((8, 8, 3), 16, None)


@pytest.fixture(scope="module")
def weights(colour, tmp_path_factory):
    """A file of its backbone's weights."""
    path = tmp_path_factory.mktemp("weights") / "resnet50.weights.h5"
    keras.Model(colour.input, colour.get_layer("features").output).save_weights(path)
    return path


@pytest.fixture(scope="module")
def grey(weights):
    """A ResNet50 of grey images without a dense layer, with weights from that file."""
    return resnet50((8, 8, 1), None, str(weights))


def test_tutorial_is_the_tutorials_network():
    model = tutorial((28, 28, 1), 256, 0.3)
    assert [weight.shape for weight in model.weights if len(weight.shape) > 1] == [
        (2, 2, 1, 64), (2, 2, 64, 32), (7 * 7 * 32, 256)
    ]  # fmt: skip
    kinds = "Rescaling Conv2D MaxPooling2D Dropout Conv2D MaxPooling2D Dropout Flatten Dense UnitNormalization"
    assert [type(layer).__name__ for layer in model.layers[1:]] == kinds.split()
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]


@pytest.mark.parametrize("shape", [(4, 4, 1), (28, 28, 1), (32, 20, 3)])
def test_tutorial_gives_embeddings_of_length_one_and_drops_out_in_training_only(shape):
    model, images = tutorial(shape, 8, 0.3), random_images(5, *shape)
    embeddings = model.predict_on_batch(images)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(embeddings, model.predict_on_batch(images))
    assert not np.allclose(embeddings, model(images, training=True), atol=1e-3)


def test_resnet50_is_kerass_own_with_a_dense_layer_of_length_one(colour):
    published = 23_587_712  # without the classifier, as keras.io lists it
    assert colour.count_params() == published + 2048 * 16 + 16
    embeddings = colour.predict_on_batch(random_images(3, 8, 8, 3))
    assert embeddings.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_resnet50_without_a_dense_layer_gives_the_averages_of_its_features(grey):
    images = random_images(3, 8, 8, 1)
    last = keras.Model(grey.input, grey.get_layer("conv5_block3_out").output).predict_on_batch(images)
    embeddings = grey.predict_on_batch(images)
    assert embeddings.shape == (3, 2048)
    np.testing.assert_allclose(embeddings, last.mean(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize(("name", "channels"), [("grey", 1), ("colour", 3)])
def test_resnet50_centres_pixels_as_its_published_weights_expect(request, name, channels):
    model, images = request.getfixturevalue(name), random_images(3, 8, 8, channels)
    centred = keras.Model(model.input, model.get_layer("centred").output).predict_on_batch(images)
    three = np.broadcast_to(images, (3, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(centred, keras.applications.resnet50.preprocess_input(three))


def test_resnet50_takes_weights_from_a_file(colour, grey):
    backbone = colour.weights[:-2]  # without the dense layer
    assert len(backbone) == len(grey.weights) == 318
    for found, expected in zip(grey.weights, backbone, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_resnet50_takes_a_file_in_the_layout_in_which_its_weights_are_published(colour, tmp_path):
    path = tmp_path / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    backbone = keras.Model(colour.input, colour.get_layer("features").output)
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, backbone)
    loaded = resnet50((8, 8, 3), None, str(path))
    for found, expected in zip(loaded.weights, backbone.weights, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_networks_load_where_there_is_only_keras(colour, tmp_path):
    models = {"tutorial": tutorial((8, 8, 3), 4, 0.3), "resnet50": colour}
    images = random_images(3, 8, 8, 3)
    np.save(tmp_path / "images.npy", images)
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
    script = (
        "import keras, numpy as np, sys; images = np.load('images.npy');"
        "models = {n: keras.models.load_model(f'{n}.keras', safe_mode=True) for n in ('tutorial', 'resnet50')};"
        "assert not any(name.startswith('stages') for name in sys.modules);"
        "np.savez('embeddings.npz', **{name: model.predict_on_batch(images) for name, model in models.items()})"
    )
    subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    with np.load(tmp_path / "embeddings.npz") as found:
        for name, model in models.items():
            np.testing.assert_allclose(found[name], model.predict_on_batch(images), rtol=1e-4, atol=1e-6)


def test_embeddings_are_float32_where_layers_compute_in_bfloat16():
    strategy.set_up(0, 2, "mixed_bfloat16")
    try:
        models = [tutorial((8, 8, 1), 4, 0.3), resnet50((8, 8, 1), None, None)]
    finally:
        strategy.set_up(0, 2)
    for model in models:
        convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
        assert model.predict_on_batch(random_images(2, 8, 8, 1)).dtype == np.float32


def refusal(**overrides):
    section = {"_target_": "stages.train.networks.resnet50", "embedding_dim": 16, "weights": None}
    with pytest.raises(UserError) as caught:
        build(section | overrides, "network", input_shape=overrides.pop("shape", (8, 8, 1)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refuses_weights_that_are_not_there():
    assert refusal(weights="imagnet") == (
        "network.weights: found 'imagnet', expected null, imagenet or the path of a file with weights"
    )


@pytest.mark.parametrize("content", ["no weights", "those of another network"])
def test_refuses_a_file_that_is_not_of_a_resnet50(tmp_path, content):
    path = tmp_path / "other.weights.h5"
    if content == "no weights":
        path.write_text(content)
    else:
        tutorial((8, 8, 1), 4, 0.3).save_weights(path)
    message = refusal(weights=str(path))
    assert message.startswith(f"network.weights: {path} does not fit (")
    assert message.endswith("); expected the weights of a ResNet50 without classifier")


def test_refuses_images_of_two_channels():
    with pytest.raises(ValueError, match=r"1 or 3 channels. Received: input_shape=\(8, 8, 2\)"):
        resnet50((8, 8, 2), None, None)


@pytest.mark.parametrize("answer", ["refused", "none"])
def test_without_network_published_weights_are_refused_at_once(tmp_path, monkeypatch, answer):
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # where earlier downloads lie
    monkeypatch.setattr(pretrained, "PATIENCE", 0.2)
    monkeypatch.setattr("urllib.request._opener", None)  # it remembers the proxies of its first use
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if answer == "none" else 9
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        message = refusal(weights="imagenet")
    assert message.startswith("network.weights: imagenet could not be fetched (URL fetch failure on https://")
    assert ("timed out" if answer == "none" else "Connection refused") in message
    assert message.endswith("expected access to the network, or the path of that file, downloaded elsewhere")
    assert socket.getdefaulttimeout() is None
