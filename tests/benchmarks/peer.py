"""PyTorch Metric Learning in a process of its own, which is asked for figures one at a time."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from tests.benchmarks.loss_cases import Case
from tests.benchmarks.turns import Burst

ROOT = Path(__file__).resolve().parents[2]


def of_loss(case: Case) -> dict[str, Any]:
    """What to ask for: a step of a loss, forward and backward."""
    return {"work": "loss", **{key: getattr(case, key) for key in ("loss", "batch", "dimensions", "samples")}}


def of_evaluate(items: int, dimensions: int, classes: int) -> dict[str, Any]:
    """What to ask for: recall@1, R-precision and MAP@R of `clusters.clustered` points."""
    return {"work": "evaluate", "items": items, "dimensions": dimensions, "classes": classes}


class Peer:
    """Answers None where there is no such figure: memory did not suffice, or the process cannot run.

    Args:
        interpreter: of its environment; None: there is none, and all figures are missing.
    """

    def __init__(self, interpreter: Path | None) -> None:
        self._interpreter = interpreter
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed with this)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process:
            self._process.communicate()  # it ends where nothing more is asked
        self._errors.close()

    def versions(self) -> list[str]:
        """Of its packages; none if it cannot run."""
        return self._answer({"ask": "versions"}) or []

    def burst(self, work: dict[str, Any]) -> Burst | None:
        """Timed repetitions of a work; NaN where it failed."""
        if self._interpreter is None:
            return None
        return lambda budget: self._answer({"ask": "times", "budget": budget, **work}) or [float("nan")]

    def gigabytes(self, work: dict[str, Any]) -> float | None:
        """What a step adds to the memory of a fresh process, at its peak."""
        return self._answer({"ask": "gigabytes", **work})

    def _answer(self, question: dict[str, Any]) -> Any:
        if self._interpreter is None:
            return None
        if self._process is None:
            command = [str(self._interpreter), "-m", "tests.benchmarks.peer_pytorch_metric_learning"]
            pipe = subprocess.PIPE
            self._errors.truncate(0)
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True, cwd=ROOT)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        # Gone, as where memory runs out. The next question starts another.
        status = self._process.wait()
        self._process = None
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines() or [f"exit status {status}"]
        print(f"no figure of PyTorch Metric Learning for {question}: {said[-1]}", file=sys.stderr, flush=True)
        return None
