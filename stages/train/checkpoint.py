"""The state of a training on disk, so that one that was cut off goes on from its last saved step."""

import hashlib
import io
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
from stages.train import processes
from stages.train.learner import Learner

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

    def save(self, model: Learner, best: list[np.ndarray], progress: Progress) -> None:
        """Write the model's and optimizer's variables, seed generators included, the best weights and the progress.

        Raises:
            FloatingPointError: a variable of the model that is NaN or infinite; the states on disk stay as they are.
        """
        arrays = {f"variable_{i:04}": np.asarray(variable) for i, variable in enumerate(_variables(model))}
        if not all(np.isfinite(arrays[f"variable_{i:04}"]).all() for i in range(len(model.changing))):
            raise FloatingPointError(f"weights are NaN or infinite after step {progress.step:,}")
        arrays |= {f"best_{i:04}": weight for i, weight in enumerate(best)}
        path = self.folder / f"step_{progress.step:010}.npz"
        with store.replacing(path) as temporary, temporary.open("wb") as file:
            content = {"progress": asdict(progress), "arrays": len(arrays)}
            np.savez(file, allow_pickle=False, content=np.array(json.dumps(content)), **arrays)
        # Beside older ones, what a process left that was killed while it wrote one: only one at a time trains here.
        for old in (*self.files[KEPT:], *self.folder.glob(".step_*")):
            old.unlink()

    def restore(self, model: Learner) -> tuple[Progress, list[np.ndarray]] | None:
        """Bring the model to the newest saved state that is whole; None where there is none.

        Of several processes, all take up what process 0 finds.
        """
        found = processes.from_the_first(self._newest(len(_variables(model))))
        if found is None:
            return None
        progress, arrays = _read(found, len(_variables(model)))
        for i, variable in enumerate(_variables(model)):
            variable.assign(arrays[f"variable_{i:04}"])
        return progress, [arrays[name] for name in sorted(arrays) if name.startswith("best_")]

    def _newest(self, variables: int) -> bytes | None:
        for path in self.files if processes.here().writes else []:
            try:
                found = path.read_bytes()
                progress, _ = _read(found, variables)
            except Exception:  # there is nothing that would not be raised on bytes that are no archive
                print(f"{path} is damaged and is not used", flush=True)
                continue
            print(f"going on after step {progress.step:,}, from {path}", flush=True)
            return found
        return None

    def remove(self) -> None:
        """Forget it: what the training made is safe."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(content: bytes, variables: int) -> tuple[Progress, dict[str, np.ndarray]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    told = json.loads(str(arrays.pop("content")))
    progress = Progress(**told["progress"])
    if len(arrays) != told["arrays"] or not all(f"variable_{i:04}" in arrays for i in range(variables)):
        raise ValueError("damaged where it says what is in it")
    return progress, arrays


def _variables(model: Learner) -> list[keras.Variable]:
    return [*model.changing, *model.optimizer.variables]
