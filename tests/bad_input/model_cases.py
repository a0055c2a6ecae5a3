"""Models, losses and networks that embed and train refuse."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stages import store
from tests.bad_input.artifact_cases import write_pickled_array
from tests.bad_input.csv_cases import in_place_of
from tests.bad_input.table import Refused

MODEL = "artifacts/model/embedder.keras"
_NOT_READABLE = f"{{}}/{MODEL}: not readable as a Keras model (…); expected a whole .keras file without code in it"
_NO_ARCHIVE = f"{{}}/{MODEL}: not readable as a Keras model (no ZIP archive); expected a whole .keras file"
Layers = list[dict[str, Any]]


def encoder(*before: keras.layers.Layer, shape: tuple[int, ...] = (8, 8, 1)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *before, keras.layers.Flatten(), keras.layers.Dense(3)])


def _saved(make: Callable[[], keras.Model]) -> Callable[[Path], object]:
    return lambda folder: make().save(folder / MODEL)


def _rewritten(change: Callable[[dict[str, bytes]], object]) -> Callable[[Path], object]:
    """A valid model, its archive's files changed."""

    def write(folder: Path) -> None:
        encoder().save(folder / MODEL)
        with zipfile.ZipFile(folder / MODEL) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        change(files)
        with zipfile.ZipFile(folder / MODEL, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    return write


def _with_layers(change: Callable[[Layers], object]) -> Callable[[Path], object]:
    """A valid model, the layers of its configuration changed."""

    def rewrite(files: dict[str, bytes]) -> None:
        content = json.loads(files["config.json"])
        change(content["config"]["layers"])
        files["config.json"] = json.dumps(content).encode()

    return _rewritten(rewrite)


def _write_lambda(folder: Path) -> None:
    """A model with code in it, which makes a file when it is run."""
    mark = str(folder / "executed")
    encoder(keras.layers.Lambda(lambda x: __import__("pathlib").Path(mark).touch() or x)).save(folder / MODEL)
    Path(mark).unlink()  # building the model has run it


def _call(function: str, module: str) -> Callable[[Layers], object]:
    """Let an activation be any function of any module."""
    activation = {"module": module, "class_name": "function", "config": function, "registered_name": "function"}
    return lambda layers: layers[-1]["config"].update(activation=activation)


def _become(module: str, name: str, **settings: Any) -> Callable[[Layers], object]:
    """Let the last layer be any class of any module."""
    return lambda layers: layers[-1].update(module=module, class_name=name, config=settings, registered_name=name)


def _of_nan() -> keras.Model:
    model = encoder()
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    return model


def _cut_off(folder: Path) -> None:
    encoder().save(folder / MODEL)
    content = (folder / MODEL).read_bytes()
    (folder / MODEL).write_bytes(content[: len(content) // 2])


def _two_inputs() -> keras.Model:
    left, right = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    return keras.Model([left, right], keras.layers.Flatten()(left))


def _two_outputs() -> keras.Model:
    images = keras.Input((8, 8, 1))
    return keras.Model(images, {"embeddings": keras.layers.Flatten()(images), "images": images})


def _model(name: str, spoil: Callable[[Path], object], line: str = _NOT_READABLE) -> Refused:
    return Refused(name, "embed", line, spoil)


_MODELS = [
    _model(
        "a Lambda",
        _write_lambda,
        f"{{}}/{MODEL}: not readable as a Keras model (Requested the deserialization of a `Lambda` layer …); expected "
        "a whole .keras file without code in it",
    ),
    _model("a function of os as activation", _with_layers(_call("system", "os"))),
    _model("a function of Keras that downloads", _with_layers(_call("get_file", "keras.utils"))),
    _model("a class of pathlib as layer", _with_layers(_become("pathlib", "Path", path="executed"))),
    _model("a layer that loads a SavedModel", _with_layers(_become("keras.layers", "TFSMLayer", filepath="x"))),
    _model(
        "another input shape",
        _saved(lambda: encoder(shape=(4, 4, 1))),
        f"{{}}/{MODEL}: found a model of images [4, 4, 1], expected [8, 8, 1]",
    ),
    _model(
        "two inputs", _saved(_two_inputs), f"{{}}/{MODEL}: found a model of 2 inputs, expected one of images [8, 8, 1]"
    ),
    _model(
        "two outputs", _saved(_two_outputs), f"{{}}/{MODEL}: found a Functional, expected a Keras model of one output"
    ),
    _model(
        "images as output",
        _saved(lambda: keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)])),
        f"{{}}/{MODEL}: found a model with output of shape (None, 6, 6, 2), expected (None, embedding_dim)",
    ),
    _model("half of a model", _cut_off, _NO_ARCHIVE),
    _model("a file of no bytes", lambda folder: (folder / MODEL).touch(), _NO_ARCHIVE),
    _model("a folder in place of a model", lambda folder: (folder / MODEL).mkdir(), _NO_ARCHIVE),
    _model("no configuration", _rewritten(lambda files: files.pop("config.json"))),
    _model("no weights", _rewritten(lambda files: files.pop("model.weights.h5"))),
    _model("words as weights", _rewritten(lambda files: files.update({"model.weights.h5": b"words"}))),
    _model("other JSON", _rewritten(lambda files: files.update({"config.json": b"[1]"}))),
    _model(
        "a configuration of 300 MB in 300 kB",
        _rewritten(lambda files: files.update({"config.json": files["config.json"] + b" " * (300 << 20)})),
        f"{{}}/{MODEL}: not readable as a Keras model (… bytes in an archive of …); expected a whole .keras file "
        "without code in it",
    ),
    _model(
        "weights that are NaN",
        _saved(_of_nan),
        f"{{}}/{MODEL}: found a model that makes no finite numbers of an image, expected one that does",
    ),
    _model("a function of Keras that is no activation", _with_layers(_call("set_floatx", "keras.config"))),
    _model("more outputs than weights", _with_layers(lambda layers: layers[-1]["config"].update(units=5))),
    _model(
        "a file that would lie outside of it",
        _rewritten(lambda files: files.update({"../../executed": b""})),
    ),
    Refused(
        "images of another size than the training images",
        "embed",
        "{}/data/prepared/test_images.npy: found images of [4, 8, 1], expected [8, 8, 1] as in train_images.npy "
        "(run `dvc repro prepare`)",
        lambda folder: store.save_array(folder / "data/prepared/test_images.npy", np.zeros((12, 4, 8, 1), np.uint8)),
    ),
    Refused(
        "labels for other images",
        "embed",
        "{}/data/prepared/validation_labels.npy: found 11 rows, expected 12 as in …/validation_images.npy",
        lambda folder: store.save_array(folder / "data/prepared/validation_labels.npy", np.zeros(11, np.int32)),
    ),
]

