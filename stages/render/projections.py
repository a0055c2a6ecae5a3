"""Many dimensions brought into the plane: by PCA, t-SNE (van der Maaten and Hinton 2008), UMAP (McInnes 2018)."""

import importlib.util
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from stages import orphan
from stages.errors import UserError

TITLES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
PCA_DIMENSIONS = 50
Key = TypeVar("Key")


@dataclass(frozen=True)
class Projection:
    """Points in the plane.

    Attributes:
        points: float32 `[N, 2]`.
        axes: what the two coordinates are.
    """

    points: np.ndarray
    axes: tuple[str, str]


def check_available(methods: Sequence[str]) -> None:
    """Refuse a method whose package is not installed, before anything is computed.

    Raises:
        UserError: umap without the package umap-learn.
    """
    if "umap" in methods and importlib.util.find_spec("umap") is None:
        raise UserError(
            "render.methods: found umap, which needs the package umap-learn; "
            "install it by .venv/bin/uv pip install '.[umap]' or take umap out"
        )


def project_all(
    jobs: Mapping[Key, tuple[str, np.ndarray]], perplexity: float, seed: int, workers: int
) -> Iterator[tuple[Key, Projection]]:
    """Project many times, several at once; each result under its key, as soon as it is there.

    Args:
        jobs: method and features of each, as `project` takes them; give the longest first.
        perplexity: of t-SNE.
        seed: of each projection.
        workers: how many processes project, at most one a job; the results do not depend on it.
    """
    with ProcessPoolExecutor(
        min(len(jobs), workers), multiprocessing.get_context("spawn"), initializer=orphan.end_worker_with_parent
    ) as pool:
        try:
            futures = {pool.submit(project, *job, perplexity, seed): key for key, job in jobs.items()}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except KeyboardInterrupt:
            for worker in multiprocessing.active_children():
                worker.terminate()  # t-SNE would go on for as long as it takes
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def project(method: str, features: np.ndarray, perplexity: float, seed: int) -> Projection:
    """Coordinates in the plane, by one of `TITLES`.

    Args:
        method: pca, tsne or umap.
        features: numbers `[N, D]`. t-SNE and UMAP see no more than their first 50 principal components.
        perplexity: how many neighbours a point keeps in t-SNE, roughly; at most a third of the others.
        seed: of the optimisation.
    """
    import sklearn.manifold  # noqa: F401 - it loads OpenMP, and only what is loaded can be limited
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    features = np.asarray(features, np.float32)
    # One thread, so that the map does not depend on the machine's cores. Where these are busy, it also saves time: two
    # threads that wait for each other at every step of t-SNE took nine times as long.
    with threadpool_limits(1):
        if method == "pca":
            return _pca(features, seed)
        axes = (f"{TITLES[method]} dimension 1 (no unit)", f"{TITLES[method]} dimension 2 (no unit)")
        if len(features) < 4 or not features.std(axis=0).any():
            return Projection(_one_place(features), axes)  # too few points, or one place: there is nothing to arrange
        if min(features.shape) > PCA_DIMENSIONS:
            features = _principal_components(features, PCA_DIMENSIONS, seed)[0]
        return Projection(_tsne(features, perplexity, seed) if method == "tsne" else _umap(features, seed), axes)


def _pca(features: np.ndarray, seed: int) -> Projection:
    points, shares = _one_place(features), np.zeros(2)
    if len(features) and features.std(axis=0).any():
        found, variance = _principal_components(features, min(2, *features.shape), seed)
        points[:, : found.shape[1]] = found
        shares[: len(variance)] = variance
    first, second = (f"{100 * share:.1f} % of the variance" for share in shares)
    return Projection(points, (f"PCA component 1 ({first})", f"PCA component 2 ({second})"))


def _principal_components(features: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import PCA

    pca = PCA(count, random_state=seed)
    return pca.fit_transform(features), pca.explained_variance_ratio_


def _tsne(features: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    start = "pca" if features.shape[1] > 1 else "random"
    limited = min(perplexity, (len(features) - 1) / 3)
    return TSNE(perplexity=limited, init=start, random_state=seed).fit_transform(features)


def _umap(features: np.ndarray, seed: int) -> np.ndarray:
    neighbours = min(15, len(features) - 1)
    # A spectral start needs more points than it has dimensions, with room for its solver.
    start = "spectral" if len(features) > 50 else "random"
    umap = _umap_class()(n_neighbors=neighbours, init=start, random_state=seed, n_jobs=1)
    with warnings.catch_warnings():
        # The graph falls into several pieces where classes are far apart, which is what one hopes for.
        warnings.filterwarnings("ignore", "Graph is not fully connected", UserWarning)
        return np.asarray(umap.fit_transform(features), np.float32)


def _umap_class() -> Callable[..., Any]:
    with _no_tensorflow(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        from umap import UMAP  # type: ignore[import-untyped]
    return UMAP


@contextmanager
def _no_tensorflow() -> Iterator[None]:
    """Keep UMAP from importing TensorFlow, which takes seconds: only a variant that is not used here needs it."""
    loaded = sys.modules.get("tensorflow")
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["tensorflow"]
        if loaded is not None:
            sys.modules["tensorflow"] = loaded


def _one_place(features: np.ndarray) -> np.ndarray:
    return np.zeros((len(features), 2), np.float32)
