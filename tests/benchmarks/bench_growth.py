"""How cost grows: time and memory of each loss against B, and of all retrieval measures against N, with their slopes.

`python -m tests.benchmarks.bench_growth` measures on 2 threads, beside PyTorch Metric Learning (about 10 minutes on 2
cores), prints the slopes and writes `.bench/growth.json` and `.bench/growth.png`. `--draw FILE` makes the picture of
such figures again.

Both libraries take turns at each size, in a process each; memory is that of one step in a fresh process. A curve ends
before a step that would take longer than `--seconds`, or more memory than is free, if it goes on growing as it did.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import growth_picture, machine, peak_memory, turns
from tests.benchmarks.growing import Contender, grow
from tests.benchmarks.growth import Curve, Growth, table
from tests.benchmarks.loss_cases import Case
from tests.benchmarks.peer import Peer, of_evaluate, of_loss

THREADS, DIMENSIONS, SAMPLES = 2, 128, 8
BATCHES = [2**power for power in range(6, 16)]
ITEMS = [1000 * 2**power for power in range(8)]
OF_CLASS = 100  # images of a class that evaluate ranks
KS = [1, 2, 4, 8]
MINED, GIVEN = ("hard", "semi_hard", "batch_all"), ("contrastive", "triplet", "siamese")
LEAST_WEIGHED = (2048, 128)  # rows, of which a loss that takes them as given, and one that mines, is seen in memory
EVALUATE_LONGER = 8  # evaluate is run once where a loss is run at each step, so may take so many times as long


def main() -> None:
    options = _options()
    if options.draw:
        growth = Growth.load(options.draw)
    else:
        growth = measured(options.seconds, options.largest_batch, options.largest_items)
        growth.save(options.figures)
    print(table(growth))
    growth_picture.draw(options.picture, growth)
    print(f"picture: {options.picture}")


def measured(seconds: float, largest_batch: int, largest_items: int) -> Growth:
    """All curves, with steps of at most about so many seconds."""
    # Here, for TensorFlow takes seconds to import, and redrawing needs none of it.
    from tests.benchmarks import peer_environment
    from tests.benchmarks.loss_steps import set_up

    set_up()
    with Peer(peer_environment.python()) as peer:
        batches = [size for size in BATCHES if size <= largest_batch]
        curves: list[Curve] = []
        for name in (*MINED, *GIVEN):
            curves += grow(_of_loss(name, batches, peer), batches, seconds)
        items = [size for size in ITEMS if size <= largest_items]
        curves += grow(_of_evaluate(items, peer), items, EVALUATE_LONGER * seconds)
        versions = peer.versions()
    facts = [machine.described("tensorflow", "keras", "faiss-cpu"), f"{THREADS} threads"]
    shown = [curve for curve in curves if curve.points]
    if not any(curve.peer for curve in shown):
        versions = []
        print("no figures of PyTorch Metric Learning: its lines are left out", file=sys.stderr)
    what = (
        f"D = {DIMENSIONS}. Losses: {SAMPLES} rows of a class; semi-hard there takes all negatives of a band. "
        f"Retrieval: {OF_CLASS} images of a class; ten measures here, recall@1, R-precision and MAP@R there."
    )
    return Growth(", ".join(facts), ", ".join(versions), what, tuple(shown))


def _of_loss(name: str, batches: Sequence[int], peer: Peer) -> list[Contender]:
    from tests.benchmarks.loss_steps import small_step_and_step, traced_step

    def case(batch: int) -> Case:
        # Explicit triplets take a multiple of three.
        return Case(name, batch - batch % 3 if name == "triplet" else batch, DIMENSIONS, SAMPLES)

    weighed = [size for size in batches if size >= LEAST_WEIGHED[name in MINED]]
    ours = Contender(
        *("loss", name, False),
        lambda batch: turns.repeated(traced_step(case(batch), "ours")),
        lambda batch: peak_memory.extra(small_step_and_step, case(batch), "ours"),
        weighed[::-2],  # the peer's curves are shorter
    )
    beside = Contender(
        *("loss", name, True),
        lambda batch: peer.burst(of_loss(case(batch))),
        lambda batch: peer.gigabytes(of_loss(case(batch))),
        weighed,
    )
    return [ours, beside] if name in MINED else [ours]


def _of_evaluate(items: Sequence[int], peer: Peer) -> list[Contender]:
    def asked(size: int) -> dict[str, Any]:
        return of_evaluate(size, DIMENSIONS, size // OF_CLASS)

    ours = Contender(
        *("evaluate", "evaluate", False),
        lambda size: turns.repeated(evaluate_step(size)),
        lambda size: peak_memory.extra(small_evaluate_and_evaluate, size),
        items,
    )
    beside = Contender(
        *("evaluate", "evaluate", True),
        lambda size: peer.burst(asked(size)),
        lambda size: peer.gigabytes(asked(size)),
        items,
    )
    return [ours, beside]


def evaluate_step(items: int) -> Callable[[], Any]:
    """All retrieval measures of so many points, `OF_CLASS` in each class."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from stages.evaluate import retrieval
    from tests.benchmarks.clusters import clustered

    points, labels = clustered(items, DIMENSIONS, items // OF_CLASS)

    def step() -> None:
        with threadpool_limits(THREADS):
            retrieval.leave_one_out(points, labels, KS)

    return step


def small_evaluate_and_evaluate(items: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """For a fresh process: a small step, to warm up, and the step to measure."""
    import faiss  # noqa: F401  (which takes memory itself, and only a larger step imports)

    return evaluate_step(1000), evaluate_step(items)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=Path(".bench/growth.png"), help="default: %(default)s")
    parser.add_argument("--figures", type=Path, default=Path(".bench/growth.json"), help="default: %(default)s")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="draw these figures, measure nothing")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a step, at most (default: %(default)s)")
    parser.add_argument("--largest-batch", type=int, default=BATCHES[-1], help="default: %(default)s")
    parser.add_argument("--largest-items", type=int, default=ITEMS[-1], help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    main()
