"""The whole report: its claims about systems, its chance levels, its sameness from run to run."""

import json
from dataclasses import replace

import numpy as np
import pytest

from stages import config
from stages.errors import UserError
from stages.evaluate.report import measure

MEASURES = [
    *(f"recall_at_{k}" for k in (1, 2, 4, 8)),
    *("map_at_r", "knn_accuracy", "verification_accuracy", "verification_accuracy_sd", "auc", "eer", "val_at_far_1e-3"),
]


@pytest.fixture(scope="module")
def report(digit_splits, settings):
    return measure(digit_splits, settings, seed=0)


def test_every_system_has_every_measure_on_both_splits(report):
    for split in ("test", "validation"):
        for system in ("raw", "untrained", "trained"):
            assert list(report.metrics[split][system]) == MEASURES
        assert set(report.metrics[split]["chance"]) == set(MEASURES) - {"verification_accuracy_sd"}


def test_training_beats_raw_pixels_and_everything_beats_chance(report):
    test = report.metrics["test"]
    assert test["trained"]["map_at_r"] > test["raw"]["map_at_r"] > test["chance"]["map_at_r"]
    assert test["trained"]["auc"] > test["raw"]["auc"] > 0.5
    assert test["trained"]["eer"] < test["raw"]["eer"] < 0.5


def test_counts_say_what_was_measured(report):
    counts = report.metrics["counts"]["test"]
    assert (counts["items"], counts["queries"], counts["queries_left_out"]) == (300, 300, 0)
    assert (counts["roc_pairs"], counts["roc_pairs_available"]) == (30_000, 44_850)
    assert counts["verification_folds_disjoint_in"] == "items"
    assert report.metrics["counts"]["validation"]["roc_pairs"] == 19_900


def test_two_runs_give_equal_bytes_and_another_seed_other_pairs(report, digit_splits, settings):
    again = measure(digit_splits, settings, seed=0)
    assert json.dumps(again.metrics) == json.dumps(report.metrics)
    assert json.dumps(again.threshold) == json.dumps(report.threshold)
    other = measure(digit_splits, settings, seed=1)
    assert other.metrics["test"]["trained"]["auc"] != report.metrics["test"]["trained"]["auc"]
    assert other.metrics["test"]["trained"]["map_at_r"] == report.metrics["test"]["trained"]["map_at_r"]


def test_floats_have_six_digits(report):
    values = [v for split in ("test", "validation") for s in report.metrics[split].values() for v in s.values()]
    assert all(value == round(value, 6) for value in values if value is not None)


def test_threshold_is_chosen_on_validation_alone(report, digit_splits, settings):
    test = digit_splits["test"]
    shuffled = replace(test, labels=np.random.default_rng(0).permutation(test.labels))
    other = measure({**digit_splits, "test": shuffled}, settings, seed=0)
    assert other.threshold["threshold"] == report.threshold["threshold"]
    assert other.threshold["validation"] == report.threshold["validation"]
    assert other.threshold["test"]["balanced_accuracy"] < 0.6 < report.threshold["test"]["balanced_accuracy"]


VERIFIED = ("verification_accuracy", "verification_accuracy_sd", "auc", "eer", "val_at_far_1e-3")


def test_a_head_tells_the_trained_networks_pairs_apart_and_changes_nothing_else(report, digit_splits, settings):
    dim = digit_splits["test"].trained.shape[1]
    # It looks at one coordinate alone, so it does worse than the distance.
    head = np.zeros(dim + 1, np.float32)
    head[0], head[-1] = -1, 0.25
    by_head = measure(digit_splits, settings, seed=0, head=head)
    first = {name: replace(split, trained=split.trained[:, :1]) for name, split in digit_splits.items()}
    alone = measure(first, settings, seed=0)
    for split in ("test", "validation"):
        for name, value in by_head.metrics[split]["trained"].items():
            expected = alone if name in VERIFIED else report
            assert value == pytest.approx(expected.metrics[split]["trained"][name], abs=1e-6), name
        assert by_head.metrics[split]["trained"]["auc"] < report.metrics[split]["trained"]["auc"]
        for system in ("raw", "untrained", "chance"):
            assert by_head.metrics[split][system] == report.metrics[split][system]
    assert (by_head.threshold["scored_by"], report.threshold["scored_by"]) == ("head", "distance")
    assert by_head.threshold["threshold"] == pytest.approx(alone.threshold["threshold"] - 0.25)
    assert by_head.threshold["test"] == alone.threshold["test"]


def test_raw_distances_are_of_pixels_between_0_and_1(report):
    assert 0 < report.curves["raw"].thresholds[-1] <= 8  # the diagonal of a cube with 64 edges


def test_constant_embedding_scores_chance_in_everything(digit_splits, settings):
    constant = {name: replace(split, trained=np.full_like(split.trained, 0.1)) for name, split in digit_splits.items()}
    metrics = measure(constant, settings, seed=0).metrics
    for split in ("test", "validation"):
        labels, found, chance = constant[split].labels, metrics[split], metrics[split]["chance"]
        for name in ("recall_at_1", "recall_at_8", "map_at_r", "verification_accuracy", "auc", "eer"):
            assert found["trained"][name] == pytest.approx(chance[name], abs=1e-6), name
        assert found["trained"]["verification_accuracy_sd"] == 0
        # All neighbours tie, and scikit-learn takes some five of them for every query: one class wins.
        assert found["trained"]["knn_accuracy"] in [round(float((labels == c).mean()), 6) for c in range(10)]
        assert found["trained"]["val_at_far_1e-3"] == 0  # no threshold accepts one different pair in a thousand


def test_what_is_undefined_is_none(digit_splits, settings):
    alone = {name: replace(split, labels=np.zeros_like(split.labels)) for name, split in digit_splits.items()}
    report = measure(alone, settings, seed=0)
    trained = report.metrics["test"]["trained"]
    assert [trained[name] for name in ("verification_accuracy", "auc", "eer", "val_at_far_1e-3")] == [None] * 4
    assert (trained["recall_at_1"], trained["map_at_r"], trained["knn_accuracy"]) == (1.0, 1.0, 1.0)
    assert report.threshold["threshold"] is None
    assert report.curves == {}


def test_more_neighbours_than_training_images_are_refused(digit_splits):
    settings = config.Evaluate(recall_at=[1], knn=2000, pairs=100, roc_pairs=100)
    with pytest.raises(UserError, match=r"^evaluate\.knn: found 2000, expected at most 1297, the training images$"):
        measure(digit_splits, settings, seed=0)
