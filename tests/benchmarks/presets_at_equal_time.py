"""The presets side by side, each trained for as many steps as take equally long: the README's table.

python -m tests.benchmarks.presets_at_equal_time [--data-path data/mnist] [--seconds 180] [--only NAME …]

It takes the better part of an hour, so `make bench` leaves it out. The steps are timed first, one preset after the
other, on a machine that should have nothing else to do; how long the trainings then take changes none of their figures.
"""

import argparse
import tempfile
from pathlib import Path

from stages import config, store
from stages.sweep import records
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
    options = parser.parse_args()
    data = f"data.path={options.data_path.resolve()}"
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_repository(Path(folder))
        times = {}
        for name in options.only:
            times[name] = step_ms(copy, name, data)
            print(f"{name:20} {times[name]:6.1f} ms a step", flush=True)
        print("\n| `experiment=`", "ms a step", "steps", *MEASURES.values(), sep=" | ", end=" |\n")
        print("|---" * (3 + len(MEASURES)), end="|\n", flush=True)
        for name in options.only:
            epoch = max(2, round(1000 * options.seconds / times[name] / EPOCHS))
            record = trained(copy, name, data, epoch)
            print(row(f"`{name}`", "trained", record, f"{times[name]:.1f}", f"{EPOCHS * epoch:,}"), flush=True)
        print(row("raw pixels", "raw", record))


def step_ms(copy: Path, name: str, data: str) -> float:
    """Milliseconds a step of the preset, median of 40 after 40 others."""
    composed = config.compose([f"experiment={name}", data, "train.steps=80", "train.steps_per_epoch=40"])
    (copy / "params.yaml").write_text(composed, encoding="utf-8")
    for stage in ("prepare", "batches", "train"):
        run(copy, "python", "-m", f"stages.{stage}")
    return store.load_json(copy / config.parse(composed, name).paths.model / "training.json")["step_ms"]


def trained(copy: Path, name: str, data: str, epoch: int) -> records.Record:
    """The preset, trained for `EPOCHS` epochs of as many steps and evaluated."""
    length = (f"train.steps={EPOCHS * epoch}", f"train.steps_per_epoch={epoch}")
    place = f"multirun/{name}"
    run(copy, "python", "-m", "stages.sweep", "-m", f"experiment={name}", data, *length, f"hydra.sweep.dir={place}")
    (record,) = records.load_all(copy / place)
    return record


def row(title: str, system: str, record: records.Record, time: str = "", steps: str = "") -> str:
    """A row in Markdown with the figures of one system on test."""
    measures = record.metrics["test"][system]
    return " | ".join([f"| {title}", time, steps, *(f"{measures[name]:.4f}" for name in MEASURES)]) + " |"


if __name__ == "__main__":
    main()
