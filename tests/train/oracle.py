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
