"""What a training step costs beside the network: `make bench`, or alone: `python -m tests.benchmarks.bench_step`.

The stage's whole loop (reading, gather, augmentation, mining, loss, callbacks, logging, checkpoints) is timed against a
bare loop of the same network over one constant batch, in turns in one process. The article's network is timed beside a
plain port of its loop as well.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from stages import config
from stages.prepared import Images
from tests.benchmarks.stage_loop import stage_loop

ROUNDS = 5
SIDE, CLASSES, OF_CLASS = 28, 10, 600
Steps = Callable[[], float]
"""Makes as many steps as it was told; returns seconds for each."""


def main() -> None:
    """Print milliseconds of a step of each loop, and the ratio to the bare one: medians of the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        from stages.train import strategy

        strategy.set_up(seed=0, threads=2)
        print(f"ms a step, median of {ROUNDS} rounds in turns, 2 threads; its ratio to the bare loop: median, range")
        compare("compact, 10 × 16", ["experiment=mnist", "batches.samples_per_class=16"], 100)
        compare("conv_blog, 10 × 8", ["experiment=batch_hard_article"], 40, article)


def compare(title: str, overrides: list[str], steps: int, *others: Callable[..., Steps]) -> None:
    """Time the loops in turns and print a row for each."""
    settings = config.parse(config.compose([*overrides, "threads=2"]), title)
    data = images()
    loops = {maker.__name__: maker(settings, data, steps) for maker in (bare, whole, *others)}
    for loop in loops.values():
        loop()  # compiles
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(ROUNDS):
        for name, loop in loops.items():
            seconds[name].append(loop())
    for name, taken in seconds.items():
        ratios = [one / other for one, other in zip(taken, seconds["bare"], strict=True)]
        spread = f"{statistics.median(ratios):5.3f} ({min(ratios):.3f}-{max(ratios):.3f})"
        print(f"{title:18} {name:8} {1000 * statistics.median(taken):7.1f}  {spread}", flush=True)


def images() -> Images:
    """Noise, brighter from class to class: no step's cost depends on what is in an image, but a training that is given
    nothing to learn ends as collapsed."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES, dtype=np.int32), OF_CLASS)
    noise = rng.integers(0, 100, (len(labels), SIDE, SIDE, 1), np.uint8)
    return Images(noise + (15 * labels[:, None, None, None]).astype(np.uint8), labels)


def parts(settings: config.Config) -> tuple[Any, Any, Any]:
    """A new network, loss and optimizer."""
    from stages.train.targets import build

    network = build(settings.network, "network", input_shape=(SIDE, SIDE, 1))
    return network, build(settings.loss, "loss"), build(settings.optimizer, "optimizer")


def bare(settings: config.Config, data: Images, steps: int, compiled: bool = False) -> Steps:
    """The network's passes and the optimizer alone, on one batch; compiled: by XLA."""
    import tensorflow as tf

    network, _, optimizer = parts(settings)
    optimizer.build(network.trainable_variables)
    batch = tf.constant(data.images[: settings.batches.size], tf.float32)
    slope = tf.constant(np.random.default_rng(0).normal(size=network.output_shape[1]), tf.float32)

    @tf.function(jit_compile=compiled)
    def step() -> None:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(tf.cast(network(batch, training=True), tf.float32) * slope)
        optimizer.apply(tape.gradient(value, network.trainable_variables), network.trainable_variables)

    return lambda: per_step(step, steps)


def whole(settings: config.Config, data: Images, steps: int) -> Steps:
    """The stage's loop, logging into a local store."""
    rng = np.random.default_rng(0)
    two_of_each = slice(None, None, OF_CLASS // 2)
    loop = stage_loop(settings, Images(data.images[two_of_each], data.labels[two_of_each]))
    return lambda: loop(data, np.stack([balanced(settings.batches, rng) for _ in range(steps)]).astype(np.int32))


def article(settings: config.Config, data: Images, steps: int) -> Steps:
    """A plain port of the article's loop: the tensor of all differences, and a map over the anchors of the batch."""
    import tensorflow as tf

    network, _, optimizer = parts(settings)
    optimizer.build(network.trainable_variables)
    margin, size = settings.loss["margin"], settings.batches.size
    rng = np.random.default_rng(0)

    def of_anchor(row: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        distances, same, itself = row
        positive = tf.boolean_mask(distances, tf.logical_and(same, tf.logical_not(itself)))
        negative = tf.boolean_mask(distances, tf.logical_not(same))
        return tf.nn.relu(tf.reduce_max(positive) - tf.reduce_min(negative) + margin)

    @tf.function
    def step(batch: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            embeddings = network(tf.cast(batch, tf.float32), training=True)
            differences = embeddings[:, None] - embeddings[None]
            distances = tf.sqrt(tf.reduce_sum(tf.square(differences), axis=-1) + 1e-12)
            rows = (distances, labels[:, None] == labels[None], tf.eye(size, dtype=tf.bool))
            value = tf.reduce_mean(tf.map_fn(of_anchor, rows, fn_output_signature=tf.float32))
        optimizer.apply(tape.gradient(value, network.trainable_variables), network.trainable_variables)
        return value

    def one() -> None:
        rows = balanced(settings.batches, rng)
        step(data.images[rows], data.labels[rows]).numpy()

    return lambda: per_step(one, steps)


def balanced(batches: Any, rng: np.random.Generator) -> np.ndarray:
    """Rows of a P×K batch: int64 `[P·K]`."""
    classes = rng.permutation(CLASSES)[: batches.classes_per_batch]
    drawn = [rng.choice(OF_CLASS, batches.samples_per_class, replace=False) for _ in classes]
    return np.concatenate([OF_CLASS * one + rows for one, rows in zip(classes, drawn, strict=True)])


def per_step(step: Callable[[], Any], steps: int) -> float:
    """Seconds for a step."""
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - began) / steps


if __name__ == "__main__":
    main()
