"""Learning rates over the steps, as Keras schedules."""

from collections.abc import Callable

import keras

Rate = Callable[[int], float]
"""The learning rate of a step, counted from 0."""


def by_step(optimizer: keras.optimizers.Optimizer) -> Rate:
    """What an optimizer's rate is, to be asked between epochs and used until the next: within one JAX has it elsewhere.

    It costs nothing until it is called: a schedule is a dozen small operations, which are no part of a step.
    """
    schedule = getattr(optimizer, "_learning_rate", None)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return lambda step: float(keras.ops.convert_to_numpy(schedule(step)))
    constant = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    return lambda _: constant


def warmup_cosine(peak: float, warmup: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear from 0 to `peak`, then half a cosine down to 0 at the last step (Loshchilov, Hutter 2017).

    Args:
        peak: the largest rate.
        warmup: share of the steps on the way up, from 0 to below 1.
        steps: steps of the training.

    Raises:
        ValueError: `warmup` out of range, a peak that is not positive, or no steps.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1. Received: {steps}")
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup must be a share of the steps, at least 0 and below 1. Received: {warmup}")
    if peak <= 0:
        raise ValueError(f"peak must be above 0. Received: {peak}")
    climb = round(warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if climb else peak,
        warmup_target=peak if climb else None,
        warmup_steps=climb,
        decay_steps=max(steps - climb, 1),
    )
