"""Times and memory of PyTorch Metric Learning's losses and measures, in an environment of its own.

`peer.Peer` starts it. A question is a line of JSON, so is its answer; null where memory did not suffice.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pytorch_metric_learning import distances, losses, miners
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tests.benchmarks import clusters, peak_memory, turns

THREADS = 2
FEW = {"loss": {"batch": 16}, "evaluate": {"items": 500, "classes": 50}}  # of a work that only warms up
Step = Callable[[], Any]


def main() -> None:
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")  # should memory run out, this process goes
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    set_up()
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), file=answers, flush=True)


def set_up() -> None:
    torch.set_num_threads(THREADS)
    threadpool_limits(THREADS)  # of FAISS
    torch.manual_seed(0)


def answer(ask: str, budget: float = 0.0, **work: Any) -> Any:
    if ask == "versions":
        found = {"PyTorch Metric Learning": "pytorch-metric-learning", "PyTorch": "torch", "FAISS": "faiss-cpu"}
        return [f"{name} {version(package).partition('+')[0]}" for name, package in found.items()]
    if ask == "gigabytes":
        return peak_memory.extra(small_step_and_step, work)
    try:
        return turns.repeated(step_of(json.dumps(work)))(budget)
    except (MemoryError, RuntimeError) as error:  # what PyTorch raises where an allocation fails
        print(f"{work}: {error}", file=sys.stderr)
        return None


def small_step_and_step(work: dict[str, Any]) -> tuple[Step, Step]:
    """For a fresh process: a small step, to warm up, and the step to measure."""
    set_up()
    return step_of(json.dumps(work | FEW[work["work"]])), step_of(json.dumps(work))


@lru_cache(maxsize=2)
def step_of(work: str) -> Step:
    arguments = json.loads(work)
    make: Callable[..., Step] = evaluate_step if arguments.pop("work") == "evaluate" else loss_step
    return make(**arguments)


def loss_step(loss: str, batch: int, dimensions: int, samples: int) -> Step:
    embeddings = torch.nn.functional.normalize(torch.randn(batch, dimensions)).requires_grad_()
    labels = torch.arange(batch) // samples
    compute = _losses()[loss]

    def step() -> None:
        embeddings.grad = None
        compute(embeddings, labels).backward()

    return step


def evaluate_step(items: int, dimensions: int, classes: int) -> Step:
    """Each item looks for the others of its label, as deep as the largest class."""
    points, labels = (torch.from_numpy(part) for part in clusters.clustered(items, dimensions, classes))
    measures = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    calculator = AccuracyCalculator(include=measures, k="max_bin_count", device=torch.device("cpu"))
    return lambda: calculator.get_accuracy(points, labels)


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


if __name__ == "__main__":
    main()
