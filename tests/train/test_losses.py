"""Every loss against explicit loops in float64. `make test` runs this file once more with KERAS_BACKEND=jax."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import ops

from stages.train import all_pairs, blockwise, losses
from stages.train.losses import angular_distance, pairwise_distance
from tests.train import oracle
from tests.train.gradients import BACKEND, compiled

METRICS = ("L2", "squared-L2", "angular")
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "L2": pairwise_distance,
    "squared-L2": partial(pairwise_distance, squared=True),
    "angular": angular_distance,
}
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow alone")


@dataclass(frozen=True)
class Case:
    """A loss with some settings, and the same as loops.

    Attributes:
        expected: from labels and embeddings.
        group: rows that belong together: 2 in pairs, 3 in triplets.
    """

    name: str
    loss: Any
    expected: Callable[[np.ndarray, np.ndarray], float]
    group: int = 1

    def __str__(self) -> str:
        return self.name


def _hard(labels, embeddings, soft, metric):
    return float(np.mean(oracle.hard_values(labels, embeddings, 0.7, soft, metric)))


def _semi_hard(labels, embeddings, metric, margin=0.7):
    return oracle.semi_hard_loss(labels, embeddings, margin, metric)


def _batch_all(labels, embeddings, metric, soft=False, average_over="positive", margin=0.7):
    return oracle.batch_all_loss(labels, embeddings, margin, metric, soft, average_over)


def _triplet(labels, embeddings, metric, soft=False, reduce=np.mean):
    return float(reduce(oracle.triplet_values(embeddings, 0.7, soft, metric)))


def _contrastive(labels, embeddings, metric, convention="addons"):
    return float(np.mean(oracle.contrastive_values(labels, embeddings, 1.7, convention, metric)))


def _cases() -> list[Case]:
    cases = []
    for metric in METRICS:
        hard, soft = losses.TripletHardLoss(0.7, False, metric), losses.TripletHardLoss(0.7, True, metric)
        all_triplets = losses.TripletBatchAllLoss(0.7, distance_metric=metric)
        cases += [
            Case(f"hard {metric}", hard, partial(_hard, soft=False, metric=metric)),
            Case(f"hard soft {metric}", soft, partial(_hard, soft=True, metric=metric)),
            Case(f"semi-hard {metric}", losses.TripletSemiHardLoss(0.7, metric), partial(_semi_hard, metric=metric)),
            Case(f"batch-all {metric}", all_triplets, partial(_batch_all, metric=metric)),
            Case(f"triplet {metric}", losses.TripletLoss(0.7, False, metric), partial(_triplet, metric=metric), 3),
            Case(
                f"contrastive {metric}",
                losses.PairContrastiveLoss(1.7, distance_metric=metric),
                partial(_contrastive, metric=metric),
                2,
            ),
        ]
    soft, valid = losses.TripletBatchAllLoss(soft=True), losses.TripletBatchAllLoss(0.7, average_over="valid")
    summed, halved = losses.TripletLoss(0.7, reduction="sum"), losses.PairContrastiveLoss(1.7, "hadsell")
    return [
        *cases,
        Case("batch-all without margin", losses.TripletBatchAllLoss(0.0), partial(_batch_all, metric="L2", margin=0.0)),
        Case("semi-hard without margin", losses.TripletSemiHardLoss(0.0), partial(_semi_hard, metric="L2", margin=0.0)),
        Case("batch-all soft", soft, partial(_batch_all, metric="L2", soft=True)),
        Case("batch-all over valid", valid, partial(_batch_all, metric="L2", average_over="valid")),
        Case("triplet soft", losses.TripletLoss(0.7, soft=True), partial(_triplet, metric="L2", soft=True), 3),
        Case("triplet sum", summed, partial(_triplet, metric="L2", reduce=np.sum), 3),
        Case("contrastive hadsell", halved, partial(_contrastive, metric="L2", convention="hadsell"), 2),
    ]


CASES = _cases()
MINED = [case for case in CASES if case.group == 1]
ONE_OF_EACH = list({type(case.loss): case for case in reversed(CASES)}.values())
ONE_OF_EACH_MINED = [case for case in ONE_OF_EACH if case.group == 1]
of_each = pytest.mark.parametrize("case", CASES, ids=str)
of_each_mined = pytest.mark.parametrize("case", MINED, ids=str)


@cache
def of(loss: Any, xla: bool = False) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Value and gradient of a loss, compiled once for all tests."""
    return compiled(loss, xla)


