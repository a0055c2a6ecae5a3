"""The vote of the k nearest, of which the smallest label wins a tie, as in scikit-learn's `KNeighborsClassifier`.

Neighbours that tie in distance at the k-th place are drawn at random, and a class wins with its probability.
"""

from collections.abc import Iterator

import numpy as np

from stages.ranking.index import Index
from stages.ranking.neighbours import Neighbours, up_to_ties
from stages.ranking.placed import place

EXACT = 100_000  # classes × draws² up to which a draw's probabilities are exact: 0.1 s of convolutions
DRAWS = 2_000  # beyond
ENTRIES = 2**22  # queries × classes at once


def own_label_wins(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    neighbours: int,
    seed: int,
    index: Index | None = None,
) -> np.ndarray:
    """Probability, float64 `[Q]`, that the vote gives each query its own label: 0 or 1 where no tie decides.

    Args:
        queries: `[Q, D]`, finite numbers of any scale that float32 can hold.
        query_labels: int `[Q]`, each of them in the gallery.
        gallery: `[N, D]`.
        gallery_labels: int `[N]`.
        neighbours: how many vote, at most N.
        seed: of the draws, where there are too many classes for exact probabilities.
        index: of the gallery, where the nearest of what it proposes vote; None: of all.

    Raises:
        ValueError: more neighbours than the gallery has, or a number is NaN or infinite.
    """
    classes, codes = np.unique(gallery_labels, return_inverse=True)
    own = np.searchsorted(classes, query_labels)
    wins = np.empty(len(queries))
    drawn: dict[bytes, np.ndarray] = {}  # equal queries have equal draws
    for block in up_to_ties(place(queries, gallery), np.arange(len(queries)), neighbours, index):
        for chosen, sure, tied in _votes(block, codes, len(classes)):
            wins[chosen] = (sure + tied).argmax(axis=1) == own[chosen]
            for row in np.flatnonzero((sure + tied).sum(axis=1) > neighbours):
                present = np.flatnonzero(sure[row] + tied[row])  # of very many classes, few
                votes, ties = sure[row, present], tied[row, present]
                case = np.stack([present, votes, ties]).tobytes()
                if case not in drawn:
                    drawn[case] = win_probabilities(votes, ties, neighbours - int(votes.sum()), seed)
                wins[chosen[row]] = drawn[case][present == own[chosen[row]]].sum()
    return wins


def win_probabilities(sure: np.ndarray, tied: np.ndarray, slots: int, seed: int) -> np.ndarray:
    """Probability, float64 `[C]`, that each class has the most votes; of equally many, the first class wins.

    Exact up to rounding, or over 2,000 seeded draws where that would take too long.

    Args:
        sure: int `[C]`, votes that each class has.
        tied: int `[C]`, members of each class, of all of which `slots` are drawn without replacement to vote too.
        slots: from 1 to the sum of `tied`.
        seed: of the draws.

    >>> win_probabilities(np.array([1, 0, 0]), np.array([0, 1, 3]), 2, seed=0).round(6)
    array([0.5, 0. , 0.5])
    """
    present = np.flatnonzero(sure + tied)
    few = len(present) * slots**2 <= EXACT
    won = _exact(sure[present], tied[present], slots) if few else _drawn(sure[present], tied[present], slots, seed)
    probabilities = np.zeros(len(sure))
    probabilities[present] = won
    return probabilities


def _votes(block: Neighbours, codes: np.ndarray, classes: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Some queries, and how many of their neighbours nearer than the last, and as far as it, each class has."""
    size = max(1, ENTRIES // classes)
    for begin in range(0, len(block.queries), size):
        chosen = block.queries[begin : begin + size]
        part = slice(*np.searchsorted(block.rows, [begin, begin + size]))
        last = block.last[part]
        places = (block.rows[part] - begin) * classes + codes[block.items[part]]
        sure, tied = (
            np.bincount(places[which], minlength=len(chosen) * classes).reshape(-1, classes) for which in (~last, last)
        )
        yield chosen, sure, tied


def _exact(sure: np.ndarray, tied: np.ndarray, slots: int) -> np.ndarray:
    """Drawn numbers of a hypergeometric law are binomial ones, class by class, given that their sum is `slots`."""
    from scipy.stats import binom

    share = slots / tied.sum()
    drawn = binom.pmf(np.arange(slots + 1), tied[:, None], share)
    index = np.arange(slots + 1)
    won = np.zeros(len(sure))
    for votes in range(sure.max(), sure.max() + slots + 1):  # of the winner
        fewer = np.where(index < votes - sure[:, None], drawn, 0.0)
        at_most = np.where(index <= votes - sure[:, None], drawn, 0.0)
        before, after = _products(fewer), _products(at_most[::-1])[::-1]
        for winner in np.flatnonzero(votes - sure <= slots):
            own = votes - sure[winner]
            others = before[winner, : slots - own + 1] @ after[winner, slots - own :: -1]
            won[winner] += drawn[winner, own] * others
    return won / binom.pmf(slots, tied.sum(), share)


def _products(factors: np.ndarray) -> np.ndarray:
    """For each polynomial the product of those before it; float64 `[C, degree + 1]`, cut at the degree."""
    products = np.zeros_like(factors)
    products[0, 0] = 1.0
    for i in range(1, len(factors)):
        products[i] = np.convolve(products[i - 1], factors[i - 1])[: factors.shape[1]]
    return products


def _drawn(sure: np.ndarray, tied: np.ndarray, slots: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 3])
    ends = np.cumsum(tied)
    won = np.zeros(len(sure))
    for _ in range(DRAWS):
        members = rng.choice(ends[-1], slots, replace=False, shuffle=False)
        votes = sure + np.bincount(np.searchsorted(ends, members, side="right"), minlength=len(sure))
        won[votes.argmax()] += 1
    return won / DRAWS
