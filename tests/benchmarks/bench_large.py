"""Leave-one-out retrieval in a large gallery, sampled queries, by each index: time, memory, what it finds.

`python -m tests.benchmarks.bench_large` takes 5 million × 128 and the better part of an hour on two cores;
`--items 200000` some minutes.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.evaluate import retrieval
from stages.ranking import index, recall
from stages.ranking.recall import Recall
from tests.benchmarks import peak_memory

DIMENSIONS = 128
A_CLASS = 50  # items
QUERIES = 10_000
KS = [1, 2, 4, 8]
ALLOWED = 12.0  # gigabytes, the file's pages that are read included
LEAST_FOUND = {"exact": 1.0, "ivf": 0.95, "hnsw": 0.95}  # as is the default of evaluate.index_recall
OTHERS = 0.03  # may be missing of it, for an index is tuned by other queries than it is measured by
ROUNDING = 0.001  # MAP@R may be away from the exact one by the share that was not found, and this
BLOCK = 2**16  # items made at once


def main() -> None:
    parser = argparse.ArgumentParser(description="Retrieval in a large gallery by each index.")
    parser.add_argument("--items", type=int, default=5_000_000)
    parser.add_argument("--index", nargs="+", choices=list(LEAST_FOUND), default=list(LEAST_FOUND))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        _write_clustered(Path(folder), options.items)
        print(f"{options.items:,} × {DIMENSIONS}, made in {time.perf_counter() - began:.0f} s", flush=True)
        for kind in options.index:
            _report(kind, Path(folder))


def _write_clustered(folder: Path, items: int) -> None:
    """Unit vectors around class centres, 50 in each class, a block at a time."""
    rng = np.random.default_rng(0)
    classes = max(1, items // A_CLASS)
    labels = rng.permutation(np.arange(items, dtype=np.int32) % classes)
    centres = rng.normal(size=(classes, DIMENSIONS)).astype(np.float32)
    points = np.lib.format.open_memmap(folder / "points.npy", "w+", np.float32, (items, DIMENSIONS))
    for begin in range(0, items, BLOCK):
        part = slice(begin, begin + BLOCK)
        block = centres[labels[part]] + rng.normal(size=(len(labels[part]), DIMENSIONS)).astype(np.float32)
        points[part] = block / np.linalg.norm(block, axis=1, keepdims=True)
    points.flush()
    np.save(folder / "labels.npy", labels)


def _report(kind: str, folder: Path) -> None:
    gigabytes = peak_memory.extra(_measured, folder, kind)
    if gigabytes is None:
        print(f"{kind}: killed, MISSED")
        return
    result = json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))
    print(f"{kind}: built in {result['build']:.0f} s, tuned in {result['tune']:.0f} s", end=", ")
    print(f"searched in {result['search']:.0f} s", end="; ")
    print(f"recall@1 {result['recall_at_1']:.4f}, MAP@R {result['map_at_r']:.4f}")
    if kind != "exact":
        _judge(result, folder / "exact.json", LEAST_FOUND[kind])
    print(f"  peak {gigabytes:.2f} GB above start, {ALLOWED:.0f} allowed: {_verdict(gigabytes <= ALLOWED)}", flush=True)


def _judge(result: dict[str, Any], exact: Path, wanted: float) -> None:
    """What an index found, and how far MAP@R is from the exact one, if that was measured before it."""
    if result["effort"] is None:
        print(f"  not used: found {result['refused'] or 0.0:.4f} of the {result['depth']} nearest, {wanted} asked")
        return
    found = f"of the {result['depth']} nearest found {result['at_depth']:.4f}, of the nearest {result['at_1']:.4f}"
    print(f"  {found}, {wanted} asked: {_verdict(result['at_depth'] >= wanted - OTHERS)} (effort {result['effort']})")
    if not exact.exists():
        print("  MAP@R not judged: --index exact gives what it is to be near")
        return
    away = abs(result["map_at_r"] - json.loads(exact.read_text(encoding="utf-8"))["map_at_r"])
    allowed = 1 - result["at_depth"] + ROUNDING
    print(f"  MAP@R {away:.4f} from exact, {allowed:.4f} allowed: {_verdict(away <= allowed)}")


def _verdict(met: bool) -> str:
    return "ok" if met else "MISSED"


def _measured(folder: Path, kind: Literal["exact", "hnsw", "ivf"]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A small run, and the one to measure, which leaves its figures beside the data."""
    points, labels = np.load(folder / "points.npy", mmap_mode="r"), np.load(folder / "labels.npy")

    def measured() -> None:
        (folder / f"{kind}.json").write_text(json.dumps(_searched(points, labels, kind)), encoding="utf-8")

    return lambda: _searched(points[:20_000], labels[:20_000] % 400, kind), measured


def _searched(points: np.ndarray, labels: np.ndarray, kind: Literal["exact", "hnsw", "ivf"]) -> dict[str, float | None]:
    rows = np.sort(np.random.default_rng(0).choice(len(labels), min(QUERIES, len(labels)), replace=False))
    depth = max(*KS, int(np.bincount(labels)[labels[rows]].max()) - 1)
    began = time.perf_counter()
    if kind == "exact":
        ready, tuned, recalled = began, None, Recall.of_all(depth, len(rows))
    else:
        built = index.build(kind, points)
        ready = time.perf_counter()
        tuned, recalled = recall.tuned(lambda: built, points, None, rows, depth, LEAST_FOUND[kind], seed=0)
    searching = time.perf_counter()
    found = retrieval.leave_one_out(points, labels, KS, rows, tuned)
    ended = time.perf_counter()
    means = retrieval.means(found)
    return {
        "build": ready - began,
        "tune": searching - ready,
        "search": ended - searching,
        **{name: means[name] for name in ("recall_at_1", "map_at_r")},
        **recalled.as_dict(),
    }


if __name__ == "__main__":
    main()
