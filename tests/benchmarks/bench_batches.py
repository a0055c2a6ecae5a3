"""Time and memory of the batch plan: MNIST's size, and 2 million images in 100,000 classes."""

import resource
import time

import numpy as np

from stages.batches import plan


def main() -> None:
    cases = [
        ("60,000 images in 10 classes", np.arange(60_000) % 10, 10, 16, 10_000, 2),
        ("2,000,000 images in 100,000 classes", np.arange(2_000_000) % 100_000, 100, 4, 10_000, 20),
    ]
    print(f"{'labels':<36} {'steps × P × K':>18} {'seconds':>8} {'allowed':>8} {'peak MB':>8}")
    for name, labels, classes, samples, steps, allowed in cases:
        before = _peak()
        start = time.perf_counter()
        plan.class_balanced(labels.astype(np.int32), classes, samples, steps, seed=0)
        seconds = time.perf_counter() - start
        shape = f"{steps} × {classes} × {samples}"
        print(f"{name:<36} {shape:>18} {seconds:8.2f} {allowed:8d} {_peak() - before:8.0f}")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
