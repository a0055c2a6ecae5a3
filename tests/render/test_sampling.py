"""A sample for a map is stratified by class."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.render.sampling import stratified


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=200).map(np.array), st.integers(1, 100), st.integers(0, 99))
def test_each_class_has_its_share_to_within_one_item(labels, limit, seed):
    chosen = stratified(labels, limit, seed)
    assert len(chosen) == min(limit, len(labels)) == len(set(chosen))
    assert (np.diff(chosen) > 0).all()
    for label in np.unique(labels):
        share = len(chosen) * (labels == label).mean()
        # At least one item of each class comes first; what that takes is missing from the others.
        slack = 1 + len(np.unique(labels)) / 2
        assert abs((labels[chosen] == label).sum() - share) <= slack
    if limit >= len(np.unique(labels)):
        assert set(labels[chosen]) == set(labels)


def test_large_classes_have_more_points():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    assert np.bincount(labels[stratified(labels, 100, seed=0)]).tolist() == [60, 30, 10]


def test_sample_of_equal_classes_is_equal_and_depends_on_the_seed():
    labels = np.tile(np.arange(10), 100)
    first, again, other = (stratified(labels, 250, seed) for seed in (0, 0, 1))
    assert np.bincount(labels[first]).tolist() == [25] * 10
    np.testing.assert_array_equal(first, again)
    assert len(set(first) & set(other)) < 125
