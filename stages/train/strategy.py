"""What depends on the backend and the machine: threads, determinism, precision, devices.

Only this module and `accelerator` name TensorFlow.
"""

import contextlib
import functools
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

from stages import cores
from stages.errors import UserError
from stages.quiet import hidden_stderr
from stages.train import accelerator, processes


def set_up(seed: int, threads: int, precision: str = "float32") -> None:
    """Make what follows in this process repeatable: seeds, deterministic operations, number of threads, precision.

    To be called before the backend computes anything: it fixes its threads and its memory then.

    Args:
        seed: of Python, NumPy and the backend.
        threads: how many of the processor's compute; 0 lets the backend choose. Between numbers of threads sums differ
            in the last digits. JAX takes them all.
        precision: Keras's policy for the layers that are made from now on, `float32` or `mixed_bfloat16`; `auto`: the
            latter on accelerators that compute in bfloat16.
    """
    with hidden_stderr():  # Keras imports TensorFlow for its seed, also where it runs on JAX
        keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        _set_up_tensorflow(threads)
    elif keras.backend.backend() == "jax":
        _set_up_jax()
    if precision == "auto":
        precision = "mixed_bfloat16" if accelerator.computes_in_bfloat16() else "float32"
    keras.config.set_dtype_policy(precision)


def _set_up_tensorflow(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.experimental.enable_op_determinism()
    with hidden_stderr():  # without a GPU, the look for one ends in an error message
        for card in tf.config.list_physical_devices("GPU"):
            with contextlib.suppress(RuntimeError):  # it computes already, in an earlier job of this process
                tf.config.experimental.set_memory_growth(card, True)
        tf.config.list_logical_devices()


def _set_up_jax() -> None:
    # Read when JAX first looks for its devices. It would take three quarters of the memory of each, used or not.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_gpu_deterministic_ops" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".lstrip()


def computes_with() -> dict[str, str]:
    """What a training's last digits depend on beside its settings and code: packages, precision, kind of device."""
    device = keras.distribution.list_devices()[0].partition(":")[0]
    return {name: version(name) for name in ("keras", "numpy", keras.backend.backend())} | {
        "devices": f"{devices_in_sync()} {device}",
        "precision": keras.config.dtype_policy().name,
    }


BACKENDS = {"mirrored": "tensorflow", "data_parallel": "jax"}
"""What Keras must run on for a strategy of several devices."""


def joined(name: str) -> AbstractContextManager[None]:
    """A context in which this process is one of those that train together, if the strategy is for several.

    To be entered before the backend computes anything.

    Raises:
        UserError: the backend lacks the strategy, or the other processes do not come.
    """
    expected, backend = BACKENDS.get(name), keras.backend.backend()
    if expected not in (None, backend):
        raise UserError(f"train.strategy: found {name} with the backend {backend}, expected KERAS_BACKEND={expected}")
    if name != "data_parallel":
        return contextlib.nullcontext()
    with hidden_stderr():  # `set_up` needs it; once joined, a process has to be heard, and to give signs of life
        importlib.import_module("tensorflow")
    return processes.joined()


def scope_of(name: str, batch: int) -> Callable[[], AbstractContextManager[Any]]:
    """What to build and train in: a context, to be entered as often as needed, of the devices that a strategy takes.

    Each takes its share of each batch and has the weights.

    Args:
        name: `single`; `mirrored`, all devices of this machine (TensorFlow); or `data_parallel`, all devices of all
            processes that are joined (JAX).
        batch: B, images in a batch.

    Raises:
        UserError: the batch cannot be shared evenly.
    """
    if name == "single":
        return contextlib.nullcontext
    if name == "data_parallel":
        import jax

        devices, count, held = keras.distribution.list_devices(), processes.here().count, jax.local_device_count()
        if held * count != len(devices):
            found = f"{held} devices in this process and {len(devices)} in all {count}"
            raise UserError(f"{name}: found {found}, expected as many in each")
        _check_shares(name, batch, len(devices))
        return keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False).scope
    import tensorflow as tf

    cards = tf.config.list_logical_devices("GPU")
    devices = [device.name for device in cards or tf.config.list_logical_devices("CPU")]
    _check_shares(name, batch, len(devices))
    # Processors have no NCCL, by which cards add up.
    mirrored = tf.distribute.MirroredStrategy(devices, None if cards else tf.distribute.ReductionToOneDevice())
    return mirrored.scope


