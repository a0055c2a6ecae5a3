"""What a batch's triplets look like while training: how many still teach, and whether the embedding collapses."""

from typing import Any

import keras
from keras import ops

from stages.train.all_pairs import AllPairs, Block
from stages.train.distances import Tensor, normalize
from stages.train.losses import hard_distances, label_vector


class TripletStatistics(keras.metrics.Metric):
    """Figures of the latest batch, as a dictionary of scalars.

    | name | meaning |
    |---|---|
    | `step_loss` | the loss of this batch alone, as Keras reduces it |
    | `active` | share of the loss's values (of anchors, pairs or triplets) that are above 0 |
    | `hard`, `semi_hard`, `easy` | shares of all triplets: d(a,n) ≤ d(a,p); beyond it but within the margin; farther |
    | `hardest_positive`, `hardest_negative` | mean over anchors of the distances d⁺ and d⁻ |
    | `norm` | mean length of the embeddings |

    The kinds of triplets are those of FaceNet (arXiv 1503.03832, section 3.2).

    Args:
        loss: gives the margin (0 where it has none) and the distance (L2 where it has none).
        stride: triplets are counted for every `stride`-th row of the batch as anchor.
    """

    figures = ("step_loss", "active", "hard", "semi_hard", "easy", "hardest_positive", "hardest_negative", "norm")

    def __init__(self, loss: keras.losses.Loss, stride: int = 1) -> None:
        super().__init__(name="triplets")
        self.loss = loss
        self.stride = stride
        self.of_loss = self.add_variable((2,), initializer="zeros", name="of_loss")
        self.of_batch = self.add_variable((len(self.figures) - 2,), initializer="zeros", name="of_batch")

    def update_loss(self, loss: Tensor, values: Tensor) -> None:
        """Take the loss of a batch, a scalar, and the values of any shape that it was reduced from."""
        active = ops.mean(ops.cast(values > 0, "float32"))
        self.of_loss.assign(ops.stop_gradient(ops.stack([ops.cast(loss, "float32"), active])))

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Take the other figures of a batch: labels int `[B]`, embeddings float `[B, D]`."""
        labels = label_vector(y_true)
        embeddings = ops.stop_gradient(ops.cast(y_pred, "float32"))
        hard, semi_hard, easy = self._kinds(labels, embeddings)
        positive, negative = hard_distances(labels, embeddings, self._metric)
        norms = ops.sqrt(ops.sum(ops.square(embeddings), axis=1))
        means = [ops.mean(positive), ops.mean(negative), ops.mean(norms)]
        self.of_batch.assign(ops.stack([hard, semi_hard, easy, *means]))

    def result(self) -> dict[str, Any]:
        """The latest batch's figures by name."""
        latest = ops.concatenate([self.of_loss, self.of_batch])
        return {name: latest[i] for i, name in enumerate(self.figures)}

    @property
    def _metric(self) -> Any:
        return getattr(self.loss, "distance_metric", "L2")

    def _kinds(self, labels: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        margin = 0.0 if getattr(self.loss, "soft", False) else getattr(self.loss, "margin", 0.0)
        rows = ops.arange(ops.shape(labels)[0], dtype="int32")
        anchors = rows[:: self.stride]
        distances = self._distances(embeddings, anchors)
        same = labels[:: self.stride, None] == labels[None, :]
        positive = ops.cast(ops.logical_and(same, anchors[:, None] != rows[None, :]), "float32")
        negatives = ops.sort(ops.where(same, float("inf"), distances), axis=1)
        # For each pair (a, p): how many negatives of a lie at d(a,p) or nearer, and how many within the margin.
        nearer = _count_up_to(negatives, distances, side="right")
        within = _count_up_to(negatives, distances + margin, side="left")
        hard = ops.sum(positive * nearer)
        inside = ops.sum(positive * ops.maximum(within, nearer))
        every = ops.sum(ops.sum(positive, axis=1) * ops.sum(ops.cast(ops.logical_not(same), "float32"), axis=1))
        return (
            ops.divide_no_nan(hard, every),
            ops.divide_no_nan(inside - hard, every),
            ops.divide_no_nan(every - inside, every),
        )

    def _distances(self, embeddings: Tensor, anchors: Tensor) -> Tensor:
        if callable(self._metric):
            return self._metric(embeddings)[:: self.stride]
        rows = normalize(embeddings) if self._metric == "angular" else embeddings
        return AllPairs(rows, self._metric).distances(Block(ops.shape(rows)[0], anchors))


def _count_up_to(sorted_rows: Tensor, values: Tensor, side: str) -> Tensor:
    counts = ops.vectorized_map(lambda pair: ops.searchsorted(pair[0], pair[1], side=side), (sorted_rows, values))
    return ops.cast(counts, "float32")