PLAN = "data/batches.npy"
_TRAININGS = [
    Refused(
        "a negative margin",
        "train",
        "loss: stages.train.losses.TripletHardLoss refuses its arguments: …-0.1…",
        settings={"loss.margin": -0.1},
    ),
    Refused(
        "a margin that is a word",
        "train",
        "loss.margin: found 'wide', expected a finite number",
        settings={"loss.margin": "wide"},
    ),
    Refused(
        "a margin beyond all numbers",
        "train",
        "loss.margin: found 1000…0, expected a finite number",
        settings={"loss.margin": 10**400},
    ),
    Refused(
        "a network larger than any memory",
        "train",
        "network: stages.train.networks.compact refuses its arguments: …",
        settings={"network.embedding_dim": 10**11},
    ),
    Refused(
        "a loss that no labels fit",
        "train",
        "loss: MeanSquaredError fails (…); expected a loss of labels [12] and embeddings [12, 3]",
        settings={"loss": {"_target_": "keras.losses.MeanSquaredError"}},
    ),
    Refused(
        "an optimizer that makes no step",
        "train",
        "optimizer: Adam fails (…)",
        settings={"optimizer": {"_target_": "keras.optimizers.Adam", "learning_rate": 0.001, "clipnorm": "x"}},
    ),
    Refused(
        "a negative learning rate",
        "train",
        "optimizer.learning_rate: found -0.001 at the first step, expected a rate of at least 0",
        settings={"optimizer": {"_target_": "keras.optimizers.Adam", "learning_rate": -0.001}},
    ),
    Refused(
        "a layer in place of a learning rate",
        "train",
        "optimizer: Adam fails (…)",
        settings={
            "optimizer": {
                "_target_": "keras.optimizers.Adam",
                "learning_rate": {"_target_": "keras.layers.Dense", "units": 1},
            }
        },
    ),
    Refused(
        "embeddings in no dimension",
        "train",
        "network: stages.train.networks.compact refuses its arguments: …",
        settings={"network.embedding_dim": 0},
    ),
    Refused(
        "a plan of pickled objects",
        "train",
        f"{{}}/{PLAN}: not readable as a NumPy array (…); expected a whole .npy file",
        in_place_of(PLAN, write_pickled_array),
    ),
    Refused(
        "a plan of other batches",
        "train",
        f"{{}}/{PLAN}: found a plan of shape [4, 5], expected [4, 12] (run `dvc repro`)",
        lambda folder: store.save_array(folder / PLAN, np.zeros((4, 5), np.int32)),
    ),
    Refused(
        "a plan of other images",
        "train",
        f"{{}}/{PLAN}: found indices from 40 to 40, expected 0 to 39",
        lambda folder: store.save_array(folder / PLAN, np.full((4, 12), 40, np.int32)),
    ),
]

CASES = [*_MODELS, *_TRAININGS]
