"""What the measures give on average for a random order of the gallery: for a ranking in which all of it ties."""

from collections.abc import Sequence

import numpy as np

from stages.ranking.measures import each, names
from stages.ranking.ranks import Ranking, same_label_counts


def leave_one_out(
    labels: np.ndarray, ks: Sequence[int], *, macro: bool = False, rows: np.ndarray | None = None
) -> dict[str, float | None]:
    """Mean over queries of `measures.each` for a random order of all others, exact; None if there is no query.

    With `macro` each query weighs one by the size of its class. With `rows` of those queries alone.

    >>> leave_one_out(np.array([0, 0, 0, 1, 2]), [1])["recall_at_1"]
    0.5
    """
    sizes = same_label_counts(labels if rows is None else labels[rows], labels)
    return _means(sizes - 1, len(labels) - 1, ks, 1.0 / sizes if macro else None)


def in_gallery(query_labels: np.ndarray, gallery_labels: np.ndarray, ks: Sequence[int]) -> dict[str, float | None]:
    """The same for a random order of the gallery."""
    return _means(same_label_counts(query_labels, gallery_labels), len(gallery_labels), ks)


def _means(
    same: np.ndarray, candidates: int, ks: Sequence[int], weights: np.ndarray | None = None
) -> dict[str, float | None]:
    # One ranking for each R(q): there are few, though classes may be many.
    kept = same > 0
    distinct, places = np.unique(same[kept], return_inverse=True)
    if not len(distinct):
        return dict.fromkeys(names(ks))
    found = [each(_all_tied(count, candidates, max(ks, default=1)), ks) for count in distinct.tolist()]
    queries = np.bincount(places, None if weights is None else weights[kept])
    return {name: float(np.average([row[name][0] for row in found], weights=queries)) for name in names(ks)}


def _all_tied(same: int, candidates: int, at_least: int) -> Ranking:
    depth = min(max(same, at_least), candidates)
    index = np.arange(depth)[None]
    return Ranking(
        queries=np.array([0]),
        relevant=index < same,
        starts=index == 0,
        beyond=np.array([candidates - depth]),
        beyond_relevant=np.array([0]),
        nearer=np.array([0]),
        tied=np.array([candidates]),
        tied_relevant=np.array([same]),
        same=np.array([same]),
        candidates=candidates,
    )