@st.composite
def batches(draw, case):
    """Labels of all kinds (balanced or not, one class, singletons, one row) and embeddings with duplicates and ties."""
    rows = draw(st.sampled_from([12] if case.group > 1 else [1, 12]))
    labels = np.array(draw(st.lists(st.sampled_from([0, 1, 7, 2**31 - 1]), min_size=rows, max_size=rows)), np.int32)
    scale = np.float32(draw(st.sampled_from([0.25, 1.0, 40.0])))
    if "angular" in case.name:
        # On a grid equal angles differ in the last digit, in the loops too. Here only equal directions are ties.
        directions = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(5, 4))
        directions[0] = 0
        chosen = draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows))
        lengths = draw(st.lists(st.sampled_from([0.5, 1.0, 4.0]), min_size=rows, max_size=rows))
        return labels, (scale * directions.astype(np.float32)[chosen] * np.array(lengths, np.float32)[:, None])
    # A coarse grid makes equal rows and equal distances common.
    flat = draw(st.lists(st.integers(-3, 3), min_size=rows * 2, max_size=rows * 2))
    embeddings = np.zeros((rows, 4), np.float32)
    embeddings[:, :2] = scale * np.array(flat, np.float32).reshape(rows, 2)
    return labels, embeddings


def random_batch(rows, dimensions=4, classes=3, seed=0):
    # 12 rows where nothing else is needed: each shape is compiled anew.
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % classes).astype(np.int32)
    return labels, rng.normal(size=(rows, dimensions)).astype(np.float32)


def rounding(case, embeddings):
    """That of the longest distance in float32, times the number of losses in a sum."""
    metric = next((metric for metric in METRICS if metric in case.name.split()), "L2")
    terms = len(embeddings) / case.group if getattr(case.loss, "reduction", "") == "sum" else 1
    return 2e-7 * terms * oracle.distances(embeddings, metric).max()


@of_each
@settings(max_examples=20 if BACKEND == "jax" else 40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_loss_equals_loops_and_its_gradient_is_finite(case, data):
    labels, embeddings = data.draw(batches(case))
    value, gradient = of(case.loss)(labels, embeddings)
    # A small difference between long distances carries their rounding.
    assert value == pytest.approx(case.expected(labels, embeddings), rel=1e-5, abs=1e-6 + rounding(case, embeddings))
    assert np.isfinite(gradient).all()


@of_each
def test_gradient_equals_differences_of_the_loops(case):
    labels, embeddings = random_batch(12)
    numeric = numeric_gradient(partial(case.expected, labels), embeddings)
    np.testing.assert_allclose(of(case.loss)(labels, embeddings)[1], numeric, rtol=1e-4, atol=1e-5)


def numeric_gradient(function, embeddings):
    gradient = np.zeros(embeddings.shape)
    for index in np.ndindex(*embeddings.shape):
        up, down = embeddings.astype(np.float64), embeddings.astype(np.float64)
        up[index] += 1e-5
        down[index] -= 1e-5
        gradient[index] = (function(up) - function(down)) / 2e-5
    return gradient


# JAX takes 3 s to compile each.
@pytest.mark.parametrize("case", MINED if BACKEND == "tensorflow" else ONE_OF_EACH_MINED, ids=str)
def test_blocks_make_no_difference(case, monkeypatch):
    labels, embeddings = random_batch(12, classes=5)
    whole = of(case.loss)(labels, embeddings)
    monkeypatch.setattr(all_pairs, "_DISTANCES_AT_ONCE", 5 * 12)  # 5 anchors at once, the last block overlapping
    monkeypatch.setattr(blockwise, "POSITIVES_AT_ONCE", 2)
    in_blocks = compiled(case.loss)(labels, embeddings)
    for one, other in zip(in_blocks, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "values_of_anchors"),
    [
        (losses.TripletHardLoss(0.7), lambda y, e: list(enumerate(oracle.hard_values(y, e, 0.7, False, "L2")))),
        (losses.TripletSemiHardLoss(0.7), lambda y, e: oracle.semi_hard_values(y, e, 0.7, "L2")),
        (losses.TripletBatchAllLoss(0.7), lambda y, e: oracle.batch_all_values(y, e, 0.7, "L2")),
    ],
    ids=["hard", "semi-hard", "batch-all"],
)
def test_sample_weights_weigh_anchors_in_value_and_gradient(loss, values_of_anchors):
    labels, embeddings = random_batch(12)
    weights = np.linspace(0.0, 3.0, 12, dtype=np.float32)

    def expected(moved):
        values = values_of_anchors(labels, moved)
        counted = [1 for _, value in values if value > 0 or not isinstance(loss, losses.TripletBatchAllLoss)]
        return sum(weights[anchor] * value for anchor, value in values) / len(counted)

    value, gradient = compiled(partial(loss, sample_weight=weights))(labels, embeddings)
    assert value == pytest.approx(expected(embeddings), rel=1e-5)
    np.testing.assert_allclose(gradient, numeric_gradient(expected, embeddings), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["TripletHardLoss", "TripletSemiHardLoss", "TripletBatchAllLoss"])
