from pathlib import Path

import keras
import numpy as np
import pytest

from stages import store
from stages.command import arguments_for
from stages.embed import stage
from stages.errors import UserError
from stages.train import strategy
from stages.train.targets import build
from tests.small import settings, write_prepared


@pytest.fixture
def configured(tmp_path):
    made = settings(tmp_path)
    write_prepared(made)
    Path(made.paths.model).mkdir(parents=True)
    return made


def run(configured):
    stage.run(**arguments_for(stage.run, configured, Path("params.yaml")))


def saved(configured, model):
    model.save(Path(configured.paths.model) / "embedder.keras")
    return model


def small_model(shape=(8, 8, 1)):
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(3)])


def test_embeds_every_split_in_order_and_untrained_is_what_training_began_from(configured):
    model = saved(configured, small_model())
    run(configured)
    strategy.set_up(configured.seed, configured.threads)  # as the train stage does before it builds the network
    start = build(configured.network, "network", input_shape=(8, 8, 1))
    folder, prepared = Path(configured.paths.embeddings), Path(configured.paths.prepared)
    for split in ("train", "validation", "test"):
        images = np.load(prepared / f"{split}_images.npy")
        for name, expected in (("embeddings", model), ("untrained", start)):
            found = store.load_array(folder / f"{split}_{name}.npy", np.float32, 2)
            np.testing.assert_allclose(found, expected.predict_on_batch(images), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(
            np.load(folder / f"{split}_labels.npy"), np.load(prepared / f"{split}_labels.npy")
        )


def pair_model(of=keras.layers.Subtract, absolute=True, last=True, dim=3, hidden=False, sides=2):
    """A head, changed in one way."""
    inputs = [keras.Input((dim,), name=name) for name in ("left", "right", "third")[:sides]]
    x = of()(inputs) if sides > 1 else inputs[0]
    x = keras.ops.absolute(x) if absolute else x
    x = keras.layers.Dense(dim)(x) if hidden else x
    logits = keras.layers.Dense(1, use_bias=last != "no bias", bias_initializer="ones")(x)
    return keras.Model(inputs, keras.layers.Activation("sigmoid")(logits) if last else logits)


def saved_head(configured, model):
    saved(configured, small_model())
    model.save(Path(configured.paths.model) / "head.keras")
    return Path(configured.paths.embeddings) / "head.npy"


def test_weights_of_a_head_are_written_w_then_b(configured):
    head = pair_model()
    file = saved_head(configured, head)
    run(configured)
    kernel, bias = head.get_weights()
    np.testing.assert_array_equal(store.load_array(file, np.float32, 1), [*kernel[:, 0], *bias])


def test_weights_of_an_earlier_head_do_not_stay(configured):
    saved(configured, small_model())
    file = Path(configured.paths.embeddings) / "head.npy"
    store.save_array(file, np.ones(4, np.float32))
    run(configured)
    assert not file.exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"hidden": True},
            r"found Dense of \[\[3, 3\], \[3\]\], Dense of .*, expected one Dense with bias, from 3 to 1",
        ),
        ({"last": "no bias"}, r"found Dense of \[\[3, 1\]\], expected one Dense with bias, from 3 to 1"),
        ({"dim": 5}, r"found Dense of \[\[5, 1\], \[1\]\], expected one Dense with bias, from 3 to 1"),
        (
            {"of": keras.layers.Multiply},
            r"found another function of left and right than sigmoid\(w·\|left - right\| \+ b\)",
        ),
        ({"absolute": False}, "found another function of left and right"),
        ({"last": False}, "found another function of left and right"),
        ({"sides": 1}, "found another function of left and right"),
    ],
)
def test_refuses_a_head_that_evaluate_could_not_score_by(configured, changed, message):
    file = saved_head(configured, pair_model(**changed))
    with pytest.raises(UserError, match=message) as caught:
        run(configured)
    assert "head.keras: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not file.exists()


def test_refuses_a_model_of_other_images(configured):
    saved(configured, small_model((4, 4, 1)))
    with pytest.raises(UserError, match=r"found a model of images \[4, 4, 1\], expected \[8, 8, 1\]"):
        run(configured)


def test_refuses_a_model_that_carries_code(configured):
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Lambda(lambda x: x)]
    saved(configured, keras.Sequential(layers))
    with pytest.raises(UserError, match="not readable as a Keras model"):
        run(configured)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"words"])
def test_refuses_what_is_no_model(configured, content):
    (Path(configured.paths.model) / "embedder.keras").write_bytes(content)
    with pytest.raises(UserError, match="embedder.keras: not readable as a Keras model") as caught:
        run(configured)
    assert "\n" not in str(caught.value)


def test_missing_model_says_which_stage_makes_it(configured):
    with pytest.raises(UserError, match="expected the output of the train stage"):
        run(configured)


def test_forgets_the_state_of_the_training_that_made_the_model_and_no_other(configured):
    saved(configured, small_model())
    checkpoints = Path(configured.paths.checkpoints)
    for name in ("0123456789abcdef", "fedcba9876543210"):
        (checkpoints / name).mkdir(parents=True)
        (checkpoints / name / "step_0000000004.npz").write_bytes(b"")
    store.save_json(Path(configured.paths.model) / "training.json", {"checkpoint": "0123456789abcdef"})
    run(configured)
    assert [path.name for path in checkpoints.iterdir()] == ["fedcba9876543210"]
