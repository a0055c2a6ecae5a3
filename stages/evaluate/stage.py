"""The evaluate stage: embeddings and images in, metrics, threshold, curves and figures out."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from stages import config, store, tracking
from stages.embedded import SPLITS, load_split
from stages.errors import UserError
from stages.evaluate import figures
from stages.evaluate.report import Report, measure
from stages.evaluate.table import SYSTEMS, headline


def run(evaluate: config.Evaluate, paths: config.Paths, seed: int) -> None:
    """Measure raw pixels, the untrained and the trained network on test and validation."""
    began = time.perf_counter()
    splits = {name: load_split(paths, name) for name in SPLITS}
    head = load_head(Path(paths.embeddings) / "head.npy", splits["test"].trained.shape[1])
    report = measure(splits, evaluate, seed, head)
    plotted = write(report, evaluate, paths)
    settings = dict(config.flatten({"evaluate": evaluate.model_dump()}))
    with tracking.continued(Path(paths.model) / "run.json", settings=settings) as tracked:
        tracked.metrics(named_for_tracking(report.metrics))
        for file in plotted:
            tracked.artifact(file, "plots")
        tracked.artifact(Path(paths.metrics) / "threshold.json", "metrics")
    print(f"measured {headline(report.metrics)} ({time.perf_counter() - began:.1f} s)")


def load_head(path: Path, embedding_dim: int) -> np.ndarray | None:
    """The weights of the head, float32 `[D + 1]`; None where the trained network has none.

    Raises:
        UserError: malformed, of other embeddings, or not finite.
    """
    if not path.is_file():
        return None
    head = store.load_array(path, np.float32, 1)
    if len(head) != embedding_dim + 1 or not np.isfinite(head).all():
        finite = "finite" if np.isfinite(head).all() else "partly NaN or infinite"
        raise UserError(
            f"{path}: found {len(head)} numbers, {finite}; expected {embedding_dim + 1} finite ones, a weight for each "
            "dimension and a bias (run `dvc repro embed`)"
        )
    return head


def write(report: Report, evaluate: config.Evaluate, paths: config.Paths) -> list[Path]:
    """Write every output of the stage; returns the curves and figures."""
    metrics, plots = Path(paths.metrics), Path(paths.plots)
    files = [plots / name for name in ("roc.csv", "roc.png", "recall_at_k.csv", "recall_at_k.png")]
    test, counts = report.metrics["test"], report.metrics["counts"]["test"]
    whole = counts["roc_pairs"] == counts["roc_pairs_available"]
    compared = f"all {counts['roc_pairs']:,} pairs" if whole else f"{counts['roc_pairs']:,} sampled pairs"
    store.save_json(metrics / "evaluate.json", report.metrics)
    store.save_json(metrics / "threshold.json", report.threshold)
    store.save_text(files[0], figures.roc_csv(report.curves))
    by_head = "\ntrained network by its head" if report.threshold["scored_by"] == "head" else ""
    title = f"Verification on test: {compared} of {counts['items']:,} images{by_head}"
    figures.draw_roc(files[1], report.curves, title)
    store.save_text(files[2], figures.recall_csv(test, evaluate.recall_at))
    figures.draw_recall(
        files[3], test, evaluate.recall_at, f"Retrieval on test: {counts['queries']:,} queries, leave-one-out"
    )
    return files


def named_for_tracking(metrics: dict[str, Any]) -> dict[str, float]:
    """`test/recall_at_1` for the trained network, `test/raw/recall_at_1` for another; undefined ones left out."""
    return {
        f"{split}/{name}" if system == "trained" else f"{split}/{system}/{name}": value
        for split, systems in metrics.items()
        if split != "counts"
        for system in SYSTEMS
        for name, value in systems[system].items()
        if value is not None
    }
