"""Time and memory of the triplet losses, forward and backward, against plain formulas and a peer.

`python -m tests.benchmarks.bench_losses --only hard,semi_hard`; all three took 10 minutes on two busy cores. 2 threads,
margin 1, random embeddings of length 1, K rows a class. Ours, the plain formulas and the bare product take turns in one
process, so that whatever else the machine does hits all alike: compare ratios, not milliseconds.
"""

import argparse
import math
import statistics

from tests.benchmarks import machine, peak_memory, peer, peer_environment, turns
from tests.benchmarks.loss_cases import CASES, Case, verdict
from tests.benchmarks.loss_steps import set_up, small_step_and_step, traced_step

SECONDS = 3.0  # of repetitions for each row
PEER_SECONDS = 1.5
COLUMNS = {
    "B": 6, "D": 4, "K": 3, "ours ms": 9, "plain ms": 9, "plain/ours": 10, "ours/product": 12, "ours GB": 8,
    "plain GB": 8, "peer ms": 8,
}  # fmt: skip
NOTES = """\
B rows of D numbers, K rows a class; "?": traced with an unknown B, as fit does. plain: from matrices and cubes,
as TensorFlow Addons computed hard and semi-hard; it had no batch-all.
ours/product: as multiples of one product B×D·D×B, forward only. GB: what a step adds to the process's memory.
peer: PyTorch Metric Learning, in a process of its own, so not in turns; its semi-hard means another thing (all
negatives between d⁺ and d⁺ + margin), and its means are over the triplets with a loss above 0."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES), help="of these, separated by commas (default: %(default)s)")
    chosen = parser.parse_args().only.split(",")
    if unknown := sorted(set(chosen) - set(CASES)):
        parser.error(f"--only must be of {', '.join(CASES)}; found {', '.join(unknown)}")
    set_up()
    print(machine.described("tensorflow", "keras"), NOTES, sep="\n")
    with peer.Peer(peer_environment.python()) as beside:
        for name in chosen:
            print_table(name, beside)


def print_table(name: str, beside: peer.Peer) -> None:
    print(f"\n{name}\n" + " ".join(f"{title:>{width}}" for title, width in COLUMNS.items()) + "  targets", flush=True)
    for case in CASES[name]:
        measured = measure(case) | {"peer ms": of_peer(case, beside)}
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
    times = turns.medians({name: traced_step(case, name) for name in [*names, "product"]}, SECONDS)
    figures |= {f"{name} ms": taken * 1e3 for name, taken in times.items()}
    for ratio, above, below in (("plain/ours", "plain", "ours"), ("ours/product", "ours", "product")):
        if above in times and below in times:
            figures[ratio] = times[above] / times[below]
    return figures


def of_peer(case: Case, beside: peer.Peer) -> float | None:
    """Milliseconds."""
    burst = beside.burst(peer.of_loss(case)) if case.peer else None
    if burst is None:
        return None
    burst(0.0)  # prepares it
    milliseconds = 1e3 * statistics.median(burst(PEER_SECONDS))
    return None if math.isnan(milliseconds) else milliseconds


def written(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.2f}" if figure < 100 else f"{figure:.0f}"


if __name__ == "__main__":
    main()
