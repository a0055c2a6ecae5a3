"""What one system's queries find: among the others of their view, and among the training images."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from stages import config
from stages.embedded import Split
from stages.evaluate import retrieval
from stages.evaluate.retrieval import Retrieved
from stages.ranking import index, ranks, recall
from stages.ranking.recall import Recall


@dataclass(frozen=True)
class Queries:
    """Which rows of a view look for their neighbours.

    Attributes:
        split: the view.
        rows: int64 `[Q]`, ascending: those that look among the others, and that the training images vote for.
        looked_up: int64, ascending: those that look among the training images.
    """

    split: Split
    rows: np.ndarray
    looked_up: np.ndarray

    @classmethod
    def of(cls, split: Split, settings: config.Evaluate, seed: int) -> "Queries":
        """All rows, or as many as the settings say, drawn by the seed."""
        count = len(split.labels)
        order = np.random.default_rng([seed, 6]).permutation(count)
        rows = np.arange(count)
        if settings.queries is not None and settings.queries < count:
            rows = np.sort(np.random.default_rng([seed, 13]).choice(count, settings.queries, replace=False))
        return cls(split, rows, np.sort(order[: settings.gallery_queries]))

    @property
    def labels(self) -> np.ndarray:
        """Of the rows, int32 `[Q]`."""
        return self._of_rows(self.split.labels)

    @property
    def available(self) -> int:
        """How many rows of the view have another of their label."""
        return int((ranks.same_label_counts(self.split.labels, self.split.labels) > 1).sum())

    def vectors(self, system: str) -> np.ndarray:
        """Of the rows, `[Q, D]`."""
        return self._of_rows(self.split.systems()[system])

    def _of_rows(self, array: np.ndarray) -> np.ndarray:
        return array if len(self.rows) == len(array) else array[self.rows]


@dataclass(frozen=True)
class Found:
    """What the queries of a view find.

    Attributes:
        ranked: by the rows, among the others of the view.
        looked_up: by `looked_up`, among the training images; its queries are places in `looked_up`.
        voted: the vote for the rows; its queries are places in `rows`.
        nearest: int32 `[Q]`, the label of each row's nearest other, of equally near ones the first; empty if there is
            none, or nobody asks.
        recalls: of each search by an approximate index; empty where the search is exact.
    """

    ranked: Retrieved
    looked_up: Retrieved
    voted: Retrieved
    nearest: np.ndarray
    recalls: dict[str, Recall]


def find(
    queries: Mapping[str, Queries],
    train: Split,
    system: str,
    settings: config.Evaluate,
    seed: int,
    with_nearest: bool,
) -> dict[str, Found]:
    """Let the queries of each view look for their neighbours. No index outlives the searches in it.

    Args:
        queries: by view.
        train: the training images.
        system: by whose vectors.
        settings: what to measure, and by which index.
        seed: of samples and draws.
        with_nearest: whether the nearest others are asked for.
    """
    among = {view: _among_others(asked, system, settings, seed, with_nearest) for view, asked in queries.items()}
    looked = _in_training(queries, train, system, settings, seed)
    return {
        view: Found(
            among[view].ranked, *looked[view].retrieved, among[view].nearest, among[view].recalls | looked[view].recalls
        )
        for view in queries
    }


@dataclass
class _Searches:
    """Searches in one gallery, each by as much of its index as it takes.

    Attributes:
        build: gives the index; None: searches are to be exact.
        gallery: None: the queries are the gallery.
        recalls: what was found in each, unless they are to be exact.
    """

    build: Callable[[], index.Index] | None
    gallery: np.ndarray | None
    settings: config.Evaluate
    seed: int
    recalls: dict[str, Recall] = field(default_factory=dict)

    def tuned(self, name: str, queries: np.ndarray, rows: np.ndarray, depth: int) -> index.Index | None:
        """What these rows of the queries are to be searched by. What it finds is noted under the search's name."""
        if self.build is None:
            return None
        wanted = self.settings.index_recall
        tuned, self.recalls[name] = recall.tuned(self.build, queries, self.gallery, rows, depth, wanted, self.seed)
        return tuned


@dataclass(frozen=True)
class _Others:
    ranked: Retrieved
    nearest: np.ndarray
    recalls: dict[str, Recall]


@dataclass(frozen=True)
class _Training:
    retrieved: tuple[Retrieved, Retrieved]
    recalls: dict[str, Recall] = field(default_factory=dict)


def _among_others(asked: Queries, system: str, settings: config.Evaluate, seed: int, with_nearest: bool) -> _Others:
    vectors, labels, rows = asked.split.systems()[system], asked.split.labels, asked.rows
    same = ranks.same_label_counts(asked.labels, labels) - 1
    depth = ranks.depth_for(same, max(settings.recall_at), len(labels) - 1)
    searches = _Searches(_index(settings.index, vectors), None, settings, seed)
    tuned = searches.tuned("leave_one_out", vectors, rows[same > 0], depth)
    ranked = retrieval.leave_one_out(vectors, labels, settings.recall_at, rows, tuned)
    nearest = labels[:0]
    if with_nearest and len(labels) > 1:
        tuned = searches.tuned("nearest", vectors, rows, 1)
        items, _ = retrieval.nearest(vectors, vectors, 1, itself=True, rows=rows, index=tuned)
        nearest = labels[items[:, 0]]
    return _Others(ranked, nearest, searches.recalls)


def _in_training(
    queries: Mapping[str, Queries], train: Split, system: str, settings: config.Evaluate, seed: int
) -> dict[str, _Training]:
    gallery, labels, ks = train.systems()[system], train.labels, settings.recall_at
    build = _index(settings.index, gallery)
    found = {}
    for view, asked in queries.items():
        searches = _Searches(build, gallery, settings, seed)
        vectors, own = asked.split.systems()[system][asked.looked_up], asked.split.labels[asked.looked_up]
        same = ranks.same_label_counts(own, labels)
        depth = ranks.depth_for(same, max(ks), len(labels))
        tuned = searches.tuned("in_training", vectors, np.flatnonzero(same), depth)
        looked_up = retrieval.in_gallery(vectors, own, gallery, labels, ks, tuned)
        vectors, own = asked.vectors(system), asked.labels
        known = np.flatnonzero(ranks.same_label_counts(own, labels))
        tuned = searches.tuned("votes", vectors, known, settings.knn)
        voted = retrieval.knn_correct(vectors, own, gallery, labels, settings.knn, seed, tuned)
        found[view] = _Training((looked_up, voted), searches.recalls)
    return found


def _index(kind: Literal["exact", "hnsw", "ivf"], gallery: np.ndarray) -> Callable[[], index.Index] | None:
    """What gives the index, made when it is first asked for; None: searches are to be exact."""
    return None if kind == "exact" else functools.cache(functools.partial(index.build, kind, gallery))
