"""Times of PyTorch Metric Learning's losses, forward and backward, in an environment of its own.

`bench_losses` starts it. The one argument is JSON, a list of `{"loss", "batch", "dimensions", "samples"}`; what is
printed is the list of their milliseconds, medians; null where memory did not suffice.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from pytorch_metric_learning import distances, losses, miners

THREADS = 2
SECONDS = 1.5  # of repetitions for each case
TURNS = (3, 200)  # at least and at most


def main() -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    print(json.dumps([milliseconds(**case) for case in json.loads(sys.argv[1])]))


def milliseconds(loss: str, batch: int, dimensions: int, samples: int) -> float | None:
    embeddings = torch.nn.functional.normalize(torch.randn(batch, dimensions)).requires_grad_()
    labels = torch.arange(batch) // samples
    compute = _losses()[loss]

    def step() -> None:
        embeddings.grad = None
        compute(embeddings, labels).backward()

    try:
        _seconds(step)
        turns = min(max(int(SECONDS / _seconds(step)), TURNS[0]), TURNS[1])
        times = sorted(_seconds(step) for _ in range(turns))
    except (MemoryError, RuntimeError) as error:  # what PyTorch raises where an allocation fails
        print(f"{loss} of {batch}: {error}", file=sys.stderr)
        return None
    return times[len(times) // 2] * 1e3


def _losses() -> dict[str, Callable[[Any, Any], Any]]:
    """By name, on plain Euclidean distances; the mean is the library's own, over triplets with a loss above 0."""
    euclidean = distances.LpDistance(normalize_embeddings=False)
    triplets = losses.TripletMarginLoss(margin=1.0, distance=euclidean)
    hard = miners.BatchHardMiner(distance=euclidean)
    semi_hard = miners.TripletMarginMiner(margin=1.0, type_of_triplets="semihard", distance=euclidean)
    return {
        "hard": lambda embeddings, labels: triplets(embeddings, labels, hard(embeddings, labels)),
        "semi_hard": lambda embeddings, labels: triplets(embeddings, labels, semi_hard(embeddings, labels)),
        "batch_all": triplets,
    }


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
