"""The state of a training on disk, so that one that was cut off goes on from its last epoch."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stages import store

Row = dict[str, float]


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch: finished epochs.
        history: one row for each of them.
        best: the validation measures by which the kept weights were chosen, most important first.
        best_epoch: the epoch, counted from 1, that had them.
        seconds: that the finished epochs took, with their validation.
        step_ms: milliseconds from one step's end to the next one's, median of the latest epoch; 0 before there are two.
    """

    epoch: int = 0
    history: list[Row] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = field(default=0.0, compare=False)
    step_ms: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Checkpoint:
    """One file under a folder named by all that the training depends on, so that no other training takes it up."""

    path: Path

    @classmethod
    def of(cls, folder: str | Path, settings: Mapping[str, Any], files: list[Path]) -> "Checkpoint":
        """The checkpoint of the training with these settings (as JSON can hold them) on these files."""
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for path in files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return cls(Path(folder) / digest.hexdigest()[:16] / "training.npz")

    def save(self, model: keras.Model, best: list[np.ndarray], progress: Progress) -> None:
        """Write the model's and optimizer's variables, seed generators included, the best weights and the progress."""
        arrays = {f"variable_{i:04}": np.asarray(variable) for i, variable in enumerate(_variables(model))}
        arrays |= {f"best_{i:04}": weight for i, weight in enumerate(best)}
        with store.replacing(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, progress=np.array(json.dumps(asdict(progress))), **arrays)

    def restore(self, model: keras.Model) -> tuple[Progress, list[np.ndarray]] | None:
        """Bring the model to the saved state; None where there is no whole checkpoint."""
        try:
            # Opened here: NumPy leaves a damaged archive open that it opened itself.
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            progress = Progress(**json.loads(str(arrays["progress"])))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            print(f"{self.path} is damaged and is not used", flush=True)
            return None
        for i, variable in enumerate(_variables(model)):
            variable.assign(arrays[f"variable_{i:04}"])
        return progress, [arrays[name] for name in sorted(arrays) if name.startswith("best_")]

    def remove(self) -> None:
        """Forget it: the training is complete."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
