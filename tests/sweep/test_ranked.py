"""Jobs that differ in the seed are one group; groups are ranked by their mean on validation."""

import random
import statistics

import pytest

from stages.errors import UserError
from stages.sweep.measure import Measure
from stages.sweep.ranked import pareto, rank, varies
from tests.sweep.swept import MARGINS, SIZES, grid, job, jobs

MAP_AT_R = Measure("map_at_r")


def ranks(groups):
    return [(group.rank, *group.values.values()) for group in groups]


def test_the_highest_comes_first():
    groups = rank(jobs({(0.1,): 0.7, (0.2,): 0.9, (0.5,): 0.8}, "loss.margin"), MAP_AT_R)
    assert ranks(groups) == [(1, 0.2), (2, 0.5), (3, 0.1)]
    assert [group.score for group in groups] == [0.9, 0.8, 0.7]


def test_of_an_error_rate_the_lowest_comes_first():
    groups = rank(jobs({(0.1,): 0.7, (0.2,): 0.9, (0.5,): 0.8}, "loss.margin"), Measure("eer"))
    assert ranks(groups) == [(1, 0.2), (2, 0.5), (3, 0.1)]
    assert groups[0].score == pytest.approx(0.1)


def test_validation_ranks_and_test_does_not():
    best_on_test = job(0, ["a=1"], 0.8)
    best_on_test.metrics["test"]["trained"]["map_at_r"] = 1.0
    assert ranks(rank([best_on_test, job(1, ["a=2"], 0.81)], MAP_AT_R)) == [(1, 2), (2, 1)]


def test_equal_ones_share_a_rank_the_smaller_embedding_first():
    records = jobs({(64,): 1.0, (2,): 0.9, (4,): 1.0, (8,): 0.9}, "network.embedding_dim")
    assert ranks(rank(records, MAP_AT_R)) == [(1, 4), (1, 64), (3, 2), (3, 8)]


def test_means_that_are_equal_on_paper_share_a_rank():
    scores = {(1, 0): 0.1, (1, 1): 0.7, (2, 0): 0.3, (2, 1): 0.5, (3, 0): 0.400001, (3, 1): 0.4}
    groups = rank(jobs(scores, "a", "seed"), MAP_AT_R)
    assert ranks(groups) == [(1, 3), (2, 1), (2, 2)]


def test_jobs_that_differ_in_the_seed_are_one_group_with_mean_and_sample_deviation():
    scores = {0: 0.90, 1: 0.93, 2: 0.99}
    records = jobs({(margin, seed): s - margin for margin in (0.1, 0.2) for seed, s in scores.items()}, "m", "seed")
    best, other = rank(records, MAP_AT_R)
    assert [job.job for job in best.jobs] == [0, 1, 2]
    assert (best.seeds, best.failed, best.values) == (3, 0, {"m": 0.1})
    assert best.score == pytest.approx(0.84)
    assert best.sd == pytest.approx(statistics.stdev([0.80, 0.83, 0.89]))
    assert best.test["map_at_r"].mean == pytest.approx(0.83)
    assert best.train_seconds == 11
    assert set(best.test) == {"map_at_r", "recall_at_1", "verification_accuracy", "eer"}
    assert other.score == pytest.approx(0.74)


def test_one_seed_has_no_deviation():
    (group,) = rank([job(0, ["a=1"], 0.5)], MAP_AT_R)
    assert (group.sd, group.seeds) == (None, 1)


def test_the_same_computation_counts_once():
    scores = ((0, "same", 0.5), (1, "same", 0.5), (2, "other", 0.8))
    records = [job(number, ["a=1", f"seed={number // 2}"], score, key=key) for number, key, score in scores]
    (group,) = rank(records, MAP_AT_R)
    assert (group.score, group.seeds, len(group.jobs)) == (0.65, 2, 3)


def test_a_failed_seed_leaves_the_others_their_mean():
    (group,) = rank(jobs({(0,): 0.5, (1,): None, (2,): 0.7}, "seed"), MAP_AT_R)
    assert (group.rank, group.score, group.seeds, group.failed) == (1, 0.6, 2, 1)
    assert [record.job for record in group.records] == [0, 2]


def test_groups_without_a_score_come_last_and_have_no_rank():
    lost = job(2, ["a=3"], 0.9)
    lost.metrics["validation"]["trained"]["map_at_r"] = None
    groups = rank([job(0, ["a=1"], None), lost, job(1, ["a=2"], 0.1)], MAP_AT_R)
    assert [(group.rank, group.values["a"]) for group in groups] == [(1, 2), (None, 1), (None, 3)]
    assert [(group.failed, group.score) for group in groups] == [(0, 0.1), (1, None), (0, None)]


def test_a_sweep_in_which_all_failed_is_ranked_too():
    assert ranks(rank(jobs({(1,): None, (2,): None}, "a"), MAP_AT_R)) == [(None, 1), (None, 2)]
    assert rank([], MAP_AT_R) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall_at_3", "recall_at_1, recall_at_4"),
        ("macro.recall_at_3", "macro.map_at_r"),
        ("auc", "recall_at_1, recall_at_4, map_at_r, verification_accuracy, eer, val_at_far_1e-3"),
    ],
)
def test_a_measure_that_was_not_asked_of_evaluate_is_refused_with_those_that_were(name, expected):
    with pytest.raises(UserError) as refused:
        rank([job(0, [], None), job(1, [], 0.5)], Measure(name))
    assert str(refused.value) == f"metric: found {name}, which no job measured, expected one of {expected}"


def test_a_measure_that_the_images_cannot_show_ranks_nothing_and_is_no_error():
    (group,) = rank([job(0, [], 0.5)], Measure("val_at_far_1e-3"))
    assert (group.rank, group.score) == (None, None)
    assert "val_at_far_1e-3" not in group.test


@pytest.mark.parametrize("name", ["map_at_r", "eer"])
def test_the_front_holds_what_no_other_dominates(name):
    chance, measure = random.Random(name), Measure(name)
    for _ in range(40):
        scores = {(i,): chance.choice([0.5, 0.6, 0.7, 0.8, None]) for i in range(9)}
        records = jobs(scores, "a")
        for record in records:
            object.__setattr__(record, "embedding_dim", chance.choice([2, 4, 8, None]))
        groups = rank(records, measure)
        sign = -1 if name == "eer" else 1
        known = [(g.embedding_dim, sign * g.score, g) for g in groups if g.score is not None and g.embedding_dim]
        expected = [
            g
            for dim, score, g in known
            if not any((d < dim and s >= score) or (d <= dim and s > score) for d, s, _ in known)
        ]
        front = pareto(groups, "embedding_dim", measure)
        assert sorted(map(id, front)) == sorted(map(id, expected))
        sizes = [group.embedding_dim or 0 for group in front]
        assert sizes == sorted(sizes)


def test_a_cost_varies_if_groups_with_a_score_differ_in_it():
    same_size = rank(grid(MARGINS), MAP_AT_R)
    assert (varies(same_size, "embedding_dim"), varies(same_size, "train_seconds")) == (False, True)
    assert varies(rank(grid(SIZES), MAP_AT_R), "embedding_dim")
    assert not varies(rank(grid(SIZES, lost=[1]), MAP_AT_R), "embedding_dim")
