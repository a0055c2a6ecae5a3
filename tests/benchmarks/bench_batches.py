"""Time and memory of the plan in each layout: MNIST's size, and 2 million images in 100,000 classes."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from stages.batches.pairs import paired
from stages.batches.plan import class_balanced, shuffled
from stages.batches.triplets import triplets
from tests.benchmarks import peak_memory

STEPS = 10_000
SMALL, LARGE = (60_000, 10), (2_000_000, 100_000)
# Layout, images and classes, what else the layout takes, seconds and megabytes allowed.
CASES = [
    ("pk", SMALL, (10, 16), 2, 1000),
    ("pk", LARGE, (100, 4), 20, 1000),
    ("shuffled", LARGE, (160,), 20, 1000),
    ("pairs", SMALL, (40,), 2, 1000),
    ("pairs", LARGE, (80,), 20, 1000),
    ("triplets", SMALL, (64, 1, 1), 2, 1000),
    ("triplets", SMALL, (64, 12, 12), 2, 1000),
    ("triplets", LARGE, (53, 1, 1), 20, 1000),
    ("triplets", LARGE, (53, 12, 12), 20, 1000),
]


def main() -> None:
    print(f"{STEPS} batches")
    print(f"{'layout':<24} {'images':>9} {'classes':>8} {'seconds':>8} {'allowed':>8} {'peak MB':>8} {'allowed':>8}")
    for layout, (images, classes), sizes, seconds_allowed, megabytes_allowed in CASES:
        plan = _plan(layout, images, classes, sizes, STEPS)
        start = time.perf_counter()
        plan()
        seconds = time.perf_counter() - start
        gigabytes = peak_memory.extra(_prepared, layout, images, classes, sizes)
        megabytes = "killed" if gigabytes is None else f"{gigabytes * 1000:.0f}"
        name = f"{layout} {' × '.join(map(str, sizes))}"
        print(
            f"{name:<24} {images:>9} {classes:>8} {seconds:8.2f} {seconds_allowed:8d} "
            f"{megabytes:>8} {megabytes_allowed:8d}"
        )


def _prepared(
    layout: str, images: int, classes: int, sizes: tuple[int, ...]
) -> tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]:
    """A small plan, and the one to measure."""
    return _plan(layout, 1000, 100, sizes, 1), _plan(layout, images, classes, sizes, STEPS)


def _plan(layout: str, images: int, classes: int, sizes: tuple[int, ...], steps: int) -> Callable[[], np.ndarray]:
    plans: dict[str, Callable[..., np.ndarray]] = {
        "pk": class_balanced,
        "shuffled": shuffled,
        "pairs": paired,
        "triplets": triplets,
    }
    labels = (np.arange(images) % classes).astype(np.int32)
    return partial(plans[layout], images if layout == "shuffled" else labels, *sizes, steps, 0)


if __name__ == "__main__":
    main()
