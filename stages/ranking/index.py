"""Approximate indexes, which propose neighbours without comparing a query with the whole gallery.

Both are FAISS's, and hold the vectors as they are: float32, or a byte a pixel. Their parameters follow from the
gallery's size by FAISS's guidelines (github.com/facebookresearch/faiss/wiki, "Guidelines to choose an index", read in
November 2026), which say for

- `hnsw`, a graph of near ones in layers, 4 to 64 links a vector, at 4·D + 8·links bytes; here 32 links. It is searched
  by a list of the nearest so far, of `efSearch` items, from which comes what is found;
- `ivf`, lists of vectors by their nearest of K centroids, that K is 4·√N to 16·√N for N below a million, with 30·K to
  256·K vectors to train by. Beyond, they want 65,536 centroids and a GPU to train them, which takes hours here: K stays
  4·√N. Of the lists, `nprobe` are searched, those whose centroids are nearest.

How many are searched they leave to what recall is wanted: so the effort is doubled until it is reached, and what it
comes to measured, see `stages.ranking.recall`. Either can find only so many: a query that is given too few is compared
with the whole gallery, see `stages.ranking.search`.

The same vectors make the same index, whatever the number of threads: training and the graph's levels have fixed seeds,
and the FAISS of `requirements.lock` links the graph in an order of its own (earlier ones did not).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from stages import grid, progress

Kind = Literal["hnsw", "ivf"]

LINKS = 32  # of hnsw
LINKED_BY = 40  # candidates among which the links of an item are chosen: efConstruction, FAISS's default
LEAST_SEARCHED = 128  # efSearch is twice what is asked for, or this, times the effort
MOST_SEARCHED = 512  # and of a graph's items one in so many
CENTROIDS = 4  # of ivf, times √N
TRAINED_BY = 40  # vectors a centroid; FAISS warns below 39
LEAST_PROBED = 16  # lists, times the effort
MOST_PROBED = 16  # and of all lists one in so many: a product with the whole gallery takes no longer than more of them
ROOM = 8  # the lists probed hold so many times what is asked for, on average
BLOCK = 2**25  # numbers converted to float32 at once
BYTES = 2**31 // 255**2  # dimensions up to which a square of distances between bytes fits FAISS's int32


@dataclass(frozen=True)
class Index:
    """A gallery, searched approximately.

    Attributes:
        kind: hnsw or ivf.
        built: of FAISS.
        scale: a power of two by which vectors were multiplied, so that no square leaves float32.
        effort: by which the least `efSearch`, of hnsw, or `nprobe`, of ivf, is multiplied.
    """

    kind: Kind
    built: Any
    scale: float
    effort: int = 1

    def propose(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Rows of the gallery that may be among the `count` nearest of each query.

        Args:
            queries: `[q, D]`, in the units of the gallery.
            count: how many.

        Returns:
            int64 `[q, count]`, in any order; -1 where fewer were found.
        """
        faiss = _faiss()
        searched = self.effort * self._least(count)
        if self.kind == "hnsw":
            parameters = faiss.SearchParametersHNSW(efSearch=searched)
        else:
            parameters = faiss.SearchParametersIVF(nprobe=min(searched, self.built.nlist))
        _, items = self.built.search(_float32(queries, self.scale), count, params=parameters)
        return items

    def efforts(self, count: int) -> list[int]:
        """Efforts worth trying for so many proposals, the least first: 1, and its doubles while they may pay."""
        hnsw = self.kind == "hnsw"
        most = self.built.ntotal // MOST_SEARCHED if hnsw else self.built.nlist // MOST_PROBED
        return [2**doubled for doubled in range(max(1, (most // self._least(count)).bit_length()))]

    def _least(self, count: int) -> int:
        if self.kind == "hnsw":
            return max(2 * count, LEAST_SEARCHED)
        return max(LEAST_PROBED, -(-ROOM * count * self.built.nlist // max(1, self.built.ntotal)))


def build(kind: Kind, gallery: np.ndarray) -> Index:
    """Index a gallery.

    Args:
        kind: hnsw or ivf.
        gallery: `[N, D]`, finite numbers of any scale that float32 can hold; N at least 1. Of uint8 a byte is held, of
            others, and of more than 33,000 dimensions, float32.

    Raises:
        ValueError: another kind, or a number is NaN or infinite.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"an index is one of {', '.join(get_args(Kind))}. Received: {kind!r}")
    scale = 1.0 if gallery.dtype == np.uint8 else float(np.ldexp(1.0, -grid.norm_exponent(gallery)))
    built = _graph(gallery) if kind == "hnsw" else _lists(gallery, scale)
    with progress.bar(f"index ({kind})", total=len(gallery), unit="items") as bar:
        for block in _blocks(gallery):
            built.add(_float32(block, scale))
            bar.update(len(block))
    return Index(kind, built, scale)


def _graph(gallery: np.ndarray) -> Any:
    faiss = _faiss()
    dimensions = gallery.shape[1]
    if gallery.dtype == np.uint8 and dimensions <= BYTES:
        graph = faiss.IndexHNSWSQ(dimensions, faiss.ScalarQuantizer.QT_8bit_direct, LINKS)
    else:
        graph = faiss.IndexHNSWFlat(dimensions, LINKS)
    graph.hnsw.efConstruction = LINKED_BY
    return graph


def _lists(gallery: np.ndarray, scale: float) -> Any:
    faiss = _faiss()
    count, dimensions = gallery.shape
    centroids = max(1, min(round(CENTROIDS * count**0.5), count // TRAINED_BY))
    quantizer = faiss.IndexFlatL2(dimensions)
    if gallery.dtype == np.uint8 and dimensions <= BYTES:
        direct = faiss.ScalarQuantizer.QT_8bit_direct
        lists = faiss.IndexIVFScalarQuantizer(quantizer, dimensions, centroids, direct, faiss.METRIC_L2, False)
    else:
        lists = faiss.IndexIVFFlat(quantizer, dimensions, centroids)
    lists.cp.min_points_per_centroid = 1  # of a gallery of a few there are as many as there are
    rows = np.random.default_rng(0).choice(count, min(count, TRAINED_BY * centroids), replace=False)
    lists.train(_float32(gallery[np.sort(rows)], scale))
    return lists


def _blocks(vectors: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, BLOCK // max(1, vectors.shape[1]))
    return (vectors[begin : begin + rows] for begin in range(0, len(vectors), rows))


def _float32(vectors: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1.0:
        return np.ascontiguousarray(vectors, np.float32)
    # In float64, for of tiny vectors the scale itself may leave float32.
    return np.multiply(vectors, scale, dtype=np.float64).astype(np.float32, order="C")


def _faiss() -> Any:
    """Its type hints lack what searches are told."""
    import faiss

    return faiss
