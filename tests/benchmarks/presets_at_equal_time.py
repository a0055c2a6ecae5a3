"""The presets side by side, each trained for as many steps as take equally long: the README's table.

python -m tests.benchmarks.presets_at_equal_time [--data-path data/mnist] [--seconds 180] [--only NAME …] [--times FILE]

It takes the better part of an hour, so `make bench` leaves it out. The steps are timed first, one preset after the
other, on a machine that should have nothing else to do, as the median of 40, so that validation, saving and the first
step, which builds the graph, are not counted; how long the trainings then take changes none of their figures.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from stages import config, store
from tests.repository import copy_of_repository, run

PRESETS = (
    "mnist",
    "semi_hard_tutorial",
    "batch_hard_article",
    "batch_all",
    "contrastive",
    "explicit_triplets",
    "random_triplets",
    "triplet_resnet50",
    "siamese_resnet50",
)
EPOCHS = 10
MEASURES = {
    "recall_at_1": "recall@1",
    "map_at_r": "MAP@R",
    "verification_accuracy": "verification",
    "val_at_far_1e-3": "VAL@FAR=1e-3",
}


def main() -> None:
    """Time a step of each preset, train each for equally long, print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-path", type=Path, default=Path("data/mnist"), help="folder of the MNIST CSV files")
    parser.add_argument("--seconds", type=float, default=180, help="of training for each (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PRESETS, default=PRESETS, help="these presets alone")
    parser.add_argument("--times", type=Path, help="JSON with ms a step: read if it is there, else written")
    options = parser.parse_args()
    data = f"data.path={options.data_path.resolve()}"
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_repository(Path(folder))
        times = store.load_json(options.times) if options.times and options.times.exists() else {}
        for name in options.only:
            if name not in times:
                times[name] = step_ms(copy, name, data)
            print(f"{name:20} {times[name]:6.1f} ms a step", flush=True)
        if options.times:
            store.save_json(options.times, times)
        print("\n| `experiment=`", "ms a step", "steps", *MEASURES.values(), sep=" | ", end=" |\n")
        print("|---" * (3 + len(MEASURES)), end="|\n", flush=True)
        for name in options.only:
            epoch = max(2, round(1000 * options.seconds / times[name] / EPOCHS))
            systems = trained(copy, name, data, epoch)
            print(row(f"`{name}`", systems["trained"], f"{times[name]:.0f}", f"{EPOCHS * epoch:,}"), flush=True)
        print(row("raw pixels", systems["raw"]))


def step_ms(copy: Path, name: str, data: str) -> float:
    """Milliseconds a step of the preset, median of 40 after 40 others."""
    paths = run_stages(copy, name, data, 40, 2, "prepare", "batches", "train")
    return store.load_json(copy / paths.model / "training.json")["step_ms"]


def trained(copy: Path, name: str, data: str, epoch: int) -> dict[str, Any]:
    """The measures of each system on test, after `EPOCHS` epochs of as many steps."""
    paths = run_stages(copy, name, data, epoch, EPOCHS, "prepare", "batches", "train", "embed", "evaluate")
    return store.load_json(copy / paths.metrics / "evaluate.json")["test"]


def run_stages(copy: Path, name: str, data: str, epoch: int, epochs: int, *stages: str) -> config.Paths:
    """Run stages of the preset; returns where they write."""
    length = (f"train.steps={epochs * epoch}", f"train.steps_per_epoch={epoch}")
    composed = config.compose([f"experiment={name}", data, *length])
    (copy / "params.yaml").write_text(composed, encoding="utf-8")
    for stage in stages:
        run(copy, "python", "-m", f"stages.{stage}")
    return config.parse(composed, name).paths


def row(title: str, measures: dict[str, Any], *cells: str) -> str:
    """A row in Markdown with the figures of one system."""
    time, steps = cells or ("", "")
    return " | ".join([f"| {title}", time, steps, *(f"{measures[name]:.4f}" for name in MEASURES)]) + " |"


if __name__ == "__main__":
    main()
