import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from stages import config
from stages.embedded import Split


@pytest.fixture(scope="session")
def digit_splits():
    """Digits; a linear discriminant stands for the trained network, a random projection for the untrained one."""
    digits = load_digits()
    rng = np.random.default_rng(0)
    order = rng.permutation(len(digits.target))
    images = np.rint(digits.images * 255 / 16).astype(np.uint8)[..., None]
    flat = images.reshape(len(images), -1).astype(np.float32)
    train = order[500:]
    trained = LinearDiscriminantAnalysis().fit(flat[train], digits.target[train]).transform(flat).astype(np.float32)
    trained /= np.linalg.norm(trained, axis=1, keepdims=True)
    untrained = (flat @ rng.normal(size=(64, 16))).astype(np.float32)
    labels = digits.target.astype(np.int32)
    rows = {"train": train, "validation": order[:200], "test": order[200:500]}
    return {name: Split(images[i], labels[i], trained[i], untrained[i]) for name, i in rows.items()}


@pytest.fixture(scope="session")
def settings():
    return config.Evaluate(
        recall_at=[1, 2, 4, 8],
        queries=None,
        index="exact",
        index_recall=0.95,
        knn=5,
        gallery_queries=150,
        balanced_pairs=2000,
        all_pairs_up_to=60_000,
        sampled_pairs=20_000,
        fars=[0.01, 0.001],
        threshold_far=None,
        resamples=40,
    )


@pytest.fixture(scope="session")
def views(digit_splits):
    return {name: digit_splits[name] for name in ("validation", "test")}
