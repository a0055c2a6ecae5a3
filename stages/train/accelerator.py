"""The card that computes, where there is one: its name, whether it knows bfloat16, how much fits into its memory."""

import re
from typing import Any

import keras

BFLOAT16 = (8, 0)
"""Of NVIDIA, the first compute capability whose tensor cores take bfloat16 (Ampere)."""
SHARE = 0.25
"""Of the memory that JAX may take, for images: the rest is the network's and its activations'."""


def name() -> str | None:
    """As its maker calls it; None where the processor computes.

    >>> name() is None or isinstance(name(), str)
    True
    """
    if keras.backend.backend() == "tensorflow":
        details = _tensorflow_details()
        return None if details is None else str(details.get("device_name", "GPU"))
    device = _jax_device()
    return None if device is None else str(device.device_kind)


def computes_in_bfloat16() -> bool:
    """Whether there is one that computes in bfloat16 faster than in float32."""
    if keras.backend.backend() == "tensorflow":
        details = _tensorflow_details()
        return details is not None and tuple(details.get("compute_capability", (0, 0))) >= BFLOAT16
    device = _jax_device()
    if device is None:
        return False
    capability = getattr(device, "compute_capability", None)
    return device.platform == "tpu" or (capability is not None and _numbers(capability) >= BFLOAT16)


def holds(bytes_of_images: int) -> bool:
    """Whether images of so many bytes are to lie in its memory, beside what training needs; False without one.

    On JAX alone: TensorFlow has no kernel that gathers bytes on a card, and would fetch all of them for each batch.
    """
    device = _jax_device()
    stats = None if device is None else device.memory_stats()
    return stats is not None and bytes_of_images <= SHARE * stats.get("bytes_limit", 0)


def _numbers(capability: Any) -> tuple[int, ...]:
    found = re.fullmatch(r"(\d+)\.(\d+)", str(capability))  # AMD's are named otherwise
    return (int(found[1]), int(found[2])) if found else ()


def _tensorflow_details() -> dict[str, Any] | None:
    import tensorflow as tf

    cards = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(cards[0]) if cards else None


def _jax_device() -> Any:
    if keras.backend.backend() != "jax":
        return None
    import jax

    device = jax.local_devices()[0]
    return None if device.platform == "cpu" else device
