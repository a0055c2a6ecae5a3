"""A job that trains nothing: it writes what a job leaves, with figures that follow from its settings.

Called as `stages.sweep.job` is. A margin of 9 fails.
"""

import json
import sys
from pathlib import Path

import numpy as np
import yaml


def main(folder: Path) -> None:
    settings = yaml.safe_load((folder / "params.yaml").read_text())
    paths = {name: Path(path) for name, path in settings["paths"].items()}
    margin, dim, seed = settings["loss"]["margin"], settings["network"]["embedding_dim"], settings["seed"]
    if margin == 9:
        sys.exit("train: training diverged")
    for name in ("model", "embeddings", "metrics", "measures"):
        paths[name].mkdir(parents=True, exist_ok=True)
    score = 1 - abs(margin - 0.4) - 1 / dim + seed / 1000
    measures = {"map_at_r": score, "recall_at_1": 1 - score / 2, "verification_accuracy": 0.5, "eer": 1 - score}
    metrics = {view: {"trained": measures} for view in ("validation", "test")}
    (paths["metrics"] / "evaluate.json").write_text(json.dumps(metrics))
    (paths["model"] / "training.json").write_text(json.dumps({"train_seconds": 10.0 + dim, "parameters": 100 * dim}))
    np.save(paths["embeddings"] / "test_embeddings.npy", np.zeros((3, dim), np.float32))
    print("computed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
