"""What depends on the backend and the machine: threads, determinism, precision, devices.

Only this module names TensorFlow.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

from stages.errors import UserError
from stages.quiet import hidden_stderr


def set_up(seed: int, threads: int, precision: str = "float32") -> None:
    """Make what follows in this process repeatable: seeds, deterministic operations, number of threads, precision.

    To be called before the backend computes anything: TensorFlow fixes its threads then.

    Args:
        seed: of Python, NumPy and the backend.
        threads: how many compute; 0 lets the backend choose. Between numbers of threads sums differ in the last digits.
        precision: Keras's policy for the layers that are made from now on, `float32` or `mixed_bfloat16`.
    """
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
        with hidden_stderr():  # without a GPU, the look for one ends in an error message
            tf.config.list_logical_devices()


def computes_with() -> dict[str, str]:
    """What a training's last digits depend on beside its settings and code: packages and the kind of device."""
    device = keras.distribution.list_devices()[0].partition(":")[0]
    return {name: version(name) for name in ("keras", "numpy", keras.backend.backend())} | {
        "devices": f"{devices_in_sync()} {device}"
    }


def scope_of(name: str, batch: int) -> Callable[[], AbstractContextManager[Any]]:
    """What to build and train in: a context, to be entered as often as needed, of the devices that a strategy takes.

    Args:
        name: `single`; or `mirrored`, all devices of this machine, each of which takes its share of each batch and has
            the weights.
        batch: B, images in a batch.

    Raises:
        UserError: the backend lacks the strategy, or the batch cannot be shared evenly.
    """
    if name == "single":
        return contextlib.nullcontext
    if keras.backend.backend() != "tensorflow":
        backend = keras.backend.backend()
        raise UserError(f"train.strategy: found {name} with the backend {backend}, expected KERAS_BACKEND=tensorflow")
    import tensorflow as tf

    cards = tf.config.list_logical_devices("GPU")
    devices = [device.name for device in cards or tf.config.list_logical_devices("CPU")]
    if batch % len(devices):
        raise UserError(f"batches: found {batch} images a batch, expected a multiple of the {len(devices)} devices")
    print(f"{name}: {len(devices)} devices take {batch // len(devices)} images of each batch", flush=True)
    # Processors have no NCCL, by which cards add up.
    mirrored = tf.distribute.MirroredStrategy(devices, None if cards else tf.distribute.ReductionToOneDevice())
    return mirrored.scope


def devices_in_sync() -> int:
    """How many devices share a batch."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def gathered(rows: Any) -> Any:
    """The rows of the whole batch, where a device has its share `[B / devices, …]`: in their order, with gradient."""
    if devices_in_sync() == 1:
        return rows
    import tensorflow as tf

    here = tf.distribute.get_replica_context()
    return rows if here is None else here.all_gather(rows, axis=0)  # None where Keras only asks for shapes


@contextlib.contextmanager
def synchronized(model: keras.Model) -> Iterator[None]:
    """Let batch normalisation see the whole batch of all devices during the block.

    Not afterwards: the model is to be loaded where there is one device, or another backend.
    """
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and devices_in_sync() > 1
    ]
    for layer in layers:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer in layers:
            layer.synchronized = False


def inference(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images `[B, …]` to what the model makes of them; where there are several devices, on one."""
    if devices_in_sync() == 1:
        return model.predict_on_batch
    return _on_one_device(model)


@functools.lru_cache(maxsize=1)
def _on_one_device(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def infer(images: Any) -> Any:
        return model(images, training=False)

    return lambda images: infer(images).numpy()
