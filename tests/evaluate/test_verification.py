"""What is reported of verification: names, chance beside it, and null where pairs cannot show it."""

import numpy as np
import pytest

from stages.evaluate import verification
from tests.evaluate.scored import scores_of

FARS = [0.01, 0.001]


def separated(same, different):
    """Scores of as many pairs, all same ones nearer."""
    return scores_of(np.arange(same + different), np.arange(same + different) < same)


def test_measures_are_named_and_null_where_the_pairs_are_too_few():
    assert verification.curve_measures(separated(5, 9_999), FARS) == {
        "auc": 1.0,
        "eer": 0.0,
        "val_at_far_1e-2": 1.0,
        "val_at_far_1e-3": None,
    }
    assert verification.curve_measures(separated(5, 10_000), FARS)["val_at_far_1e-3"] == 1.0


def test_chance_is_stated_where_the_measure_is():
    assert verification.chance_curve_measures(separated(5, 9_999), FARS) == {
        "auc": 0.5,
        "eer": 0.5,
        "val_at_far_1e-2": 0.01,
        "val_at_far_1e-3": None,
    }


@pytest.mark.parametrize(("same", "different"), [(0, 0), (3, 0), (0, 20_000)])
def test_one_kind_of_pairs_measures_nothing(same, different):
    scores = separated(same, different)
    nothing = dict.fromkeys(["auc", "eer", "val_at_far_1e-2", "val_at_far_1e-3"])
    assert verification.curve_measures(scores, FARS) == nothing
    assert verification.chance_curve_measures(scores, FARS) == nothing
    assert verification.calibrate(scores, None) is None
    assert verification.calibrate(scores, 0.01) is None


def test_constant_embedding_scores_chance():
    labels = np.arange(200) % 4
    of = verification.Euclidean(np.full((200, 3), 0.3, np.float32))
    scores = verification.natural_scores(of, labels, 10**6, 10, seed=0)
    assert verification.curve_measures(scores, FARS) == {
        "auc": 0.5,
        "eer": 0.5,
        "val_at_far_1e-2": 0.0,
        "val_at_far_1e-3": 0.0,
    }


def test_random_embedding_scores_near_chance():
    rng = np.random.default_rng(0)
    of = verification.Euclidean(rng.normal(size=(600, 8)).astype(np.float32))
    scores = verification.natural_scores(of, rng.integers(5, size=600), 10**6, 10, seed=0)
    chance = verification.chance_curve_measures(scores, FARS)
    for name, value in verification.curve_measures(scores, FARS).items():
        assert value == pytest.approx(chance[name], abs=0.02 if name in ("auc", "eer") else 0.005), name


def test_threshold_is_calibrated_by_eer_or_by_far():
    # 1,000 different pairs at 0, 1, 2 …; ten same pairs, half of them nearer than all of these.
    near = [-5, -4, -3, -2, -1, 20.25, 21.5, 22.5, 23.5, 999.5]
    scores = scores_of(np.append(near, np.arange(1000)), np.arange(1010) < 10)
    assert verification.calibrate(scores, 0.01) == 9.5
    assert verification.calibrate(scores, 0.021) == 20.625  # between a same pair at 20.25 and a different one at 21
    threshold = verification.calibrate(scores, None)
    assert threshold == 99.5
    rates = verification.rates(scores, threshold)
    assert (rates["far"], rates["val"]) == (0.1, 0.9)


def test_a_far_that_allows_nothing_or_cannot_be_shown_gives_no_threshold():
    assert verification.calibrate(scores_of(np.zeros(2000), np.arange(2000) < 10), 0.01) is None
    assert verification.calibrate(separated(5, 999), 0.01) is None
