"""The whole report: its claims about systems, its chance levels, its intervals, its sameness from run to run."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from stages import config
from stages.errors import UserError
from stages.evaluate.report import measure

RETRIEVAL = [
    *(f"recall_at_{k}" for k in (1, 2, 4, 8)),
    *(f"precision_at_{k}" for k in (2, 4, 8)),
    *("r_precision", "map_at_r", "mrr"),
]
VERIFICATION = ["verification_accuracy", "auc", "eer", "val_at_far_1e-2", "val_at_far_1e-3"]
MEASURES = [*RETRIEVAL, "knn_accuracy", *VERIFICATION]
SYSTEMS = ("raw", "untrained", "trained")


@pytest.fixture(scope="module")
def report(digit_splits, views, settings):
    return measure(views, digit_splits["train"], settings, seed=0)


def numbers(measures):
    return {name: value for name, value in measures.items() if not isinstance(value, dict)}


def test_every_system_has_every_measure_with_interval_macro_and_gallery(report):
    for view in ("test", "validation"):
        for system in SYSTEMS:
            found = report.metrics[view][system]
            assert set(numbers(found)) == {*MEASURES, "verification_accuracy_sd"}
            assert set(found["interval"]) == set(MEASURES)
            assert set(found["macro"]) == {*RETRIEVAL, "knn_accuracy"}
            assert set(numbers(found["in_training"])) == set(found["in_training"]["interval"]) == set(RETRIEVAL)
        chance = report.metrics[view]["chance"]
        assert set(numbers(chance)) == set(MEASURES)
        assert set(chance["macro"]) == {*RETRIEVAL, "knn_accuracy"}
        assert set(chance["in_training"]) == set(RETRIEVAL)


def test_intervals_hold_their_measure(report):
    for view in ("test", "validation"):
        for system in SYSTEMS:
            found = report.metrics[view][system]
            for part in (found, found["in_training"]):
                for name, interval in part["interval"].items():
                    assert 0 <= interval["low"] <= part[name] <= interval["high"] <= 1, (system, name)
    wide = report.metrics["test"]["raw"]["interval"]["map_at_r"]
    assert 0.01 < wide["high"] - wide["low"] < 0.1


def test_training_beats_raw_pixels_and_everything_beats_chance(report):
    test = report.metrics["test"]
    for name in ("map_at_r", "r_precision", "auc", "verification_accuracy"):
        assert test["trained"][name] > test["raw"][name] > test["chance"][name], name
    assert test["trained"]["eer"] < test["raw"]["eer"] < 0.5
    assert test["trained"]["in_training"]["map_at_r"] > test["raw"]["in_training"]["map_at_r"]


def test_counts_say_what_was_measured(report):
    counts = report.metrics["counts"]["test"]
    assert (counts["items"], counts["classes"], counts["queries"], counts["queries_left_out"]) == (300, 10, 300, 0)
    assert counts["natural_pairs"] == counts["natural_pairs_available"] == 44_850
    assert counts["interval_pairs"] == 20_000
    assert counts["in_training_queries"] == 150
    assert counts["balanced_folds_disjoint_in"] == "items"
    assert counts["balanced_pairs"] <= 2000


def test_pairs_are_sampled_where_there_are_more_than_allowed(digit_splits, views, settings):
    fewer = settings.model_copy(update={"all_pairs_up_to": 40_000})
    found = measure(views, digit_splits["train"], fewer, seed=0).metrics
    assert found["counts"]["test"]["natural_pairs"] == 20_000
    assert found["counts"]["validation"]["natural_pairs"] == 19_900


def test_two_runs_give_equal_bytes_and_another_seed_other_pairs(report, digit_splits, views, settings):
    again, other = (measure(views, digit_splits["train"], settings, seed) for seed in (0, 1))
    assert json.dumps(again.metrics) == json.dumps(report.metrics)
    assert json.dumps(again.threshold) == json.dumps(report.threshold)
    mine, others = report.metrics["test"]["trained"], other.metrics["test"]["trained"]
    assert mine["verification_accuracy"] != others["verification_accuracy"]
    assert mine["interval"]["map_at_r"] != others["interval"]["map_at_r"]
    assert (mine["map_at_r"], mine["auc"]) == (others["map_at_r"], others["auc"])


def test_floats_have_six_digits(report):
    values = [value for _, value in config.flatten(report.metrics) if isinstance(value, float)]
    assert len(values) > 300
    assert all(value == round(value, 6) for value in values)


def test_threshold_is_chosen_on_validation_alone(report, digit_splits, views, settings):
    test = digit_splits["test"]
    shuffled = replace(test, labels=np.random.default_rng(0).permutation(test.labels))
    other = measure({**views, "test": shuffled}, digit_splits["train"], settings, seed=0)
    assert other.threshold["threshold"] == report.threshold["threshold"]
    assert other.threshold["validation"] == report.threshold["validation"]
    assert other.threshold["test"]["balanced_accuracy"] < 0.6 < report.threshold["test"]["balanced_accuracy"]


def test_threshold_by_a_given_far_keeps_to_it_on_validation(digit_splits, views, settings):
    given = settings.model_copy(update={"threshold_far": 0.01})
    found = measure(views, digit_splits["train"], given, seed=0).threshold
    assert found["by"] == "far=0.01"
    assert 0.009 < found["validation"]["far"] <= 0.01
    assert found["test"]["far"] == pytest.approx(0.01, abs=0.01)


def test_threshold_that_the_pairs_cannot_show_is_none_and_says_why(digit_splits, views, settings):
    given = settings.model_copy(update={"threshold_far": 1e-4})
    found = measure(views, digit_splits["train"], given, seed=0).threshold
    assert found["threshold"] is None
    assert re.fullmatch(r"validation has 1\d,\d{3} different pairs, a FAR of 0.0001 needs 100,000", found["because"])


def test_threads_change_nothing(report, digit_splits, views, settings):
    assert measure(views, digit_splits["train"], settings, seed=0, threads=3).metrics == report.metrics


def test_a_head_tells_the_trained_networks_pairs_apart_and_changes_nothing_else(report, digit_splits, views, settings):
    dim = digit_splits["test"].trained.shape[1]
    # It looks at one coordinate alone, so it does worse than the distance.
    head = np.zeros(dim + 1, np.float32)
    head[0], head[-1] = -1, 0.25
    by_head = measure(views, digit_splits["train"], settings, seed=0, head=head)
    first = {name: replace(split, trained=split.trained[:, :1]) for name, split in digit_splits.items()}
    alone = measure({name: first[name] for name in views}, first["train"], settings, seed=0)
    verified = {*VERIFICATION, "verification_accuracy_sd"}
    for view in views:
        for name, value in numbers(by_head.metrics[view]["trained"]).items():
            expected = alone if name in verified else report
            assert value == pytest.approx(expected.metrics[view]["trained"][name], abs=1e-6), name
        assert by_head.metrics[view]["trained"]["auc"] < report.metrics[view]["trained"]["auc"]
        for system in ("raw", "untrained", "chance"):
            assert by_head.metrics[view][system] == report.metrics[view][system]
    assert (by_head.threshold["scored_by"], report.threshold["scored_by"]) == ("head", "distance")
    assert by_head.threshold["threshold"] == pytest.approx(alone.threshold["threshold"] - 0.25, abs=1e-6)
    assert (by_head.threshold["accept_if"], report.threshold["accept_if"]) == (
        "probability >= this one",
        "distance <= threshold",
    )
    logit = np.log(by_head.threshold["probability"] / (1 - by_head.threshold["probability"]))
    assert logit == pytest.approx(-by_head.threshold["threshold"], abs=1e-6)
    assert by_head.threshold["test"] == alone.threshold["test"]


def test_raw_distances_are_of_pixels_between_0_and_1(report):
    assert 0 < report.views["test"].curves["raw"].edges[-1] <= 8  # the diagonal of a cube with 64 edges


def test_nearest_and_classes_agree_with_the_means(report):
    view, measures = report.views["test"], report.metrics["test"]["trained"]
    assert np.mean(view.labels == view.nearest) == pytest.approx(measures["recall_at_1"], abs=1e-6)
    found = view.classes["trained"]
    queries = np.array([found[label]["queries"] for label in found])
    recalls = np.array([found[label]["recall_at_1"] for label in found])
    assert (queries * recalls).sum() / 300 == pytest.approx(measures["recall_at_1"], abs=1e-6)
    assert recalls.mean() == pytest.approx(measures["macro"]["recall_at_1"], abs=1e-6)


def test_constant_embedding_scores_chance_and_is_never_accepted_at_a_small_far(digit_splits, settings):
    constant = {name: replace(split, trained=np.full_like(split.trained, 0.1)) for name, split in digit_splits.items()}
    views = {name: constant[name] for name in ("validation", "test")}
    metrics = measure(views, constant["train"], settings, seed=0).metrics
    for view in views:
        found, chance = metrics[view]["trained"], metrics[view]["chance"]
        for name in (*RETRIEVAL, "verification_accuracy", "auc", "eer"):
            assert found[name] == pytest.approx(chance[name], abs=2e-6), name
        for name in RETRIEVAL:
            assert found["in_training"][name] == pytest.approx(chance["in_training"][name], abs=2e-6), name
            assert found["macro"][name] == pytest.approx(chance["macro"][name], abs=2e-6), name
        assert found["verification_accuracy_sd"] == 0
        assert found["knn_accuracy"] == pytest.approx(chance["knn_accuracy"], abs=2e-6)
        assert found["macro"]["knn_accuracy"] == pytest.approx(chance["macro"]["knn_accuracy"], abs=2e-6)
        assert found["val_at_far_1e-3"] == 0  # no threshold accepts one different pair in a thousand


def test_what_is_undefined_is_none(digit_splits, settings):
    alone = {name: replace(split, labels=np.zeros_like(split.labels)) for name, split in digit_splits.items()}
    report = measure({name: alone[name] for name in ("validation", "test")}, alone["train"], settings, seed=0)
    trained = report.metrics["test"]["trained"]
    assert [trained[name] for name in VERIFICATION] == [None] * 5
    assert [report.metrics["test"]["chance"][name] for name in VERIFICATION] == [None] * 5
    assert not set(VERIFICATION) & set(trained["interval"])
    assert (trained["recall_at_1"], trained["map_at_r"], trained["knn_accuracy"]) == (1.0, 1.0, 1.0)
    assert report.threshold["threshold"] is None
    assert report.threshold["because"] == "validation has 19,900 same and 0 different pairs, expected some of both"
    assert report.views["test"].curves == {}


def test_images_of_classes_that_training_lacks_are_no_queries_there(digit_splits, settings):
    train, test = digit_splits["train"], digit_splits["test"]
    seen = train.rows(np.flatnonzero(train.labels < 7))
    validation = digit_splits["validation"]
    views = {
        "validation": validation.rows(np.flatnonzero(validation.labels < 7)),
        "test": test,
        "test_seen": test.rows(np.flatnonzero(test.labels < 7)),
        "test_unseen": test.rows(np.flatnonzero(test.labels >= 7)),
    }
    metrics = measure(views, seen, settings, seed=0).metrics
    counts = {name: metrics["counts"][name] for name in views}
    unseen = int((test.labels >= 7).sum())
    assert counts["test"]["knn_queries_left_out"] == counts["test_unseen"]["knn_queries_left_out"] == unseen
    assert (counts["test_seen"]["classes"], counts["test_unseen"]["classes"]) == (7, 3)
    assert metrics["test_unseen"]["trained"]["knn_accuracy"] is None
    assert metrics["test_unseen"]["chance"]["knn_accuracy"] is None
    assert metrics["test_unseen"]["trained"]["in_training"]["map_at_r"] is None
    assert metrics["test"]["trained"]["knn_accuracy"] == metrics["test_seen"]["trained"]["knn_accuracy"]
    # Among three classes chance is higher than among ten: the gallery is the group's own.
    assert metrics["test_unseen"]["chance"]["recall_at_1"] > 0.3 > 0.15 > metrics["test"]["chance"]["recall_at_1"]


def test_more_neighbours_than_training_images_are_refused(digit_splits, views, settings):
    more = settings.model_copy(update={"knn": 2000})
    with pytest.raises(UserError, match=r"^evaluate\.knn: found 2000, expected at most 1297, the training images$"):
        measure(views, digit_splits["train"], more, seed=0)
