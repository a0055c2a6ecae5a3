"""The state of a training on disk, so that one that was cut off goes on from its last saved step."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stages import store

Row = dict[str, float]

KEPT = 2
"""States on disk: should the newest be damaged, there is the one before."""


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        step: finished steps.
        rows: figures of the finished steps of the epoch that is under way.
        history: one row for each finished epoch.
        best: the validation measures by which the kept weights were chosen, most important first.
        best_epoch: the epoch, counted from 1, that had them.
        at_a_point: for how many steps in a row the embeddings have been one point, as `health` judges.
        seconds: that the finished steps took, with the validation of the finished epochs.
        step_ms: milliseconds from one step's end to the next one's, median of the latest epoch; 0 before there are two.
    """

    step: int = 0
    rows: list[Row] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    best_epoch: int = 0
    at_a_point: int = 0
    seconds: float = field(default=0.0, compare=False)
    step_ms: float = field(default=0.0, compare=False)

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)


@dataclass(frozen=True)
class Checkpoint:
    """A folder named by all that the training depends on, so that no other training takes up what is in it.

    Its files are `step_<step>.npz`. Each array in one has a checksum, the CRC-32 of the ZIP format.
    """

    folder: Path

    @classmethod
    def of(cls, folder: str | Path, settings: Mapping[str, Any], files: list[Path]) -> "Checkpoint":
        """The checkpoint of the training with these settings (as JSON can hold them) on these files."""
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for path in files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return cls(Path(folder) / digest.hexdigest()[:16])

    @classmethod
    def named(cls, folder: str | Path, name: Any) -> "Checkpoint | None":
        """The checkpoint of that name, which comes from a file; None if it cannot be one."""
        return cls(Path(folder) / name) if isinstance(name, str) and re.fullmatch("[0-9a-f]{16}", name) else None

    @property
    def files(self) -> list[Path]:
        """Saved states, the newest first."""
        return sorted(self.folder.glob("step_*.npz"), reverse=True)

    def save(self, model: keras.Model, best: list[np.ndarray], progress: Progress) -> None:
        """Write the model's and optimizer's variables, seed generators included, the best weights and the progress.

        Raises:
            FloatingPointError: a variable of the model that is NaN or infinite; the states on disk stay as they are.
        """
        arrays = {f"variable_{i:04}": np.asarray(variable) for i, variable in enumerate(_variables(model))}
        if not all(np.isfinite(arrays[f"variable_{i:04}"]).all() for i in range(len(model.variables))):
            raise FloatingPointError(f"weights are NaN or infinite after step {progress.step:,}")
        arrays |= {f"best_{i:04}": weight for i, weight in enumerate(best)}
        path = self.folder / f"step_{progress.step:010}.npz"
        with store.replacing(path) as temporary, temporary.open("wb") as file:
            content = {"progress": asdict(progress), "arrays": len(arrays)}
            np.savez(file, allow_pickle=False, content=np.array(json.dumps(content)), **arrays)
        # Beside older ones, what a process left that was killed while it wrote one: only one at a time trains here.
        for old in (*self.files[KEPT:], *self.folder.glob(".step_*")):
            old.unlink()

    def restore(self, model: keras.Model) -> tuple[Progress, list[np.ndarray]] | None:
        """Bring the model to the newest saved state that is whole; None where there is none."""
        for path in self.files:
            try:
                # Opened here: NumPy leaves a damaged archive open that it opened itself.
                with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                    arrays = {name: archive[name] for name in archive.files}
                content = json.loads(str(arrays.pop("content")))
                progress = Progress(**content["progress"])
                if len(arrays) != content["arrays"]:
                    raise ValueError("damaged where it says what is in it")
                state = [arrays[f"variable_{i:04}"] for i in range(len(_variables(model)))]
            except Exception:  # there is nothing that would not be raised on bytes that are no archive
                print(f"{path} is damaged and is not used", flush=True)
                continue
            for variable, value in zip(_variables(model), state, strict=True):
                variable.assign(value)
            print(f"going on after step {progress.step:,}, from {path}", flush=True)
            return progress, [arrays[name] for name in sorted(arrays) if name.startswith("best_")]
        return None

    def remove(self) -> None:
        """Forget it: what the training made is safe."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