def test_a_function_as_distance_equals_the_named_distance(name, metric):
    labels, embeddings = random_batch(12)
    make = getattr(losses, name)
    named = of(make(distance_metric=metric))(labels, embeddings)
    given_ = compiled(make(distance_metric=FUNCTIONS[metric]))(labels, embeddings)
    for one, other in zip(given_, named, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["TripletSemiHardLoss", "TripletBatchAllLoss"])
def test_a_distance_below_zero_is_a_distance_too(name):
    labels, embeddings = random_batch(12)
    loss = getattr(losses, name)
    plain = of(loss())(labels, embeddings)
    lowered = compiled(loss(distance_metric=lambda e: pairwise_distance(e) - 50.0))(labels, embeddings)
    for one, other in zip(lowered, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@of_each
def test_equal_embeddings_have_gradient_zero(case):
    labels = np.repeat(np.arange(2, dtype=np.int32), 6)
    value, gradient = of(case.loss)(labels, np.full((12, 4), 0.7, np.float32))
    np.testing.assert_allclose(gradient, 0, atol=1e-7)
    if case.loss.collapsed is not None and case.group != 2:  # of pairs the classes matter: below
        values = 12 // case.group if case.loss.reduction == "sum" else 1
        assert value == pytest.approx(values * case.loss.collapsed)


@pytest.mark.parametrize("convention", ["addons", "hadsell"])
def test_the_contrastive_loss_of_a_point_is_what_it_says(convention):
    loss = losses.PairContrastiveLoss(0.6, convention)
    value, _ = of(loss)(np.array([0, 0, 0, 1], np.int32), np.ones((4, 2), np.float32))
    assert value == pytest.approx(loss.collapsed)


@of_each
def test_small_distances_of_long_embeddings_are_not_lost(case):
    # |a|² + |b|² - 2ab is 0 in float32 for every pair within a group. Two far groups, so that no shift helps; one for
    # batch-hard, which may choose within the rounding of the longest row.
    rng = np.random.default_rng(0)
    centres = np.full((12, 1), 80.0) if case.name.startswith("hard") else rng.choice([-80.0, 80.0], size=(12, 1))
    embeddings = (centres + 0.008 * rng.normal(size=(12, 4))).astype(np.float32)
    labels = rng.integers(0, 3, 12).astype(np.int32)
    expected, tolerance = case.expected(labels, embeddings), rounding(case, embeddings)
    assert of(case.loss)(labels, embeddings)[0] == pytest.approx(expected, rel=1e-5, abs=tolerance)


@pytest.mark.parametrize("length", [1e-20, 1e20])
@pytest.mark.parametrize("metric", ["L2", "angular"])
def test_lengths_whose_squares_no_float32_holds_are_computed_with(length, metric):
    labels, embeddings = random_batch(12)
    embeddings = embeddings * np.float32(length)
    margin = 0.7 if metric == "angular" else 0.7 * length
    cases = {
        losses.TripletHardLoss(margin, distance_metric=metric): np.mean(
            oracle.hard_values(labels, embeddings, margin, False, metric)
        ),
        losses.TripletSemiHardLoss(margin, metric): oracle.semi_hard_loss(labels, embeddings, margin, metric),
        losses.TripletBatchAllLoss(margin, distance_metric=metric): oracle.batch_all_loss(
            labels, embeddings, margin, metric
        ),
        losses.TripletLoss(margin, distance_metric=metric): np.mean(
            oracle.triplet_values(embeddings, margin, False, metric)
        ),
    }
    for loss, expected in cases.items():
        value, gradient = compiled(loss)(labels, embeddings)
        assert value == pytest.approx(expected, rel=1e-5)
        assert np.isfinite(gradient).all()
        assert np.any(gradient != 0)


@of_each
def test_nan_is_not_hidden(case):
    labels, embeddings = random_batch(12)
    embeddings[3, 1] = np.nan
    assert np.isnan(of(case.loss)(labels, embeddings)[0])


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
@pytest.mark.parametrize("name", ["TripletHardLoss", "TripletSemiHardLoss", "TripletBatchAllLoss"])
def test_large_labels_stay_apart_in_fit(shape, name):
    # Equal in float32, to which Keras casts targets: one class, and a loss that is not 0.
    labels = np.array([2**24, 2**24 + 1] * 4, np.int32).reshape(shape)
    inputs = 2 * np.eye(2, dtype=np.float32)[np.array([0, 1] * 4)]
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")])
    model.compile(loss=getattr(losses, name)(margin=0.5), optimizer="sgd")
    assert model.fit(inputs, labels, batch_size=8, verbose=0).history["loss"][0] == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=str)
