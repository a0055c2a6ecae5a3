"""Jobs of a sweep as its records tell of them, with figures made up."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from stages.sweep.records import FAILED, FINISHED, Record

MARGINS, SIZES = ("loss.margin", [0.1, 0.2, 0.5]), ("network.embedding_dim", [2, 16])


def job(number: int, overrides: Sequence[str], score: float | None = 0.5, **known: Any) -> Record:
    """A job with this MAP@R on validation, 0.01 less on test; one that failed where it is None."""
    if score is None:
        return Record(number, list(overrides), f"key {number}", FAILED, error="loss.margin: found -1, expected more")
    given = {"key": f"key {number}", "embedding_dim": 8, "parameters": 800, "train_seconds": 10.0 + number}
    metrics = {"validation": {"trained": measures(score)}, "test": {"trained": measures(score - 0.01)}, "counts": {}}
    return Record(number, list(overrides), status=FINISHED, **{**given, "metrics": metrics, **known})


def measures(map_at_r: float) -> dict[str, Any]:
    """As in `evaluate.json`, from one figure: recall@1 is between it and 1, the EER what it lacks."""
    return {
        "recall_at_1": round((1 + map_at_r) / 2, 6),
        "recall_at_4": 1.0,
        "map_at_r": round(map_at_r, 6),
        "verification_accuracy": round(map_at_r, 6),
        "verification_accuracy_sd": 0.02,
        "eer": round(1 - map_at_r, 6),
        "val_at_far_1e-3": None,
        "interval": {"map_at_r": {"low": 0.0, "high": 1.0}},
        "macro": {"map_at_r": round(map_at_r / 2, 6)},
    }


def jobs(scores: Mapping[Any, float | None], *names: str) -> list[Record]:
    """A job for each of the values of the named settings."""
    found = []
    for number, (values, score) in enumerate(scores.items()):
        overrides = [f"{name}={value}" for name, value in zip(names, values, strict=True)]
        sized = dict(zip(names, values, strict=True)).get("network.embedding_dim", 8)
        found.append(job(number, overrides, score, **({} if score is None else {"embedding_dim": sized})))
    return found


def grid(*axes: tuple[str, Sequence[Any]], lost: Sequence[int] = ()) -> list[Record]:
    """A job for each combination of the axes, the later the better; those of the numbers `lost` failed."""
    values = list(itertools.product(*(values for _, values in axes)))
    scores = {at: None if i in lost else 0.9 + 0.09 * i / len(values) for i, at in enumerate(values)}
    return jobs(scores, *(name for name, _ in axes))
