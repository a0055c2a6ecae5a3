"""The contrastive loss, of given distances as in TensorFlow Addons, and of pairs of embeddings."""

from typing import Any, ClassVar

import keras
from keras import ops

from stages.train.distances import PACKAGE, Tensor, at_least_float32, check_name, distance_between
from stages.train.losses.embedding_loss import EmbeddingLoss, check_margin, groups, hinge, labels_and_rows

CONVENTIONS = ("addons", "hadsell")
"""`"addons"`: y = 1 is a same-class pair. `"hadsell"`: y = 0 is one, and the value is halved, as in the paper."""


@keras.saving.register_keras_serializable(PACKAGE)
def contrastive_loss(y_true: Tensor, y_pred: Tensor, margin: float = 1.0, convention: str = "addons") -> Tensor:
    """Contrastive loss of given distances (Hadsell et al. 2006, equation 4).

    `y·d² + (1 - y)·max(margin - d, 0)²` where y is 1 for a pair of one class. With `convention="hadsell"`, the paper's
    own: `½·((1 - y)·d² + y·max(margin - d, 0)²)`, where y is 0 for a pair of one class.

    Args:
        y_true: `[N]` or `[N, 1]`, y of each pair, of any type.
        y_pred: float `[N]` or `[N, 1]`, distances; float16 and bfloat16 are computed with in float32.
        margin: the distance beyond which a pair of different classes costs nothing.
        convention: one of `CONVENTIONS`.

    Returns:
        A value for each pair, in the shape and data type of `y_pred`.

    Raises:
        ValueError: an unknown convention.

    >>> [float(value) for value in contrastive_loss(ops.array([1, 0]), ops.array([0.5, 0.25]))]
    [0.25, 0.5625]
    """
    given = ops.convert_to_tensor(y_pred)
    distances = at_least_float32(given)
    marks = ops.reshape(ops.cast(y_true, distances.dtype), ops.shape(distances))
    return ops.cast(_contrastive(marks, distances, margin, _check_convention(convention)), given.dtype)


@keras.saving.register_keras_serializable(PACKAGE)
def pair_contrastive_loss(
    y_true: Tensor, y_pred: Tensor, margin: float = 1.0, convention: str = "addons", distance_metric: str = "L2"
) -> Tensor:
    """Contrastive loss of pairs of embeddings: the mean of `contrastive_loss` over them.

    Args:
        y_true: int `[2N]` or `[2N, 1]`, class labels of the rows left, right, left, …
        y_pred: float `[2N, D]`, their embeddings; float16 and bfloat16 are computed with in float32.
        margin: the distance beyond which a pair of different classes costs nothing.
        convention: `"addons"`, or `"hadsell"` for half the value.
        distance_metric: `"L2"`, `"squared-L2"` or `"angular"`.

    Returns:
        Scalar in the data type of `y_pred`.

    Raises:
        ValueError: an odd number of rows, labels of another shape, an unknown convention or distance.

    >>> float(pair_contrastive_loss(ops.array([0, 0, 0, 1]), ops.array([[0.0], [0.5], [0.0], [0.25]])))
    0.40625
    """
    values = _pair_values(y_true, y_pred, margin, _check_convention(convention), distance_metric)
    return ops.cast(ops.mean(values), ops.convert_to_tensor(y_pred).dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class ContrastiveLoss(keras.losses.Loss):
    """Contrastive loss of given distances: see `contrastive_loss`; of embeddings, `PairContrastiveLoss`.

    Args:
        margin: the distance beyond which a pair of different classes costs nothing; not negative.
        reduction: Keras's reduction over the pairs.
        name: the loss's name in logs.
        convention: one of `CONVENTIONS`.

    Raises:
        ValueError: a negative margin or an unknown convention.

    >>> float(ContrastiveLoss()(ops.array([1, 0]), ops.array([0.5, 0.25])))
    0.40625
    """

    layouts: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        margin: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "contrastive_loss",
        convention: str = "addons",
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.margin = check_margin(margin)
        self.convention = _check_convention(convention)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each pair, in the shape of `y_pred`."""
        return contrastive_loss(y_true, y_pred, self.margin, self.convention)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "margin": self.margin,
            "reduction": self.reduction,
            "name": self.name,
            "convention": self.convention,
        }


@keras.saving.register_keras_serializable(PACKAGE)
class PairContrastiveLoss(EmbeddingLoss):
    """Contrastive loss of pairs of embeddings: see `pair_contrastive_loss`.

    Args:
        margin: the distance beyond which a pair of different classes costs nothing; not negative.
        convention: `"addons"`, or `"hadsell"` for half the value.
        distance_metric: `"L2"`, `"squared-L2"` or `"angular"`.
        name: the loss's name in logs.

    Raises:
        ValueError: a negative margin, an unknown convention or distance.

    >>> loss = PairContrastiveLoss(convention="hadsell")
    >>> float(loss(ops.array([0, 0, 0, 1]), ops.array([[0.0], [0.5], [0.0], [0.25]])))
    0.203125
    """

    layouts: ClassVar[tuple[str, ...]] = ("pairs",)
    group: ClassVar[int] = 2

    def __init__(
        self,
        margin: float = 1.0,
        convention: str = "addons",
        distance_metric: str = "L2",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.margin = check_margin(margin)
        self.convention = _check_convention(convention)
        self.distance_metric = check_name(distance_metric)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each pair, float `[N]`."""
        return _pair_values(y_true, y_pred, self.margin, self.convention, self.distance_metric)

    @property
    def collapsed(self) -> float:
        """Same pairs cost nothing, and different ones, half of all, the margin's square."""
        return self.margin**2 / (4 if self.convention == "hadsell" else 2)


def _pair_values(y_true: Tensor, y_pred: Tensor, margin: float, convention: str, distance_metric: str) -> Tensor:
    labels, rows = labels_and_rows(y_true, y_pred)
    first, second = groups(labels, 2, "left, right, …")
    marks = ops.cast(first == second if convention == "addons" else first != second, rows.dtype)
    left, right = groups(rows, 2, "left, right, …")
    distances = distance_between(left, right, check_name(distance_metric))
    return _contrastive(marks, distances, margin, convention)


def _contrastive(marks: Tensor, distances: Tensor, margin: float, convention: str) -> Tensor:
    same = ops.square(distances)
    different = ops.square(hinge(-distances, margin, soft=False))
    if convention == "addons":
        return marks * same + (1.0 - marks) * different
    return 0.5 * ((1.0 - marks) * same + marks * different)


def _check_convention(convention: str) -> str:
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}. Received: {convention!r}")
    return convention
