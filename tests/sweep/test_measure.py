"""A sweep is ranked by any measure of the trained network on validation, and by nothing else."""

import pytest

from stages.errors import UserError
from stages.evaluate.roc import far_name
from stages.ranking import measures as retrieval
from stages.sweep.measure import Measure
from tests.sweep.swept import job


@pytest.mark.parametrize(
    ("asked", "name", "title"),
    [
        ("map_at_r", "map_at_r", "validation MAP@R"),
        ("validation.map_at_r", "map_at_r", "validation MAP@R"),
        ("validation.trained.map_at_r", "map_at_r", "validation MAP@R"),
        ("recall_at_17", "recall_at_17", "validation recall@17"),
        ("precision_at_4", "precision_at_4", "validation precision@4"),
        ("val_at_far_1e-3", "val_at_far_1e-3", "validation VAL@FAR=1e-3"),
        ("val_at_far_0.05", "val_at_far_5e-2", "validation VAL@FAR=5e-2"),
        ("validation.trained.macro.recall_at_1", "macro.recall_at_1", "validation macro recall@1"),
        ("in_training.mrr", "in_training.mrr", "validation in training MRR"),
    ],
)
def test_a_measure_has_one_name_however_it_is_asked_for(asked, name, title):
    measure = Measure.named(asked)
    assert (measure.name, measure.title) == (name, title)


def test_every_measure_that_evaluate_reports_can_rank():
    of_pairs = ["auc", "eer", far_name(0.01), far_name(1e-4), "verification_accuracy"]
    for name in [*retrieval.names([1, 2, 8]), "knn_accuracy", *of_pairs]:
        assert Measure.named(name).name == name
        assert Measure.named(name).title != f"validation {name}"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("map_at_r1", "metric: found map_at_r1, which is no measure, the nearest valid one is map_at_r"),
        ("MAP@R", "metric: found MAP@R, which is no measure, the nearest valid one is map_at_r"),
        ("recal_at_1", "metric: found recal_at_1, which is no measure, the nearest valid one is recall_at_1"),
        ("recall_at_0", "metric: found recall_at_0, which is no measure, the nearest valid one is recall_at_1"),
        ("precision_at_1", "metric: found precision_at_1, which is no measure, the nearest valid one is recall_at_1"),
        ("val_at_far_2", "metric: found val_at_far_2, which is no measure, the nearest valid one is val_at_far_1e-3"),
        ("macro.maps", "metric: found macro.maps, which is no measure, the nearest valid one is macro.map_at_r"),
        (
            "test.trained.map_at_r",
            "metric: found test.trained.map_at_r, but figures on test choose nothing, "
            "the nearest valid one is map_at_r, on validation",
        ),
        (
            "test_unseen.eer",
            "metric: found test_unseen.eer, but figures on test choose nothing, "
            "the nearest valid one is eer, on validation",
        ),
        (
            "validation.untrained.mrr",
            "metric: found validation.untrained.mrr, but a sweep ranks the trained network, "
            "the nearest valid one is mrr",
        ),
    ],
)
def test_another_name_is_refused_with_the_nearest_that_is_not(asked, message):
    with pytest.raises(UserError) as refused:
        Measure.named(asked)
    assert str(refused.value) == message


@pytest.mark.parametrize("asked", ["macro.eer", "in_training.knn_accuracy", "verification_accuracy_sd", "", "."])
def test_what_evaluate_does_not_report_there_is_refused(asked):
    with pytest.raises(
        UserError,
        match="the nearest valid one is|expected one of .*map_at_r",
    ):
        Measure.named(asked)


def test_the_figure_of_a_job_is_that_of_its_trained_network():
    record = job(0, [], 0.8)
    assert Measure("map_at_r").value(record) == 0.8
    assert Measure("map_at_r").value(record, "test") == 0.79
    assert Measure("macro.map_at_r").value(record) == 0.4
    assert Measure("val_at_far_1e-3").value(record) is None
    assert Measure("recall_at_3").value(record) is None
    assert Measure("map_at_r").value(job(1, [], None)) is None


def test_only_of_an_error_rate_less_is_better():
    assert Measure("eer").lower_is_better
    assert not any(Measure(name).lower_is_better for name in retrieval.names([1, 2]))
