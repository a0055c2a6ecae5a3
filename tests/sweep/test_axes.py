"""Axes are what differs between jobs, with its values as they are meant."""

import pytest

from stages.sweep import axes
from stages.sweep.axes import ABSENT, Axis
from tests.sweep.swept import job


def found(*overrides):
    return axes.find([job(number, of_job) for number, of_job in enumerate(overrides)])


def test_settings_that_all_jobs_share_are_no_axes():
    shared = ["threads=1", "experiment=mnist"]
    assert found([*shared, "loss.margin=0.1"], [*shared, "loss.margin=0.2"]) == [
        Axis("loss.margin", (0.1, 0.2), numeric=True)
    ]


def test_a_sweep_over_seeds_alone_has_no_axis():
    assert found(["seed=0"], ["seed=1"], ["seed=2"]) == []


def test_numbers_ascend_and_names_keep_their_order():
    numbers, names = found(
        ["network.embedding_dim=16", "loss=semi_hard"],
        ["network.embedding_dim=2", "loss=batch_hard"],
        ["network.embedding_dim=4", "loss=batch_all"],
    )
    assert numbers == Axis("network.embedding_dim", (2, 4, 16), numeric=True)
    assert names == Axis("loss", ("semi_hard", "batch_hard", "batch_all"), numeric=False)


def test_a_number_is_the_same_however_it_is_written():
    assert found(["a=1e-1", "b=1"], ["a=0.1", "b=1.0"], ["a=0.10", "b=2"]) == [Axis("b", (1, 2), numeric=True)]


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("a=null", "null"),
        ("a=true", "true"),
        ("a='0.1'", "0.1"),
        ("a='two words'", "two words"),
        ("a=[pca,tsne]", "[pca,tsne]"),
        ("a={shift: 1.0}", "{shift:1.0}"),
        ("a=nan", "nan"),
        ("+a=3", 3),
    ],
)
def test_values_are_read_by_the_grammar_of_hydra(override, value):
    read = axes.value_of(job(0, [override]), "a")
    assert (read, type(read)) == (value, type(value))


def test_numbers_beside_a_null_are_no_numeric_axis():
    assert found(["a=2"], ["a=null"], ["a=1"]) == [Axis("a", (2, "null", 1), numeric=False)]


def test_a_job_that_leaves_an_axis_alone_has_a_dash_there():
    assert found(["a=1"], []) == [Axis("a", (1, ABSENT), numeric=False)]


def test_of_a_key_set_twice_the_last_counts():
    assert axes.value_of(job(0, ["a=1", "a=2"]), "a") == 2


def test_short_names_are_as_long_as_it_takes():
    names = ["optimizer.learning_rate.peak", "x.learning_rate.peak", "loss", "a.loss"]
    assert axes.short_names(names) == {
        "optimizer.learning_rate.peak": "optimizer.learning_rate.peak",
        "x.learning_rate.peak": "x.learning_rate.peak",
        "loss": "loss",
        "a.loss": "a.loss",
    }
    assert list(axes.short_names(["loss.margin", "network.embedding_dim"]).values()) == ["margin", "embedding_dim"]
