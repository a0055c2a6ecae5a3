"""Values and gradients of every loss on the backend that `KERAS_BACKEND` names, into a file: for `test_backends`.

`python -m tests.train.backend_values FILE`
"""

import sys

import numpy as np

from stages.train.losses import SiameseLoss
from tests.train.gradients import compiled
from tests.train.test_losses import CASES, random_batch


def values_and_gradients() -> dict[str, np.ndarray]:
    """Of each case, on batches without ties: "name value" and "name gradient"."""
    results: dict[str, np.ndarray] = {}
    for seed, case in enumerate(CASES):
        labels, embeddings = random_batch(60, dimensions=8, classes=7, seed=seed)
        value, gradient = compiled(case.loss)(labels, embeddings)
        results |= {f"{case} value": value, f"{case} gradient": gradient}
    labels, logits = random_batch(60, dimensions=1)
    value, gradient = compiled(SiameseLoss())(labels, logits[:30])
    return results | {"siamese value": value, "siamese gradient": gradient}


if __name__ == "__main__":
    np.savez(sys.argv[1], allow_pickle=False, **values_and_gradients())
