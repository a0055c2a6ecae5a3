"""What the train stage made, read and checked: the encoder, and the head where the loss had one."""

import contextlib
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np

from stages.errors import UserError, said_by

_SMALL, _UNPACKED = 1 << 20, 50
"""An archive may hold a megabyte, and 50 times its size beyond that: weights hardly shrink, zeros do a thousandfold."""
_ROUNDING = 1e-4
"""Of a probability that the head computes in float32."""


def load_encoder(path: Path, shape: tuple[int, ...]) -> keras.Model:
    """The model in `path`, which takes images of this shape and gives a row of numbers for each.

    Raises:
        UserError: no such file, not a Keras model without code in it, one of other images, of no embeddings, or of
            embeddings that are no numbers.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; expected the output of the train stage (run `dvc repro`)")
    model = _load(path)
    taken, given = model.input_shape, model.output_shape
    if isinstance(taken, list):
        raise UserError(f"{path}: found a model of {len(taken)} inputs, expected one of images {list(shape)}")
    if tuple(taken[1:]) != tuple(shape):
        raise UserError(f"{path}: found a model of images {list(taken[1:])}, expected {list(shape)}")
    if len(given) != 2 or not given[1]:
        raise UserError(f"{path}: found a model with output of shape {given}, expected (None, embedding_dim)")
    _try(model, path, shape)
    return model


def _try(model: keras.Model, path: Path, shape: tuple[int, ...]) -> None:
    """Embed an image, for a model may be read as a whole that cannot compute."""
    image = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    try:
        embedding = np.asarray(model(image, training=False))
    except Exception as error:  # there is nothing that a layer would not raise
        raise _unreadable(path, error) from None
    if embedding.shape[0] != 1 or not np.isfinite(embedding).all():
        raise UserError(f"{path}: found a model that makes no finite numbers of an image, expected one that does")


def head_weights(path: Path, embedding_dim: int) -> np.ndarray | None:
    """The head as plain numbers, which need no TensorFlow: w, then b, of `sigmoid(w·|left - right| + b)`.

    Args:
        path: the head's file.
        embedding_dim: D of the encoder.

    Returns:
        float32 `[D + 1]`; None where there is no such file.

    Raises:
        UserError: not a Keras model without code in it, or one that computes anything else.
    """
    if not path.is_file():
        return None
    model = _load(path)
    weighted = [layer for layer in getattr(model, "layers", []) if layer.weights]
    shapes = [tuple(weight.shape) for layer in weighted for weight in layer.weights]
    is_dense = len(weighted) == 1 and isinstance(weighted[0], keras.layers.Dense)
    if not is_dense or shapes != [(embedding_dim, 1), (1,)]:
        found = ", ".join(f"{type(layer).__name__} of {[list(w.shape) for w in layer.weights]}" for layer in weighted)
        raise UserError(
            f"{path}: found {found or 'no weights'}, expected one Dense with bias, from {embedding_dim} to 1"
        )
    kernel, bias = (np.asarray(weight, np.float32) for weight in weighted[0].weights)
    weights = np.append(kernel[:, 0], bias)
    if not _computes(model, weights):
        raise UserError(f"{path}: found another function of left and right than sigmoid(w·|left - right| + b)")
    return weights


def _load(path: Path) -> keras.Model:
    with path.open("rb") if path.is_file() else contextlib.nullcontext() as file:
        whole = file is not None and zipfile.is_zipfile(file)
    if not whole:
        raise UserError(f"{path}: not readable as a Keras model (no ZIP archive); expected a whole .keras file")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked, packed = sum(member.file_size for member in archive.infolist()), path.stat().st_size
        if unpacked > _SMALL + _UNPACKED * packed:
            raise ValueError(f"{unpacked:,} bytes in an archive of {packed:,}")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras leaves weights that it does not find at random
            model = keras.models.load_model(path, compile=False, safe_mode=True)
    except PermissionError:
        raise
    except Exception as error:  # there is nothing that Keras would not raise on an archive that is no model
        raise _unreadable(path, error) from None
    if not isinstance(model, keras.Model) or len(getattr(model, "outputs", None) or ()) != 1:
        raise UserError(f"{path}: found a {type(model).__name__}, expected a Keras model of one output")
    return model


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path}: not readable as a Keras model ({said_by(error)}); expected a whole .keras file without code in it"
    )


def _computes(model: keras.Model, weights: np.ndarray) -> bool:
    """Whether the model gives what the weights alone do, on embeddings near to each other and far apart."""
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(60, len(weights) - 1)).astype(np.float32) for _ in range(2))
    right = left + (right - left) * np.repeat(np.array([0.01, 0.1, 1.0], np.float32), 20)[:, None]
    if len(model.inputs) != 2 or tuple(model.output_shape) != (None, 1):
        return False
    logits = np.abs(left - right).astype(np.float64) @ weights[:-1] + weights[-1]
    # tanh, for it does not overflow.
    probabilities = keras.ops.convert_to_numpy(model([left, right]))[:, 0]
    return np.allclose(probabilities, 0.5 + 0.5 * np.tanh(logits / 2), atol=_ROUNDING)
