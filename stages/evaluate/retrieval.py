"""How well an embedding retrieves: all of `MEASURES.md`, per query, as means, macro, by class and with intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stages import progress
from stages.ranking import chance as random_order
from stages.ranking import measures, ranks, votes
from stages.ranking.index import Index
from stages.ranking.neighbours import nearest

__all__ = [
    "Retrieved",
    "chance",
    "chance_in_gallery",
    "class_means",
    "in_gallery",
    "intervals",
    "knn_chance",
    "knn_correct",
    "leave_one_out",
    "macro_means",
    "means",
    "nearest",
]

COUNTS = 2**22  # of resamples × queries, drawn at once


@dataclass(frozen=True)
class Retrieved:
    """What each query finds.

    Attributes:
        queries: int64 `[Q]`, ascending: the rows that count as queries, for something else has their label.
        values: float64 `[Q]` for each measure, by its name.
        left_out: how many rows do not count.
    """

    queries: np.ndarray
    values: dict[str, np.ndarray]
    left_out: int


def leave_one_out(
    embeddings: np.ndarray,
    labels: np.ndarray,
    ks: Sequence[int],
    rows: np.ndarray | None = None,
    index: Index | None = None,
) -> Retrieved:
    """Each item looks for the others of its label.

    Args:
        embeddings: `[N, D]`, finite numbers of any scale that float32 can hold.
        labels: int `[N]`.
        ks: for `recall_at_<k>` and, where k > 1, `precision_at_<k>`.
        rows: int `[Q]`, ascending: which items are queries; None: all.
        index: of the embeddings, to rank what it proposes; None: all are ranked.

    Returns:
        These, `r_precision`, `map_at_r` and `mrr` of each query, ties at their expectation.

    Raises:
        ValueError: a number is NaN or infinite.

    >>> found = leave_one_out(np.array([[0.0], [1.0], [2.5], [3.0]]), np.array([0, 0, 1, 0]), ks=[1])
    >>> found.queries.tolist(), found.values["mrr"].tolist(), found.left_out
    ([0, 1, 3], [1.0, 1.0, 0.5], 1)
    """
    rankings = ranks.leave_one_out(embeddings, labels, max(ks, default=1), rows, index)
    return _retrieved(rankings, len(labels) if rows is None else len(rows), ks)


def in_gallery(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    ks: Sequence[int],
    index: Index | None = None,
) -> Retrieved:
    """Each query looks for its label in a gallery that it is not part of. Otherwise as `leave_one_out`."""
    rankings = ranks.in_gallery(queries, query_labels, gallery, gallery_labels, max(ks, default=1), index)
    return _retrieved(rankings, len(query_labels), ks)


def chance(
    labels: np.ndarray, ks: Sequence[int], *, macro: bool = False, rows: np.ndarray | None = None
) -> dict[str, float | None]:
    """The means of `leave_one_out`, or its macro means, for a random order: exact, from the class counts."""
    return random_order.leave_one_out(labels, ks, macro=macro, rows=rows)


def chance_in_gallery(
    query_labels: np.ndarray, gallery_labels: np.ndarray, ks: Sequence[int]
) -> dict[str, float | None]:
    """The means of `in_gallery` for a random order: exact, from the class counts."""
    return random_order.in_gallery(query_labels, gallery_labels, ks)


def knn_correct(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    neighbours: int,
    seed: int,
    index: Index | None = None,
) -> Retrieved:
    """Whether the nearest in the gallery vote for the query's label, as in scikit-learn's `KNeighborsClassifier`.

    The smallest label wins a tied vote. Neighbours that tie in distance at the last place count at their expectation.

    Args:
        queries: `[Q, D]`, finite numbers of any scale that float32 can hold.
        query_labels: int `[Q]`; queries whose label the gallery lacks are left out.
        gallery: `[N, D]`.
        gallery_labels: int `[N]`.
        neighbours: how many vote, at most N.
        seed: of the draws that stand for the expectation where very many classes tie.
        index: of the gallery, where the nearest of what it proposes vote; None: of all.

    Returns:
        `knn_accuracy` of each query.

    Raises:
        ValueError: more neighbours than the gallery has, or a number is NaN or infinite.
    """
    kept = np.flatnonzero(ranks.same_label_counts(query_labels, gallery_labels))
    known = queries if len(kept) == len(queries) else queries[kept]
    wins = votes.own_label_wins(known, query_labels[kept], gallery, gallery_labels, neighbours, seed, index)
    return Retrieved(kept, {"knn_accuracy": wins}, len(query_labels) - len(kept))


def knn_chance(
    query_labels: np.ndarray,
    gallery_labels: np.ndarray,
    neighbours: int,
    seed: int,
    sizes: np.ndarray | None = None,
) -> float | None:
    """The mean of `knn_correct` for a random order, or with the sizes its macro mean; None where no query is left."""
    classes, counts = np.unique(gallery_labels, return_counts=True)
    known = np.isin(query_labels, classes)
    if not known.any():
        return None
    wins = votes.win_probabilities(np.zeros_like(counts), counts, neighbours, seed)
    weights = None if sizes is None else 1.0 / sizes[known]
    return float(np.average(wins[np.searchsorted(classes, query_labels[known])], weights=weights))


def means(found: Retrieved) -> dict[str, float | None]:
    """Of each measure over all queries; None where no query is left."""
    return {name: float(values.mean()) if len(values) else None for name, values in found.values.items()}


def macro_means(found: Retrieved, sizes: np.ndarray) -> dict[str, float | None]:
    """Of each measure the mean over classes of the class's mean; None where no query is left.

    A query weighs one by the size of its class. Of a sample of queries that is an estimate over all classes; the mean
    over those that happen to be in the sample would be one over large classes.

    Args:
        found: of any of the above.
        sizes: int, for each row of which `found.queries` are some, how many rows of its class could be queries.
    """
    if not len(found.queries):
        return dict.fromkeys(found.values)
    weights = 1.0 / sizes[found.queries]
    return {name: float(np.average(values, weights=weights)) for name, values in found.values.items()}


def class_means(found: Retrieved, labels: np.ndarray) -> dict[int, dict[str, float]]:
    """By label the mean of each measure, and under `queries` the number of queries.

    Args:
        found: of any of the above.
        labels: int, of all rows of which `found.queries` are some.
    """
    classes, codes, counts = np.unique(labels[found.queries], return_inverse=True, return_counts=True)
    by_class = {name: np.bincount(codes, values) / counts for name, values in found.values.items()}
    return {
        int(label): {"queries": int(counts[i]), **{name: float(values[i]) for name, values in by_class.items()}}
        for i, label in enumerate(classes)
    }


def intervals(found: Retrieved, resamples: int, seed: int) -> dict[str, tuple[float, float] | None]:
    """95 % percentile bootstrap of the means, over queries; None where no query is left.

    Args:
        found: of any of the above.
        resamples: how many times as many queries are drawn with replacement.
        seed: of the draws, which are the same for all measures and for all that have as many queries.
    """
    queries = len(found.queries)
    if not queries:
        return dict.fromkeys(found.values)
    values = np.stack(list(found.values.values()), axis=1)
    rng = np.random.default_rng([seed, 12])
    size = max(1, COUNTS // queries)
    drawn = [_resampled(values, min(size, resamples - begin), rng) for begin in range(0, resamples, size)]
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(found.values)}


def _retrieved(rankings: Iterator[ranks.Ranking], rows: int, ks: Sequence[int]) -> Retrieved:
    found, values = [], []
    with progress.bar("rank", total=rows, unit="queries") as bar:
        for ranking in rankings:
            found.append(ranking.queries)
            values.append(measures.each(ranking, ks))
            bar.update(len(ranking.queries))
    queries = np.concatenate(found) if found else np.zeros(0, np.int64)
    order = np.argsort(queries)
    joined = {
        name: np.concatenate([np.zeros(0), *(part[name] for part in values)])[order] for name in measures.names(ks)
    }
    return Retrieved(queries[order], joined, rows - len(queries))


def _resampled(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means, float64 `[resamples, measures]`, of as many values `[Q, measures]`, drawn with replacement."""
    queries = len(values)
    drawn = rng.integers(queries, size=(resamples, queries))
    drawn += queries * np.arange(resamples)[:, None]
    times = np.bincount(drawn.ravel(), minlength=resamples * queries).reshape(resamples, queries)
    return times @ values / queries