def _check_shares(name: str, batch: int, devices: int) -> None:
    if batch % devices:
        raise UserError(f"batches: found {batch} images a batch, expected a multiple of the {devices} devices")
    if processes.here().writes:
        take = "device takes" if devices == 1 else "devices take"
        print(f"{name}: {devices} {take} {batch // devices} images of each batch", flush=True)


def share(plan: np.ndarray) -> np.ndarray:
    """This process's part of each batch of a plan: of int32 `[steps, B]`, `[steps, B / processes]`."""
    here = processes.here()
    return np.split(plan, here.count, axis=1)[here.number]


def devices_in_sync() -> int:
    """How many devices share a batch."""
    if keras.backend.backend() != "tensorflow":
        distribution = keras.distribution.distribution()
        return 1 if distribution is None else distribution.device_mesh.devices.size
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def parts_in_sync() -> int:
    """How many parts a batch is computed in that know nothing of each other.

    On JAX it is one: a batch is one array, on however many devices it lies.
    """
    return devices_in_sync() if keras.backend.backend() == "tensorflow" else 1


def gathered(rows: Any) -> Any:
    """The rows of the whole batch, where a device has its share `[B / devices, …]`: in their order, with gradient."""
    if parts_in_sync() == 1:
        return rows
    import tensorflow as tf

    here = tf.distribute.get_replica_context()
    return rows if here is None else here.all_gather(rows, axis=0)  # None where Keras only asks for shapes


def own_part(rows: Any) -> Any:
    """Of rows of the whole batch, `[B, …]`, equal on all devices, those of this device's share: `[B / devices, …]`."""
    parts = parts_in_sync()
    if parts == 1:
        return rows
    import tensorflow as tf

    here = tf.distribute.get_replica_context()
    number = 0 if here is None else here.replica_id_in_sync_group  # None where Keras only asks for shapes
    return keras.ops.reshape(rows, (parts, -1, *rows.shape[1:]))[number]


def compiles() -> bool:
    """What Keras's `compile` takes as `jit_compile`: whether XLA makes one program of the step.

    On JAX it does. With TensorFlow Keras leaves XLA where operations are to be deterministic, and on a processor it was
    slower (a step of ResNet50 0.42 s, without it 0.27 s).
    """
    return keras.backend.backend() == "jax"


def keeps(images: np.ndarray) -> bool:
    """Whether training images are to lie on the device, so that a step is sent but their rows.

    That is where it is a card with room for them. Of several processes each reads its share of each batch instead.
    """
    return processes.here().count == 1 and accelerator.holds(images.nbytes)


def described(threads: int, resident: bool) -> str:
    """What computes, and how, in a line for the user; to be called in the scope of the devices.

    Args:
        threads: of the processor, as set; 0: all that there are.
        resident: whether the training images lie on the device.
    """
    how = [f"in {keras.config.dtype_policy().name}"]
    if compiles():
        how.append("compiled by XLA")
    name, devices = accelerator.name(), devices_in_sync()
    if name is not None:
        how.append(f"images {'on the device' if resident else 'sent batch by batch'}")
    elif keras.backend.backend() == "tensorflow":
        how.insert(0, f"on {cores.limit(threads)} threads")
    name = name or "the processor"
    on = name if devices == 1 else f"{devices} devices ({name})"
    return f"{keras.backend.backend()} computes on {on} {', '.join(how)}"


def settle(model: keras.Model) -> None:
    """Bring the model's variables up to date within an epoch, which is when JAX keeps them elsewhere."""
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


@contextlib.contextmanager
def synchronized(model: keras.Model) -> Iterator[None]:
    """Let batch normalisation see the whole batch of all devices during the block.

    Not afterwards: the model is to be loaded where there is one device, or another backend.
    """
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and parts_in_sync() > 1
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
    if keras.backend.backend() == "tensorflow":
        return _on_one_device(model)
    compute = _local(model)
    weights = [
        [variable.value.addressable_data(0) for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]
    return lambda images: np.asarray(compute(*weights, images))


@functools.lru_cache(maxsize=1)
def _local(model: keras.Model) -> Callable[..., Any]:
    """Of a JAX model's variables, as lists of arrays, and images: on the device on which these lie."""
    import jax

    def infer(trainable: Any, others: Any, images: Any) -> Any:
        return model.stateless_call(trainable, others, images, training=False)[0]

    return jax.jit(infer)


@functools.lru_cache(maxsize=1)
def _on_one_device(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def infer(images: Any) -> Any:
        return model(images, training=False)

    return lambda images: infer(images).numpy()
