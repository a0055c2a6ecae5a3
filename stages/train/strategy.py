"""What depends on the backend and the machine: threads, determinism, precision. Only this module names TensorFlow."""

from importlib.metadata import version

import keras

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
    return {name: version(name) for name in ("keras", "numpy", keras.backend.backend())} | {"device": device}
