"""Whether the digits' result stands out of its noise: the default configuration with three seeds.

Each seed draws its own split of training and validation, batches, weights and augmentation; the test images stay.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from stages import config

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("prepare", "batches", "train", "embed", "evaluate")
SEEDS = (0, 1, 2)
MEASURES = ("recall_at_1", "map_at_r", "verification_accuracy")


def main() -> None:
    found = {seed: measure(seed) for seed in SEEDS}
    print(f"{'digits, test':<20}" + "".join(f"{name:>34}" for name in MEASURES))
    for system in ("raw", "untrained", "trained"):
        cells = []
        for name in MEASURES:
            values = [found[seed][system][name] for seed in SEEDS]
            cells.append(f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} (least {min(values):.4f})")
        print(f"{system:<20}" + "".join(f"{cell:>34}" for cell in cells))


def measure(seed: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        overrides = [f"seed={seed}", f"data.path={ROOT / 'data/digits'}"]
        (Path(folder) / "params.yaml").write_text(config.compose(overrides), encoding="utf-8")
        environment = os.environ | {"DVC_ROOT": folder, "PYTHONPATH": str(ROOT)}
        environment.pop("MLFLOW_TRACKING_URI", None)
        for stage in STAGES:
            subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=environment, check=True)
        return json.loads((Path(folder) / "metrics/evaluate.json").read_text(encoding="utf-8"))["test"]


if __name__ == "__main__":
    main()
