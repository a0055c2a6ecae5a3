"""How well an embedding retrieves: recall@k and MAP@R leave-one-out, k-NN accuracy against the training images."""

from collections.abc import Sequence

import numpy as np

from stages import ranking

DRAWS = 20_000  # votes drawn for the chance level of k-NN accuracy


def leave_one_out_report(
    embeddings: np.ndarray, labels: np.ndarray, recall_at: Sequence[int]
) -> dict[str, float | None]:
    """`recall_at_<k>` for each k, and `map_at_r`.

    Args:
        embeddings: `[N, D]`.
        labels: int `[N]`.
        recall_at: the ks.
    """
    ranked = ranking.leave_one_out(embeddings, labels, at_least=max(recall_at))
    return _named(ranking.recall_at_k(ranked, recall_at), ranking.map_at_r(ranked))


def leave_one_out_chance(labels: np.ndarray, recall_at: Sequence[int]) -> dict[str, float | None]:
    """The same for a random order: exact, from the class counts."""
    return _named(ranking.chance_recall_at_k(labels, recall_at), ranking.chance_map_at_r(labels))


def queries_left_out(labels: np.ndarray) -> int:
    """How many items have no other of their label."""
    _, counts = np.unique(labels, return_counts=True)
    return int((counts == 1).sum())


def knn_accuracy(
    embeddings: np.ndarray, labels: np.ndarray, gallery: np.ndarray, gallery_labels: np.ndarray, neighbours: int
) -> float:
    """Share of items whose label the nearest in the gallery vote for, as scikit-learn's `KNeighborsClassifier` does."""
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(n_neighbors=neighbours).fit(gallery, gallery_labels)
    return float(np.mean(classifier.predict(embeddings) == labels))


def knn_chance(labels: np.ndarray, gallery_labels: np.ndarray, neighbours: int, seed: int) -> float:
    """`knn_accuracy` where the nearest are drawn at random, over 20,000 seeded votes.

    The smallest label wins a tied vote, as in scikit-learn. Where the items are equally many in each class, this is
    1 / classes without noise.
    """
    classes, items = np.unique(gallery_labels, return_inverse=True)
    drawn = np.random.default_rng([seed, 3]).choice(items, (DRAWS, neighbours))
    votes = np.array([np.bincount(row).argmax() for row in drawn])
    shares = (labels[:, None] == classes).mean(axis=0)
    return float(shares[votes].mean())


def _named(recalls: dict[int, float | None], map_at_r: float | None) -> dict[str, float | None]:
    return {**{f"recall_at_{k}": recall for k, recall in recalls.items()}, "map_at_r": map_at_r}
