"""Training on 2 million images in 100,000 classes: the plan's cost, turns of classes, and reading from the disk.

`python -m tests.benchmarks.bench_large_training` makes the set as prepare leaves it (noise, 2 GB in a temporary
folder), plans 10,000 batches of 100 × 4, and times the whole training loop (`compact`, 32×32 images, 2 threads) over
this plan with the images read from the disk as they are used, against the same loop over a small set in memory; about 5
minutes. `--images 20000` makes it small.

Cold: before each round nothing has the file mapped and the system is asked to forget what it has read of it, so that
images are fetched from the disk; how much was fetched is printed beside. It is far more than the images, for the system
reads ahead: where the set fits into memory, all of it is there after some 20 batches, so that a longer training is
nearer to warm. Warm: the same images again.
"""

import argparse
import gc
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from tqdm import tqdm

from stages import config, prepared, store
from stages.batches.plan import class_balanced
from stages.prepare import blocks
from stages.prepared import Images
from stages.quiet import hidden_stderr
from tests.batches.in_turn import classes_out_of_turn, samples_out_of_turn
from tests.benchmarks import peak_memory
from tests.benchmarks.stage_loop import stage_loop

SIDE, OF_CLASS = 32, 20
CLASSES_PER_BATCH, SAMPLES, STEPS = 100, 4, 10_000
PLAN_SECONDS, PLAN_MEGABYTES, SLOWER = 20, 1000, 1.05  # allowed
SMALL_CLASSES = 200  # of the set in memory: 4 MB
ROUNDS, ROUND_STEPS = 3, 40


@dataclass(frozen=True)
class Noise:
    """Images that are made when they are asked for: nothing here depends on what is in them."""

    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count, SIDE, SIDE, 1)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        made = np.random.default_rng(int(rows[0])).bytes(len(rows) * SIDE * SIDE)
        return np.frombuffer(made, np.uint8).reshape(len(rows), *self.shape[1:])


def main() -> None:
    options = _options()
    needed = options.images * SIDE * SIDE
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        if shutil.disk_usage(folder).free < 1.2 * needed:
            sys.exit(f"{folder.parent}: too little room for {needed / 1e9:.1f} GB; --folder names another place")
        began = time.perf_counter()
        write(folder, options.images)
        print(
            f"{options.images:,} images of {SIDE}×{SIDE} in {options.images // OF_CLASS:,} classes, "
            f"{needed / 1e9:.2f} GB: written in {time.perf_counter() - began:.1f} s"
        )
        planned = plan(folder)
        train(folder, planned, options.rounds, options.round_steps)


