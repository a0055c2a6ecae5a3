"""The retrieval measures of `MEASURES.md`: a value for each query of a ranking, at its expectation over ties.

With k beyond the gallery, the k nearest are all there are.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from stages.ranking.ranks import Ranking


def means(rankings: Iterable[Ranking], **measures: Callable[[Ranking], np.ndarray]) -> dict[str, float] | None:
    """Means over all queries, by name; None if there is no query. Of a block only its queries' values are kept.

    Args:
        rankings: taken once, block by block.
        measures: each gives float64 `[q]` of a block, as those below do.

    >>> from stages.ranking import leave_one_out
    >>> rankings = leave_one_out(np.array([[0.0], [1.0], [5.0], [7.0]]), np.array([0, 0, 1, 1]))
    >>> means(rankings, map_at_r=average_precisions)
    {'map_at_r': 1.0}
    """

    def measured(ranking: Ranking) -> tuple[np.ndarray, list[np.ndarray]]:
        return ranking.queries, [measure(ranking) for measure in measures.values()]

    found = list(map(measured, rankings))  # a loop's variable would hold a block while the next one is made
    if not found:
        return None
    order = np.argsort(np.concatenate([queries for queries, _ in found]))
    columns = zip(*(values for _, values in found), strict=True)
    return {name: float(np.mean(np.concatenate(column)[order])) for name, column in zip(measures, columns, strict=True)}


def names(ks: Sequence[int]) -> list[str]:
    """Of all measures; precision@1 is recall@1 and has no name of its own."""
    precision = [f"precision_at_{k}" for k in ks if k > 1]
    return [*(f"recall_at_{k}" for k in ks), *precision, "r_precision", "map_at_r", "mrr"]


def each(ranking: Ranking, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """All measures by name, float64 `[q]` each."""
    recalls = [hits(ranking, k) for k in ks]
    precision = [precisions(ranking, k) for k in ks if k > 1]
    rest = [r_precisions(ranking), average_precisions(ranking), reciprocal_ranks(ranking)]
    return dict(zip(names(ks), [*recalls, *precision, *rest], strict=True))


def hits(ranking: Ranking, k: int) -> np.ndarray:
    """Probability, float64 `[q]`, that a same-label item is among the k nearest: 0 or 1 unless a tie straddles rank k.

    Raises:
        ValueError: k is less than 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1. Received: k={k}")
    slots = np.clip(k - ranking.nearer, 0, ranking.tied)
    # None of `slots` draws without replacement hits: C(tied - relevant, slots) / C(tied, slots), factor by factor.
    missed = np.ones(len(slots))
    for drawn in range(slots.max(initial=0)):
        factor = np.maximum(ranking.tied - ranking.tied_relevant - drawn, 0) / np.maximum(ranking.tied - drawn, 1)
        missed *= np.where(drawn < slots, factor, 1.0)
    return 1.0 - missed


def precisions(ranking: Ranking, k: int) -> np.ndarray:
    """Share of same-label items among the k nearest, float64 `[q]`.

    Raises:
        ValueError: k is less than 1, or larger than the depth that was ranked.
    """
    depth = ranking.relevant.shape[1]
    if k < 1 or k > depth < ranking.candidates:
        raise ValueError(f"k must be between 1 and the depth of the ranking. Received: k={k}, depth={depth}")
    return _precisions(ranking, np.full(len(ranking.queries), min(k, ranking.candidates)))


def r_precisions(ranking: Ranking) -> np.ndarray:
    """Precision at R(q), float64 `[q]`.

    Raises:
        ValueError: R(q) is larger than the depth that was ranked.
    """
    _check_depth(ranking)
    return _precisions(ranking, ranking.same)


def average_precisions(ranking: Ranking) -> np.ndarray:
    """(1/R) Σ_{i=1..R} P(i)·rel(i), float64 `[q]`, whose mean is MAP@R (Musgrave et al. 2020).

    Rank s + j, in a group of g ties of which r are relevant, after s items of which c are relevant, contributes
    r/g · (c + 1 + (j - 1)(r - 1)/(g - 1)) / (s + j): it is relevant with probability r/g, and then so is each of the
    j - 1 ranks before it in the group with probability (r - 1)/(g - 1).

    Raises:
        ValueError: R(q) is larger than the depth that was ranked.
    """
    _check_depth(ranking)
    start, size, before, relevant = ranking.groups
    index = np.arange(start.shape[1])
    others = (index - start) * (relevant - 1) / np.maximum(size - 1, 1)
    terms = relevant / size * (before + 1 + others) / (index + 1)
    return np.where(index < ranking.same[:, None], terms, 0.0).sum(axis=1) / ranking.same


def reciprocal_ranks(ranking: Ranking) -> np.ndarray:
    """1/rank of the nearest same-label item, float64 `[q]`.

    Of g ties of which r are relevant, after s nearer items, the first relevant one is the j-th with probability
    C(g - j, r - 1) / C(g, r): r/g for j = 1, and each next one (g - j - r + 1)/(g - j) times that.
    """
    values = 1.0 / (ranking.nearer + 1)
    straddled = np.flatnonzero(ranking.tied > ranking.tied_relevant)
    cases = np.stack([ranking.nearer, ranking.tied, ranking.tied_relevant], axis=1)[straddled]
    distinct, which = np.unique(cases, axis=0, return_inverse=True)
    values[straddled] = np.array([_reciprocal_rank(*case) for case in distinct.tolist()])[which.ravel()]
    return values


def _precisions(ranking: Ranking, ks: np.ndarray) -> np.ndarray:
    start, size, before, relevant = (
        np.take_along_axis(column, ks[:, None] - 1, axis=1)[:, 0] for column in ranking.groups
    )
    return (before + (ks - start) * relevant / size) / ks


def _check_depth(ranking: Ranking) -> None:
    depth, deepest = ranking.relevant.shape[1], int(ranking.same.max(initial=0))
    if deepest > depth:
        raise ValueError(f"the ranking must be as deep as the largest R(q). Received: R(q)={deepest}, depth={depth}")


def _reciprocal_rank(nearer: int, tied: int, relevant: int) -> float:
    later = np.arange(1, tied - relevant + 1)
    factors = np.concatenate([[relevant / tied], (tied - later - relevant + 1) / (tied - later)])
    return float((np.cumprod(factors) / (nearer + 1 + np.arange(len(factors)))).sum())
