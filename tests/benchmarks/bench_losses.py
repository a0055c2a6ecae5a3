"""Time and memory of the triplet losses, forward and backward, against the formulas of TensorFlow Addons and a peer.

`python -m tests.benchmarks.bench_losses --only hard,semi_hard`; all three took 10 minutes on two busy cores. 2 threads,
margin 1, random embeddings of length 1, K rows a class. Ours, the plain formulas and the bare product take turns in one
process, so that whatever else the machine does hits all alike: compare ratios, not milliseconds.
"""

import argparse
import datetime
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from stages.quiet import hidden_stderr
from tests.benchmarks import peak_memory, peer_environment
from tests.benchmarks.loss_cases import CASES, Case, verdict

with hidden_stderr():
    import keras
    import numpy as np
    import tensorflow as tf

    from stages.train import losses, strategy
    from tests.benchmarks import plain_losses

THREADS = 2
SECONDS = 3.0  # of repetitions for each row
TURNS = (3, 3000)  # at least and at most
COLUMNS = {
    "B": 6, "D": 4, "K": 3, "ours ms": 9, "plain ms": 9, "plain/ours": 10, "ours/product": 12, "ours GB": 8,
    "plain GB": 8, "peer ms": 8,
}  # fmt: skip
NOTES = """\
B rows of D numbers, K rows a class; "?": traced with an unknown B, as fit does. plain: TensorFlow Addons' formulas.
ours/product: as multiples of one product B×D·D×B, forward only. GB: what a step adds to the process's memory.
peer: PyTorch Metric Learning, in a process of its own, so not in turns; its semi-hard means another thing (all
negatives between d⁺ and d⁺ + margin), and its means are over the triplets with a loss above 0."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES), help="of these, separated by commas (default: %(default)s)")
    chosen = parser.parse_args().only.split(",")
    if unknown := sorted(set(chosen) - set(CASES)):
        parser.error(f"--only must be of {', '.join(CASES)}; found {', '.join(unknown)}")
    strategy.set_up(seed=0, threads=THREADS)
    print(machine(), NOTES, sep="\n")
    python = peer_environment.python()
    for name in chosen:
        print_table(name, python)


def machine() -> str:
    described = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(": ")[1] for line in described if line.startswith("model name")), "unknown processor")
    versions = f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
    return f"{datetime.date.today()}, {model}, {os.cpu_count()} cores, {versions}"


def print_table(name: str, python: Path | None) -> None:
    print(f"\n{name}\n" + " ".join(f"{title:>{width}}" for title, width in COLUMNS.items()) + "  targets", flush=True)
    peers = peer_environment.milliseconds(python, [case for case in CASES[name] if case.peer])
    for case in CASES[name]:
        measured = measure(case) | {"peer ms": peers.get(case)}
        cells = {"B": f"{case.batch}{'?' if case.unknown else ''}", "D": str(case.dimensions), "K": str(case.samples)}
        cells |= {title: written(measured.get(title)) for title in COLUMNS if title not in cells}
        line = " ".join(f"{cells[title]:>{width}}" for title, width in COLUMNS.items())
        print(f"{line}  {verdict(case, measured.get('plain/ours'), measured.get('ours GB'))}", flush=True)


def measure(case: Case) -> dict[str, float | None]:
    """The figures of a row by their column; what was not measured is left out or None."""
    names = ["ours", *(["plain"] if case.plain and peak_memory.available() > case.plain_needs_gb else [])]
    figures: dict[str, float | None] = {}
    if case.memory:
        figures = {f"{name} GB": peak_memory.extra(small_step_and_step, case, name) for name in names}
        # What was killed in a process of its own is not tried in this one.
        names = [name for name in names if figures[f"{name} GB"] is not None]
    times = medians({name: traced_step(case, name) for name in [*names, "product"]})
    figures |= {f"{name} ms": taken * 1e3 for name, taken in times.items()}
    for ratio, above, below in (("plain/ours", "plain", "ours"), ("ours/product", "ours", "product")):
        if above in times and below in times:
            figures[ratio] = times[above] / times[below]
    return figures


def small_step_and_step(case: Case, which: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """For a fresh process: a step of few rows, to warm up, and the step to measure."""
    strategy.set_up(seed=0, threads=THREADS)
    return traced_step(replace(case, batch=16), which), traced_step(case, which)


def traced_step(case: Case, which: str) -> Callable[[], Any]:
    """The step of "ours", "plain" or "product" with its batch, traced but not yet run."""
    rows = None if case.unknown else case.batch
    signature = [tf.TensorSpec([rows], tf.int32), tf.TensorSpec([rows, case.dimensions], tf.float32)]
    compute = product if which == "product" else gradient_of(formula(case.loss, which))
    function = tf.function(compute, jit_compile=False).get_concrete_function(*signature)
    embeddings = np.random.default_rng(0).normal(size=(case.batch, case.dimensions)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    arguments = tf.constant(np.arange(case.batch) // case.samples, tf.int32), tf.constant(embeddings)
    return lambda: function(*arguments)


def formula(loss: str, which: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    if which == "plain":
        return getattr(plain_losses, loss)
    return getattr(losses, {"semi_hard": "triplet_semihard_loss"}.get(loss, f"triplet_{loss}_loss"))


def gradient_of(loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor, tf.Tensor], Any]:
    def step(labels: tf.Tensor, embeddings: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return value, tf.convert_to_tensor(tape.gradient(value, embeddings))

    return step


def product(labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
    return tf.matmul(embeddings, embeddings, transpose_b=True)


def medians(works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of each, the median of as many turns as `SECONDS` allow."""
    first = [seconds(work) for work in works.values()]
    # A function's first run prepares it, which takes long against a short one only.
    times = [first] if sum(first) > SECONDS else []
    end = time.perf_counter() + SECONDS
    while len(times) < TURNS[0] or (len(times) < TURNS[1] and time.perf_counter() < end):
        times.append([seconds(work) for work in works.values()])
    return {name: statistics.median(column) for name, column in zip(works, zip(*times, strict=True), strict=True)}


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def written(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.2f}" if figure < 100 else f"{figure:.0f}"


if __name__ == "__main__":
    main()
