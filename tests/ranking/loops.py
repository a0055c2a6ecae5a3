"""Every retrieval measure as a plain loop over all orders of ties, and small cases full of ties."""

import itertools

import numpy as np
from hypothesis import strategies as st


def measures(distances, relevant, ks):
    """Mean of each measure over all orders that keep the distances ascending; None if nothing is relevant."""
    if not any(relevant):
        return None
    totals: dict[str, float] = {}
    orders = 0
    for order in itertools.permutations(range(len(relevant))):
        ordered = [distances[i] for i in order]
        if ordered != sorted(ordered):
            continue
        orders += 1
        for name, value in of_order([relevant[i] for i in order], ks).items():
            totals[name] = totals.get(name, 0.0) + value
    return {name: total / orders for name, total in totals.items()}


def of_order(found, ks):
    """Each measure for one order: whether the nearest, the next, and so on, are relevant."""
    depth = sum(found)
    return {
        **{f"recall_at_{k}": float(any(found[:k])) for k in ks},
        **{f"precision_at_{k}": sum(found[:k]) / len(found[:k]) for k in ks if k > 1},
        "r_precision": sum(found[:depth]) / depth,
        "map_at_r": sum(sum(found[: i + 1]) / (i + 1) for i in range(depth) if found[i]) / depth,
        "mrr": 1 / (found.index(True) + 1),
    }


def leave_one_out(points, labels, ks):
    """The measures of each item among the others, by its row, without those of whose label nothing else exists."""
    found = {}
    for q in range(len(labels)):
        others = [i for i in range(len(labels)) if i != q]
        distances = [float(((points[q] - points[i]) ** 2).sum()) for i in others]
        found[q] = measures(distances, [bool(labels[i] == labels[q]) for i in others], ks)
    return {q: values for q, values in found.items() if values is not None}


def in_gallery(queries, query_labels, gallery, gallery_labels, ks):
    """The same in a gallery that the queries are not part of."""
    found = {}
    for q in range(len(query_labels)):
        distances = [float(((queries[q] - other) ** 2).sum()) for other in gallery]
        found[q] = measures(distances, [bool(label == query_labels[q]) for label in gallery_labels], ks)
    return {q: values for q, values in found.items() if values is not None}


@st.composite
def tied_items(draw, dimensions=2):
    """Up to six items on a coarse lattice: duplicates, ties, singletons, one class."""
    n, d = draw(st.integers(2, 6)), draw(st.integers(1, dimensions))
    points = draw(st.lists(st.lists(st.integers(0, 2), min_size=d, max_size=d), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    return np.array(points, np.float32), np.array(labels, np.int32)


def clustered(seed, items=400, classes=40, dimensions=6, spread=1.0):
    """Points around class centres, some of them twice, float32, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, items)
    points = rng.normal(size=(classes, dimensions))[labels] + spread * rng.normal(size=(items, dimensions))
    points[: items // 20] = points[items // 20 : 2 * (items // 20)]
    return points.astype(np.float32), labels.astype(np.int32)
