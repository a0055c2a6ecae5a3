"""The rows of `bench_losses`: shapes of batches, and what is wanted of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        loss: `"hard"`, `"semi_hard"` or `"batch_all"`; where neither plain formulas nor a peer are timed also
            `"contrastive"`, `"triplet"` or `"siamese"`.
        batch: B, rows.
        dimensions: D.
        samples: K, rows a class.
        unknown: B is not known when the step is traced.
        plain: time the plain formulas too, where `plain_needs_gb` of memory are free.
        memory: measure the peak.
        peer: time PyTorch Metric Learning too.
        faster: wanted, at least, of plain's time over ours.
        within_gb: wanted, less than this in extra memory.
    """

    loss: str
    batch: int
    dimensions: int = 128
    samples: int = 8
    unknown: bool = False
    plain: bool = True
    plain_needs_gb: float = 0.0
    memory: bool = False
    peer: bool = False
    faster: float | None = None
    within_gb: float | None = None


def verdict(case: Case, ratio: float | None, gigabytes: float | None) -> str:
    """Each target of the row with ok or MISSED; "not measured" where memory did not suffice."""
    judged = []
    if case.faster is not None:
        told = "not measured" if ratio is None else "ok" if ratio >= case.faster else "MISSED"
        judged.append(f"≥ {case.faster:g}×: {told}")
    if case.within_gb is not None:
        told = "not measured" if gigabytes is None else "ok" if gigabytes < case.within_gb else "MISSED"
        judged.append(f"< {case.within_gb:g} GB: {told}")
    return ", ".join(judged)


def _of_80(loss: str) -> list[Case]:
    return [
        Case(loss, 80, dimensions=4, peer=True, faster=1),
        Case(loss, 80, dimensions=32, peer=True, faster=1),
        Case(loss, 80, peer=True, faster=1),
        Case(loss, 80, unknown=True, faster=1),
    ]


CASES = {
    "hard": [
        *_of_80("hard"),
        Case("hard", 128, peer=True),
        Case("hard", 1024, peer=True, memory=True),
        Case("hard", 4096, peer=True, memory=True, faster=5, within_gb=0.15),
        Case("hard", 32768, plain=False, memory=True, within_gb=1),
    ],
    "semi_hard": [
        *_of_80("semi_hard"),
        Case("semi_hard", 512, peer=True, memory=True, faster=80),
        Case("semi_hard", 4096, plain=False, memory=True),
        Case("semi_hard", 8192, plain=False, memory=True, within_gb=2),
        Case("semi_hard", 8192, samples=64, plain=False, memory=True, within_gb=2),
    ],
    "batch_all": [
        *_of_80("batch_all"),
        Case("batch_all", 256, peer=True, memory=True, faster=5),
        Case("batch_all", 512, peer=True, memory=True),
        Case("batch_all", 1024, peer=True, memory=True, plain_needs_gb=16, faster=40),
        Case("batch_all", 4096, plain=False, memory=True, within_gb=2),
    ],
}
"""By loss, in the order in which they are printed."""