def write(folder: Path, images: int) -> None:
    """The training images and their labels, in any order, as prepare leaves them."""
    files = prepared.files(folder, "train")
    with store.replacing(files["images"]) as path, tqdm(disable=True) as bar:
        blocks.save(path, Noise(images), bar)
    labels = np.arange(images, dtype=np.int32) % (images // OF_CLASS)
    store.save_array(files["labels"], np.random.default_rng(0).permutation(labels))


def plan(folder: Path) -> np.ndarray:
    """Make the plan, and say what it cost and whether classes and samples take turns in it."""
    began = time.perf_counter()
    planned = _planned(folder, STEPS)
    seconds = time.perf_counter() - began
    gigabytes = peak_memory.extra(small_plan_and_plan, folder)
    megabytes = float("inf") if gigabytes is None else 1000 * gigabytes
    print(
        f"plan of {STEPS:,} × {CLASSES_PER_BATCH} × {SAMPLES}: {seconds:.1f} s, {_judged(seconds, PLAN_SECONDS)}; "
        f"peak {megabytes:.0f} MB above start, {_judged(megabytes, PLAN_MEGABYTES)}"
    )
    labels = prepared.load(folder, "train").labels
    seen = STEPS * CLASSES_PER_BATCH / len(np.unique(labels))
    wrong = classes_out_of_turn(labels, planned, SAMPLES), samples_out_of_turn(labels, planned)
    print(
        f"turns: each class is seen {seen:.1f} times; {wrong[0]} came again before all others had come, "
        f"{wrong[1]} samples before all others of their class"
    )
    return planned


def small_plan_and_plan(folder: Path) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """For a fresh process: a plan of one batch, and the one to measure."""
    return lambda: class_balanced(np.arange(1000) % 100, 100, SAMPLES, 1, 0), lambda: _planned(folder, STEPS)


def _planned(folder: Path, steps: int) -> np.ndarray:
    labels = store.load_labels(prepared.files(folder, "train")["labels"])
    return class_balanced(labels, CLASSES_PER_BATCH, SAMPLES, steps, seed=0)


def train(folder: Path, planned: np.ndarray, rounds: int, steps: int) -> None:
    """Time the loop over the set in memory, cold and warm, in turns, and a batch's reading alone."""
    small = Images(
        Noise(SMALL_CLASSES * OF_CLASS)[np.arange(SMALL_CLASSES * OF_CLASS)],
        np.arange(SMALL_CLASSES * OF_CLASS, dtype=np.int32) % SMALL_CLASSES,
    )
    of_small = class_balanced(small.labels, CLASSES_PER_BATCH, SAMPLES, steps, seed=0)
    os.environ["DVC_ROOT"] = str(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with hidden_stderr():
        from stages.train import strategy

    strategy.set_up(seed=0, threads=2)
    sizes = [f"batches.classes_per_batch={CLASSES_PER_BATCH}", f"batches.samples_per_class={SAMPLES}"]
    # Within a few steps no state is saved: that is no part of what is compared.
    given = ["experiment=mnist", *sizes, "threads=2", "train.checkpoint_seconds=1e9"]
    settings = config.parse(config.compose(given), "bench_large_training")
    loop = stage_loop(settings, Images(small.images[: 2 * SMALL_CLASSES], small.labels[: 2 * SMALL_CLASSES]))
    loop(small, of_small)  # compiles

    seconds: dict[str, list[float]] = {"memory": [], "cold": [], "warm": []}
    reading: dict[str, list[float]] = {name: [] for name in seconds}
    fetched: list[float] = []
    for turn in range(rounds):
        rows = planned[2 * turn * steps : 2 * (turn + 1) * steps]  # half to train on, half to be read alone
        seconds["memory"].append(loop(small, of_small))
        reading["memory"].append(read(small, of_small))
        before = _fetched()
        trained = cold_and_warm(folder, loop, rows[:steps])
        fetched.append(_fetched() - before)
        times = trained, cold_and_warm(folder, read, rows[steps:])
        for kept, (of_cold, of_warm) in zip((seconds, reading), times, strict=True):
            kept["cold"].append(of_cold)
            kept["warm"].append(of_warm)
        told = ", ".join(f"{name} {1000 * taken[-1]:.0f}" for name, taken in seconds.items())
        print(f"round {turn + 1}: {told} ms a step, {fetched[-1]:.0f} MB fetched", file=sys.stderr, flush=True)
    print(
        f"whole loop, compact, batches of {planned.shape[1]}, ms a step, medians of {rounds} rounds of {steps} steps "
        "in turns; reading: of a batch's images alone"
    )
    for name, taken in seconds.items():
        ratios = [one / other for one, other in zip(taken, seconds["memory"], strict=True)]
        ratio = statistics.median(ratios)
        told = "" if name == "memory" else f", {_judged(ratio, SLOWER)}"
        drawn = f"; {min(fetched):.0f} MB at least fetched from the disk in a round" if name == "cold" else ""
        print(
            f"{name:7} {1000 * statistics.median(taken):7.1f}  {ratio:5.3f} ({min(ratios):.3f}-{max(ratios):.3f}) of "
            f"memory{told}; reading {1000 * statistics.median(reading[name]):.2f}{drawn}"
        )


def read(images: Images, rows: np.ndarray) -> float:
    """Seconds for gathering a batch."""
    from stages.train.feed import PlannedBatches

    batches = PlannedBatches(images.images, images.labels, rows)
    began = time.perf_counter()
    for index in range(len(batches)):
        batches[index]
    return (time.perf_counter() - began) / len(batches)


def cold_and_warm(folder: Path, work: Callable[[Images, np.ndarray], float], rows: np.ndarray) -> tuple[float, float]:
    """Seconds of a work on these rows after the system was asked to drop what it holds of the images, and again."""
    gc.collect()  # what a process has mapped is not dropped, and a loop that has ended may still be in a cycle
    with prepared.files(folder, "train")["images"].open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    images = prepared.load(folder, "train")
    return work(images, rows), work(images, rows)


def _fetched() -> float:
    """Megabytes that this process has had fetched from a disk."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:")) / 1e6


def _judged(figure: float, allowed: float) -> str:
    return f"{allowed:g} allowed: {'ok' if figure <= allowed else 'MISSED'}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2_000_000, help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="on the disk to read from (default: the system's temporary one)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--round-steps", type=int, default=ROUND_STEPS, help="default: %(default)s")
    options = parser.parse_args()
    if options.images < CLASSES_PER_BATCH * OF_CLASS:
        parser.error(f"--images must be at least {CLASSES_PER_BATCH * OF_CLASS}; found {options.images}")
    return options


if __name__ == "__main__":
    main()
