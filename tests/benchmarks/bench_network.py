"""What makes the network's own passes faster: `make bench`, or alone: `python -m tests.benchmarks.bench_network`.

The bare loop of `bench_step` under other settings of the processor, each in a process of its own, in turns. Beside it:
how far the same weights' embeddings of the same images are from those in float32 on two threads, as a share of the
largest number in these.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np

from stages import config
from stages.quiet import hidden_stderr
from tests.benchmarks import bench_step
from tests.benchmarks.bench_step import Steps
from tests.benchmarks.turns import Burst, medians_of_bursts

NETWORKS = {
    "compact, 10 × 16": (["experiment=mnist", "batches.samples_per_class=16"], 10),
    "conv_blog, 10 × 8": (["experiment=batch_hard_article"], 3),
}
"""By title the settings of a network and its batches, and how many steps are timed together."""


@dataclass(frozen=True)
class Setting:
    """How the processor computes."""

    threads: int = 2
    precision: str = "float32"
    onednn: bool = True
    repeatable: bool = True
    compiled: bool = False  # by XLA, which cannot repeat the gradient of a maximum over a window


SETTINGS = {
    "float32": Setting(),
    "one thread": Setting(threads=1),
    "mixed_bfloat16": Setting(precision="mixed_bfloat16"),
    "no oneDNN": Setting(onednn=False),
    "not repeatable": Setting(repeatable=False),
    "so, with XLA": Setting(repeatable=False, compiled=True),
}


def main() -> None:
    """Print milliseconds of a step under each setting, the ratio to the first, and how far its embeddings are."""
    print("ms a step, its ratio to float32 on 2 threads; largest difference of an embedding")
    for title, (overrides, steps) in NETWORKS.items():
        with ExitStack() as stack:
            workers = [stack.enter_context(_worker(setting)) for setting in SETTINGS.values()]
            for worker, setting in zip(workers, SETTINGS.values(), strict=True):
                worker.submit(_prepare, setting, [*overrides, f"threads={setting.threads}"], steps).result()
            embedded = [worker.submit(_embedded).result() for worker in workers]
            seconds = medians_of_bursts([_burst(worker) for worker in workers])
        for name, taken, embeddings in zip(SETTINGS, seconds, embedded, strict=True):
            away = np.abs(embeddings - embedded[0]).max() / np.abs(embedded[0]).max()
            print(f"{title:18} {name:14} {1000 * taken:7.1f}  {taken / seconds[0]:5.2f}  {away:.1e}", flush=True)


def _worker(setting: Setting) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin, initargs=(setting,))


def _begin(setting: Setting) -> None:
    # Before TensorFlow is imported.
    os.environ |= {"TF_ENABLE_ONEDNN_OPTS": str(int(setting.onednn)), "TF_CPP_MIN_LOG_LEVEL": "3"}


def _burst(worker: ProcessPoolExecutor) -> Burst:
    return lambda budget: worker.submit(_times, budget).result()


@dataclass
class _Work:
    """What a worker's process has prepared."""

    settings: config.Config
    steps: Steps


_prepared: list[_Work] = []


def _prepare(setting: Setting, overrides: list[str], steps: int) -> None:
    with hidden_stderr():
        from tensorflow.python.framework import config as tensorflow_config

        from stages.train import strategy

        strategy.set_up(seed=0, threads=setting.threads, precision=setting.precision)
        if not setting.repeatable:
            tensorflow_config.disable_op_determinism()
    settings = config.parse(config.compose(overrides), "bench_network")
    _prepared.append(_Work(settings, bench_step.bare(settings, bench_step.images(), steps, setting.compiled)))


def _embedded() -> np.ndarray:
    [work] = _prepared
    network: Any = bench_step.parts(work.settings)[0]
    rows = slice(None, None, bench_step.OF_CLASS // 2)
    return np.asarray(network.predict_on_batch(bench_step.images().images[rows].astype(np.float32)), np.float32)


def _times(budget: float) -> list[float]:
    [work] = _prepared
    work.steps()  # compiles, and finds caches and threads as another process left them
    return [work.steps() for _ in range(2 if budget else 1)]


if __name__ == "__main__":
    main()
