"""The losses as explicit loops in float64: the table of definitions, read off without any cleverness."""

import math

import numpy as np


def distances(embeddings: np.ndarray, metric: str) -> np.ndarray:
    rows = np.asarray(embeddings, dtype=np.float64)
    result = np.zeros((len(rows), len(rows)))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            if metric == "angular":
                lengths = np.linalg.norm(a) * np.linalg.norm(b)
                result[i, j] = max(1.0 - (a @ b / lengths if lengths else 0.0), 0.0)
            else:
                square = float(np.sum((a - b) ** 2))
                result[i, j] = square if metric == "squared-L2" else math.sqrt(square)
    return result


def hard_values(labels: np.ndarray, embeddings: np.ndarray, margin: float, soft: bool, metric: str) -> list[float]:
    d = distances(embeddings, metric)
    values = []
    for a, label in enumerate(labels):
        positives = [d[a, p] for p in range(len(labels)) if labels[p] == label and p != a]
        negatives = [d[a, n] for n in range(len(labels)) if labels[n] != label]
        farthest = max(positives) if positives else min(d[a])
        nearest = min(negatives) if negatives else max(d[a])
        values.append(float(np.logaddexp(0.0, farthest - nearest)) if soft else max(0.0, farthest - nearest + margin))
    return values


def kinds(labels: np.ndarray, embeddings: np.ndarray, margin: float, metric: str) -> dict[str, float]:
    d = distances(embeddings, metric)
    counts = {"hard": 0, "semi_hard": 0, "easy": 0}
    for a in range(len(labels)):
        for p in range(len(labels)):
            for n in range(len(labels)):
                if p == a or labels[p] != labels[a] or labels[n] == labels[a]:
                    continue
                if d[a, n] <= d[a, p]:
                    counts["hard"] += 1
                elif d[a, n] < d[a, p] + margin:
                    counts["semi_hard"] += 1
                else:
                    counts["easy"] += 1
    total = max(sum(counts.values()), 1)
    return {name: count / total for name, count in counts.items()}


def semi_hard_values(labels: np.ndarray, embeddings: np.ndarray, margin: float, metric: str) -> list[tuple[int, float]]:
    """Anchor and loss of every ordered positive pair."""
    d = distances(embeddings, metric)
    values = []
    for a, label in enumerate(labels):
        negatives = [d[a, n] for n in range(len(labels)) if labels[n] != label]
        for p in range(len(labels)):
            if p == a or labels[p] != label:
                continue
            farther = [distance for distance in negatives if distance > d[a, p]]
            negative = min(farther) if farther else max(negatives) if negatives else min(d[a])
            values.append((a, max(0.0, d[a, p] - negative + margin)))
    return values


def semi_hard_loss(labels: np.ndarray, embeddings: np.ndarray, margin: float, metric: str) -> float:
    return _mean([value for _, value in semi_hard_values(labels, embeddings, margin, metric)])


def batch_all_values(
    labels: np.ndarray, embeddings: np.ndarray, margin: float, metric: str, soft: bool = False
) -> list[tuple[int, float]]:
    """Anchor and loss of every valid triplet."""
    d = distances(embeddings, metric)
    values = []
    for a in range(len(labels)):
        for p in range(len(labels)):
            for n in range(len(labels)):
                if p != a and labels[p] == labels[a] and labels[n] != labels[a]:
                    difference = d[a, p] - d[a, n]
                    values.append((a, float(np.logaddexp(0.0, difference)) if soft else max(0.0, difference + margin)))
    return values


def batch_all_loss(
    labels: np.ndarray,
    embeddings: np.ndarray,
    margin: float,
    metric: str,
    soft: bool = False,
    average_over: str = "positive",
) -> float:
    values = [value for _, value in batch_all_values(labels, embeddings, margin, metric, soft)]
    return _mean([value for value in values if value > 0 or average_over == "valid"])


def distance(left: np.ndarray, right: np.ndarray, metric: str) -> float:
    return float(distances(np.stack([left, right]), metric)[0, 1])


def triplet_values(embeddings: np.ndarray, margin: float, soft: bool, metric: str) -> list[float]:
    values = []
    for anchor, positive, negative in np.asarray(embeddings, np.float64).reshape(-1, 3, embeddings.shape[1]):
        difference = distance(anchor, positive, metric) - distance(anchor, negative, metric)
        values.append(float(np.logaddexp(0.0, difference)) if soft else max(0.0, difference + margin))
    return values


def contrastive_values(
    labels: np.ndarray, embeddings: np.ndarray, margin: float, convention: str, metric: str
) -> list[float]:
    values = []
    for (first, second), (left, right) in zip(
        np.reshape(labels, (-1, 2)), np.asarray(embeddings, np.float64).reshape(-1, 2, embeddings.shape[1]), strict=True
    ):
        d = distance(left, right, metric)
        value = d**2 if first == second else max(0.0, margin - d) ** 2
        values.append(value / 2 if convention == "hadsell" else value)
    return values


def siamese_values(labels: np.ndarray, logits: np.ndarray) -> list[float]:
    values = []
    for (first, second), logit in zip(np.reshape(labels, (-1, 2)), np.asarray(logits, np.float64), strict=True):
        # -log(p) for a pair of one class, -log(1 - p) for others, where p = 1 / (1 + exp(-logit)).
        values.append(float(np.logaddexp(0.0, -logit if first == second else logit)))
    return values


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
