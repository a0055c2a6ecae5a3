"""What is asked of a card, with cards that are described and not there."""

from types import SimpleNamespace

import keras
import pytest

from stages.train import accelerator

GIGABYTE = 2**30


def described(monkeypatch, backend, card):
    """Let this machine have a card, or none; told by JAX as a device, by TensorFlow as details."""
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    if backend == "jax":
        monkeypatch.setattr("jax.local_devices", lambda: [card])
    else:
        monkeypatch.setattr(accelerator, "_tensorflow_details", lambda: card)


def device(platform="gpu", memory=None, **others):
    return SimpleNamespace(platform=platform, memory_stats=lambda: memory, **others)


@pytest.mark.parametrize(
    ("backend", "card", "expected"),
    [
        ("jax", device(compute_capability="7.5"), False),
        ("jax", device(compute_capability="8.0"), True),
        ("jax", device(compute_capability="9.0"), True),
        ("jax", device(compute_capability="10.0"), True),  # as numbers: as text it comes before 8.0
        ("jax", device(compute_capability="gfx90a"), False),
        ("jax", device(), False),
        ("jax", device("tpu"), True),
        ("jax", device("cpu"), False),
        ("tensorflow", {"compute_capability": (7, 5)}, False),
        ("tensorflow", {"compute_capability": (8, 0)}, True),
        ("tensorflow", {"compute_capability": (10, 0)}, True),
        ("tensorflow", {}, False),
        ("tensorflow", None, False),
    ],
)
def test_bfloat16_is_for_cards_from_ampere_on_and_tpus(monkeypatch, backend, card, expected):
    described(monkeypatch, backend, card)
    assert accelerator.computes_in_bfloat16() is expected


@pytest.mark.parametrize(
    ("card", "images", "expected"),
    [
        (device(memory={"bytes_limit": 8 * GIGABYTE}), 2 * GIGABYTE, True),
        (device(memory={"bytes_limit": 8 * GIGABYTE}), 2 * GIGABYTE + 1, False),
        (device(memory={}), 1, False),
        (device(memory=None), 1, False),  # of a device that counts nothing
        (device("cpu", memory={"bytes_limit": 8 * GIGABYTE}), 1, False),
    ],
)
def test_a_quarter_of_a_cards_memory_is_for_images(monkeypatch, card, images, expected):
    described(monkeypatch, "jax", card)
    assert accelerator.holds(images) is expected


def test_tensorflow_holds_no_images_on_a_card(monkeypatch):
    described(monkeypatch, "tensorflow", {"compute_capability": (9, 0)})
    assert not accelerator.holds(1)


@pytest.mark.parametrize(
    ("backend", "card", "expected"),
    [
        ("jax", device(device_kind="NVIDIA H200"), "NVIDIA H200"),
        ("jax", device("cpu", device_kind="cpu"), None),
        ("tensorflow", {"device_name": "NVIDIA H200"}, "NVIDIA H200"),
        ("tensorflow", {}, "GPU"),
        ("tensorflow", None, None),
    ],
)
def test_a_card_has_the_name_that_its_maker_gave_it(monkeypatch, backend, card, expected):
    described(monkeypatch, backend, card)
    assert accelerator.name() == expected