def test_one_batch_is_fitted(case):
    keras.utils.set_random_seed(0)
    labels, inputs = random_batch(12)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(loss=case.loss, optimizer=keras.optimizers.Adam(0.01))
    first = case.loss(labels, model.predict_on_batch(inputs))
    loss = model.fit(inputs, labels, batch_size=12, epochs=20, shuffle=False, verbose=0).history["loss"]
    assert loss[0] == pytest.approx(float(first), rel=1e-5)
    assert loss[-1] < loss[0]


def test_the_siamese_loss_trains_encoder_and_head():
    labels, inputs = random_batch(12)
    loss = losses.SiameseLoss()
    encoder, head = keras.layers.Dense(3), loss.head(3)
    encoder.build((None, 4))

    class Siamese(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = encoder, head

        def call(self, images):
            embeddings = self.encoder(images)
            return self.head([embeddings[0::2], embeddings[1::2]])

    model = Siamese()
    model.compile(loss=loss, optimizer=keras.optimizers.SGD(0.1))
    before = [np.array(weight) for weight in (*encoder.get_weights(), *head.get_weights())]
    history = model.fit(inputs, labels, batch_size=12, epochs=3, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < history[0]
    after = [*encoder.get_weights(), *head.get_weights()]
    moved = [np.any(one != other) for one, other in zip(before, after, strict=True)]
    assert moved == [True, False, True, True]  # the encoder's bias falls out of every difference


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_the_siamese_loss_is_the_cross_entropy_of_each_pair(shape):
    labels = np.array([0, 0, 0, 1, 2, 2, 3, 2], np.int32)
    logits = np.array([3.0, -0.5, -200.0, 100.0], np.float32)
    values = losses.SiameseLoss().call(ops.convert_to_tensor(labels), ops.convert_to_tensor(logits.reshape(shape)))
    np.testing.assert_allclose(ops.convert_to_numpy(values), oracle.siamese_values(labels, logits), rtol=1e-6)
    _, gradient = compiled(losses.SiameseLoss())(labels, logits.reshape(shape))
    expected = (1 / (1 + np.exp(-logits.astype(np.float64))) - [1, 0, 1, 0]) / 4
    np.testing.assert_allclose(gradient.ravel(), expected, rtol=1e-6, atol=1e-9)


def test_the_head_is_the_logit_of_absolute_differences():
    head = losses.siamese_head(3)
    head.set_weights([np.array([[1.0], [-2.0], [0.5]]), np.array([0.25])])
    left, right = np.array([[1.0, 2.0, 3.0]], np.float32), np.array([[2.0, 0.0, 3.0]], np.float32)
    assert float(ops.convert_to_numpy(head([left, right]))[0, 0]) == pytest.approx(1 - 4 + 0 + 0.25)


def test_one_class_has_the_known_values():
    embeddings = ops.convert_to_tensor(np.array([[0.0, 1.0], [1.0, 0.0]], np.float32))
    assert float(losses.triplet_hard_loss([0, 0], embeddings)) == pytest.approx(1.0)
    assert float(losses.triplet_semihard_loss([0, 0], embeddings)) == pytest.approx(2.4142137)
    assert float(losses.triplet_batch_all_loss([0, 0], embeddings)) == 0.0


def test_soft_does_not_overflow():
    embeddings = np.array([[0.0], [500.0], [0.0]], np.float32)
    # 500 - 0 at the first anchor (the literal formula gives inf), 500 - 500 at the second, 0 - 0 at the third.
    expected = (500 + np.log(2) + np.log(2)) / 3
    assert of(losses.TripletHardLoss(soft=True))(np.array([0, 0, 1], np.int32), embeddings)[0] == pytest.approx(
        expected
    )


FUNCTIONS_OF_LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "hard": lambda y, e: losses.triplet_hard_loss(y, e, 0.7),
    "semi-hard": lambda y, e: losses.triplet_semihard_loss(y, e, 0.7),
    "batch-all": lambda y, e: losses.triplet_batch_all_loss(y, e, 0.7),
    "triplet": lambda y, e: losses.triplet_loss(y, e, 0.7),
    "contrastive": lambda y, e: losses.pair_contrastive_loss(y, e, 1.7),
}


@pytest.mark.parametrize("name", FUNCTIONS_OF_LOSSES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", pytest.param("float64", marks=on_tensorflow)])
def test_functions_compute_in_float32_and_return_the_type_of_the_embeddings(name, dtype):
    labels, embeddings = random_batch(12)
    given_ = ops.cast(embeddings, dtype)
    loss = FUNCTIONS_OF_LOSSES[name](labels, given_)
    assert keras.backend.standardize_dtype(loss.dtype) == dtype
    exact = ops.convert_to_numpy(ops.cast(given_, "float64" if dtype == "float64" else "float32"))
    expected = next(case for case in CASES if case.name == f"{name} L2").expected(labels, exact)
    # Only the result is rounded: with the sums in float16 too, the error would be many times as large.
    tolerance = {"float16": 2**-11, "bfloat16": 2**-8, "float64": 1e-12}[dtype]
    assert float(ops.cast(loss, "float32" if dtype != "float64" else dtype)) == pytest.approx(expected, rel=tolerance)


@of_each
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_classes_compute_in_float32(case, dtype):
    labels, embeddings = random_batch(12)
    given_ = ops.cast(embeddings, dtype)
    loss = case.loss(labels, given_)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    expected = case.expected(labels, ops.convert_to_numpy(ops.cast(given_, "float32")))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@on_tensorflow
@pytest.mark.parametrize("case", ONE_OF_EACH, ids=str)
def test_xla_makes_no_difference(case):
    labels, embeddings = random_batch(12)
    for one, other in zip(of(case.loss, xla=True)(labels, embeddings), of(case.loss)(labels, embeddings), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@on_tensorflow
@of_each_mined
def test_float64_embeddings_are_computed_with_in_float64(case):
    labels, embeddings = random_batch(12)
    embeddings = embeddings.astype(np.float64)
    value, _ = compiled(lambda y, e: ops.mean(case.loss.call(y, e)))(labels, embeddings)
    assert value == pytest.approx(case.expected(labels, embeddings), rel=1e-12)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int64", "float32"])
def test_labels_may_be_of_any_type(dtype):
    labels, embeddings = random_batch(12, classes=2)
    for case in ONE_OF_EACH_MINED:
        one, other = (float(case.loss(y, embeddings)) for y in (labels, labels.astype(dtype)))
        assert one == other
    assert float(losses.triplet_semihard_loss([-3, -3, 5], [[0.0], [1.0], [3.0]])) == 0.0


@on_tensorflow
@pytest.mark.parametrize("loss", [losses.TripletLoss(), losses.PairContrastiveLoss()])
def test_an_incomplete_last_group_is_an_error_in_fit(loss):
    labels, inputs = random_batch(13)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(loss=loss, optimizer="sgd")
    with pytest.raises(Exception, match="to reshape is a tensor with"):
        model.fit(inputs, labels, batch_size=6, verbose=0)


@pytest.mark.parametrize("case", [case for case in CASES if case.name in ("triplet L2", "contrastive L2")], ids=str)
def test_a_weight_of_a_group_is_that_of_its_first_row(case):
    labels, embeddings = (ops.convert_to_tensor(array) for array in random_batch(12))
    weights = np.arange(12, dtype=np.float32)
    expected = np.mean(weights[:: case.group] * ops.convert_to_numpy(case.loss.call(labels, embeddings)))
    assert float(case.loss(labels, embeddings, sample_weight=weights)) == pytest.approx(expected)


def test_labels_may_be_a_column():
    labels, embeddings = random_batch(12)
    for case in ONE_OF_EACH:
        one, other = (case.loss(ops.convert_to_tensor(y), embeddings) for y in (labels, labels[:, None]))
        assert float(one) == float(other)


@of_each
def test_call_gives_one_value_a_row_pair_or_triplet_whose_mean_is_the_loss(case):
    labels, embeddings = (ops.convert_to_tensor(array) for array in random_batch(12))
    values = case.loss.call(labels, embeddings)
    assert tuple(values.shape) == (12 // case.group,)
    reduce = ops.sum if case.loss.reduction == "sum" else ops.mean
    assert float(reduce(values)) == pytest.approx(float(case.loss(labels, embeddings)), rel=1e-6)


ALL = [*(case.loss for case in CASES), losses.SiameseLoss(), losses.TripletHardLoss(distance_metric=pairwise_distance)]


@pytest.mark.parametrize("loss", ALL, ids=[str(case) for case in CASES] + ["siamese", "function"])
def test_a_serialised_loss_gives_the_same_value(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    labels, embeddings = random_batch(12)
    if isinstance(loss, losses.SiameseLoss):
        embeddings = embeddings[:6, :1]
    assert float(again(labels, embeddings)) == float(loss(labels, embeddings))


def test_a_compiled_model_is_loaded_with_its_loss(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(loss=losses.TripletSemiHardLoss(0.3, pairwise_distance), optimizer="sgd")
    labels, inputs = random_batch(12)
    model.fit(inputs, labels, verbose=0)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").loss.get_config() == model.loss.get_config()


def test_names_and_defaults_are_those_of_tensorflow_addons():
    import inspect

    def signature(function):
        return {
            name: parameter.default
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.default is not parameter.empty
        }

    hard = {"margin": 1.0, "soft": False, "distance_metric": "L2"}
    assert signature(losses.triplet_hard_loss) == hard
    assert signature(losses.TripletHardLoss) == {**hard, "name": None}
    assert signature(losses.triplet_semihard_loss) == {"margin": 1.0, "distance_metric": "L2"}
    assert signature(losses.TripletSemiHardLoss) == {"margin": 1.0, "distance_metric": "L2", "name": None}
    contrastive = {"margin": 1.0, "reduction": "sum_over_batch_size", "name": "contrastive_loss"}
    assert list(signature(losses.ContrastiveLoss).items())[:3] == list(contrastive.items())
    assert next(iter(signature(losses.contrastive_loss).items())) == ("margin", 1.0)
    assert signature(pairwise_distance) == {"squared": False}


def test_the_contrastive_loss_takes_distances_as_in_tensorflow_addons():
    same, distances = np.array([1, 0, 0]), np.array([0.5, 0.25, 3.0], np.float32)
    expected = np.array([0.25, 0.5625, 0.0])
    np.testing.assert_allclose(ops.convert_to_numpy(losses.contrastive_loss(same, distances)), expected)
    assert float(losses.ContrastiveLoss()(same[:, None], distances[:, None])) == pytest.approx(expected.mean())
    halved = losses.contrastive_loss(1 - same, distances, convention="hadsell")
    np.testing.assert_allclose(ops.convert_to_numpy(halved), expected / 2)


@on_tensorflow
@pytest.mark.parametrize("metric", METRICS)
def test_matrices_of_distances_equal_loops(metric):
    rng = np.random.default_rng(0)
    embeddings = (rng.choice([-80.0, 80.0], size=(12, 1)) + 0.008 * rng.normal(size=(12, 4))).astype(np.float32)
    embeddings[3] = embeddings[4]
    if metric == "angular":
        embeddings[:, 0] *= -1
        embeddings[5] = 0
    result = ops.convert_to_numpy(FUNCTIONS[metric](embeddings))
    np.testing.assert_allclose(result, oracle.distances(embeddings, metric), rtol=2e-6, atol=1e-7)
    assert result[3, 4] == 0


def test_distances_of_lists_and_of_very_long_rows():
    expected = [[0.0, 5.0, 5.0], [5.0, 0.0, 0.0], [5.0, 0.0, 0.0]]
    embeddings = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]], np.float32)
    np.testing.assert_allclose(ops.convert_to_numpy(pairwise_distance(embeddings.tolist())), expected, atol=2e-3)
    np.testing.assert_allclose(
        ops.convert_to_numpy(pairwise_distance(embeddings * np.float32(1e25))),
        np.array(expected) * 1e25,
        rtol=1e-6,
        atol=1e22,
    )
    assert float(angular_distance(np.array([[0.0, 0.0], [0.0, 2.0]], np.float32))[0, 1]) == 1.0


def test_refuses_what_it_cannot_mean():
    with pytest.raises(ValueError, match=r"\[B\] or \[B, 1\].*Received: shape=\[2, 3\]"):
        losses.triplet_hard_loss(np.zeros((2, 3), np.int32), ops.zeros((2, 3)))
    for name in ("TripletHardLoss", "TripletSemiHardLoss", "TripletBatchAllLoss"):
        with pytest.raises(ValueError, match="L2, squared-L2, angular or a function. Received: 'l3'"):
            getattr(losses, name)(distance_metric="l3")
    for name in ("TripletLoss", "PairContrastiveLoss"):
        with pytest.raises(ValueError, match="one of L2, squared-L2, angular. Received: 'l3'"):
            getattr(losses, name)(distance_metric="l3")
    for case in CASES:
        with pytest.raises(ValueError, match="margin must not be negative. Received: -1"):
            type(case.loss)(margin=-1)
    with pytest.raises(ValueError, match="one of positive, valid. Received: 'all'"):
        losses.TripletBatchAllLoss(average_over="all")
    with pytest.raises(ValueError, match="one of addons, hadsell. Received: 'half'"):
        losses.ContrastiveLoss(convention="half")
    with pytest.raises(ValueError, match="mean or sum. Received: 'max'"):
        losses.triplet_loss(None, ops.zeros((3, 2)), reduction="max")
    with pytest.raises(ValueError, match="mean or sum. Received: 'none'"):
        losses.TripletLoss(reduction="none")
    with pytest.raises(ValueError, match=r"anchor, positive, negative, …, a multiple of 3. Received: 4 rows"):
        losses.triplet_loss(None, ops.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"left, right, …, a multiple of 2. Received: 3 rows"):
        losses.pair_contrastive_loss(ops.zeros(3, "int32"), ops.zeros((3, 2)))
    for function in (losses.triplet_hard_loss, losses.triplet_semihard_loss, losses.triplet_batch_all_loss):
        with pytest.raises(ValueError, match=r"as many rows. Received: 2 labels and embeddings of shape=\[3, 2\]"):
            function([0, 1], ops.zeros((3, 2)))
        with pytest.raises(ValueError, match=r"float embeddings of shape \[B, D\]. Received: int32, shape=\[2, 1\]"):
            function([0, 1], ops.zeros((2, 1), "int32"))
        with pytest.raises(ValueError, match=r"Received: float32, shape=\[2\]"):
            function([0, 1], ops.zeros(2))
    with pytest.raises(ValueError, match="a logit for each pair, 2 of them. Received: 1"):
        losses.SiameseLoss()(ops.zeros(4, "int32"), ops.zeros(1))
