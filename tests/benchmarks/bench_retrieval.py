"""Time and memory of all retrieval measures: beside plain searches, on raw pixels, and in a large gallery."""

import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from sklearn.neighbors import NearestNeighbors

from stages.evaluate import retrieval
from tests.benchmarks import peak_memory

KS = [1, 2, 4, 8]
LARGE_ALLOWED = 2000  # megabytes


def main() -> None:
    _beside_plain_searches()
    _beyond_retrieval()
    # With ten classes R is 20,000, so that each query takes a row of 200,000 distances.
    for classes, queries in ((1000, 200_000), (10, 2_000)):
        shape = (200_000, 128, classes, queries)
        seconds = _seconds(_large(*shape)[1])
        gigabytes = peak_memory.extra(_large, *shape)
        megabytes = "killed" if gigabytes is None else f"{gigabytes * 1000:.0f}"
        print(f"200,000 × 128, {classes} classes, {queries:,} queries: all measures {seconds:.1f} s", end=", ")
        print(f"peak {megabytes} MB above start, {LARGE_ALLOWED} allowed")


def _beside_plain_searches() -> None:
    """10,000 × 64 in ten classes, as MNIST's test set; searches as deep as MAP@R goes."""
    points, labels = _clustered(10_000, 64, 10)
    depth = int(np.bincount(labels).max())
    plain = NearestNeighbors(n_neighbors=depth, algorithm="brute").fit(points)
    ours = _seconds(lambda: retrieval.leave_one_out(points, labels, KS))
    print(f"10,000 × 64, ten classes: all measures {ours:.2f} s, 3 s allowed")
    for name, search in (
        ("faiss.knn", lambda: faiss.knn(points, points, depth)),
        ("scikit-learn's brute force", lambda: plain.kneighbors(points)),
    ):
        seconds = _seconds(search)
        print(f"  {name} alone, {depth} deep: {seconds:.2f} s, {seconds / ours:.2f} of it")


def _beyond_retrieval() -> None:
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 256, (10, 784))
    labels = rng.integers(0, 10, 64_000)
    pixels = np.clip(prototypes[labels] + rng.normal(0, 60, (64_000, 784)), 0, 255).astype(np.uint8)
    split = pixels[:10_000], labels[:10_000], pixels[10_000:], labels[10_000:]
    seconds = _seconds(lambda: retrieval.knn_correct(*split, neighbours=5, seed=0))
    print(f"10,000 × 784 pixels, votes of 5 among 54,000: {seconds:.2f} s, 6 s allowed")
    values = {str(i): rng.random(10_000) for i in range(12)}
    found = retrieval.Retrieved(np.arange(10_000), values, 0)
    seconds = _seconds(lambda: retrieval.intervals(found, 500, seed=0))
    print(f"10,000 queries, 12 measures, 500 resamples: intervals {seconds:.2f} s, 1 s allowed")


def _large(
    items: int, dimensions: int, classes: int, queries: int
) -> tuple[Callable[[], retrieval.Retrieved], Callable[[], retrieval.Retrieved]]:
    """A small run, and the one to measure: leave-one-out, or the first queries in the whole gallery."""
    points, labels = _clustered(items, dimensions, classes)

    def measured() -> retrieval.Retrieved:
        if queries == items:
            return retrieval.leave_one_out(points, labels, KS)
        return retrieval.in_gallery(points[:queries], labels[:queries], points, labels, KS)

    # Of many classes, so that it searches through FAISS.
    few, few_labels = _clustered(20_000, dimensions, 2_000)
    return lambda: retrieval.in_gallery(few[:100], few_labels[:100], few, few_labels, KS), measured


def _clustered(items: int, dimensions: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around class centres, about as many in each class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, items).astype(np.int32)
    points = rng.normal(size=(classes, dimensions)).astype(np.float32)[labels]
    points += rng.normal(size=points.shape).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True), labels


def _seconds(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
