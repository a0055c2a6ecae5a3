"""Trainings that lead nowhere: numbers that are none, and embeddings that have become one point."""

import math
from collections.abc import Callable
from typing import Any

from stages.errors import UserError
from stages.train.checkpoint import Row

POINT = 0.002
"""Hardest negatives nearer than this share of the embeddings' length are at the same point. Batch-hard on the digits
comes down to 0.006 and recovers with 4 numbers; with 2 it stays below 0.001."""

PATIENCE = 100
"""Steps at a point after which none is taken to lead out of it."""


def check_finite(row: Row, step: int, rate: Callable[[], float], before: Row | None, loss: Any) -> None:
    """Refuse figures of a step that are NaN or infinite.

    Args:
        row: the figures of the step.
        step: its number, counted from 1.
        rate: gives its learning rate.
        before: the figures of the step before; None where there is none.
        loss: for advice.

    Raises:
        UserError: the training diverged.
    """
    if all(map(math.isfinite, row.values())):
        return
    earlier = f" ({before['step_loss']:.3g} one step before)" if before else ""
    raise UserError(
        f"training diverged at step {step:,}: found loss {row['step_loss']:.3g}{earlier}, mean length of the "
        f"embeddings {row['norm']:.3g}, learning rate {rate():.3g}; expected finite numbers; {advice(loss)}"
    )


def is_at_a_point(row: Row, loss: Any, rows: int) -> bool:
    """Whether the embeddings of a step are one point, and the loss is what it is there.

    In a point all distances are 0, and hardly any gradient leads out of it. The loss says by `collapsed` what it is
    there; of one that does not say, or says None, nothing is known.

    Args:
        row: the figures of the step.
        loss: what is trained by.
        rows: of the batch.
    """
    plateau = _cost_of_a_point(loss, rows)
    if plateau is None or not row["step_loss"] > 0.9 * plateau > 0:
        return False
    match getattr(loss, "distance_metric", "L2"):
        case "L2":
            apart = row["hardest_negative"] / max(row["norm"], 1e-30)
        case "squared-L2":
            apart = math.sqrt(max(row["hardest_negative"], 0.0)) / max(row["norm"], 1e-30)
        case "angular":  # 1 - cos α is half the square of the distance on the unit sphere
            apart = math.sqrt(2 * max(row["hardest_negative"], 0.0))
        case _:
            return False
    return apart < POINT


def _cost_of_a_point(loss: Any, rows: int) -> float | None:
    """What a batch costs whose embeddings are one point: of a sum, as often as it has anchors, pairs or triplets."""
    each: float | None = getattr(loss, "collapsed", None)
    if each is None or getattr(loss, "reduction", None) != "sum":
        return each
    return each * (rows // getattr(loss, "group", 1))


def check_collapse(steps_at_a_point: int, row: Row, step: int, rate: Callable[[], float], loss: Any, rows: int) -> None:
    """Refuse to go on where embeddings have been one point for `PATIENCE` steps.

    Raises:
        UserError: the embedding collapsed.
    """
    if steps_at_a_point < PATIENCE:
        return
    raise UserError(
        f"the embedding collapsed to a point, seen at step {step:,}: for {PATIENCE} steps found the loss at what a "
        f"point costs, {_cost_of_a_point(loss, rows):.3g} (now {row['step_loss']:.3g}), mean distance to the hardest "
        f"negative {row['hardest_negative']:.2g}, mean length {row['norm']:.3g}, learning rate {rate():.3g}; "
        f"{advice(loss)}, or more numbers an embedding (network.embedding_dim)"
    )


def advice(loss: Any) -> str:
    """What may help."""
    soft = ", loss.soft=true" if getattr(loss, "soft", None) is False else ""
    semi_hard = ", loss=semi_hard, which is kinder at the beginning" if soft else ""
    warm_up = "a longer warm-up (optimizer=adam_cosine, optimizer.learning_rate.warmup)"
    return f"try a lower learning rate (optimizer.learning_rate, or its peak), {warm_up}{soft}{semi_hard}"
