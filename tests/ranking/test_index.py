"""Approximate indexes: what they find is ranked as ever, what they miss is told, and both are the same every time."""

import dataclasses
import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from unittest import mock

import numpy as np
import pytest

from stages.ranking import chance, index, measures, neighbours, placed, ranks, recall, search
from tests.ranking import loops
from tests.ranking.test_measures import assert_means_are, each
from tests.ranking.test_search import FIELDS, assert_same, joined, through_faiss

KINDS = ("hnsw", "ivf")


@contextmanager
def narrow():
    """So little is searched that much is missed."""
    with (
        mock.patch.multiple(index, LEAST_PROBED=1, MOST_PROBED=1, ROOM=0),
        mock.patch.multiple(index, LEAST_SEARCHED=1, MOST_SEARCHED=1, LINKS=4, LINKED_BY=4),
    ):
        yield


def by_few(tuned_by=40, sample=50):
    """An index is of use for a few queries, too."""
    return mock.patch.multiple(recall, TUNED_BY=tuned_by, SAMPLE=sample)


def measured(built, points, rows, depth):
    """What an index of the points finds of the nearest others of some."""
    exact, _ = recall.nearest_keys(placed.place(points), rows, depth)
    return recall.measure(built, placed.place(points), rows, exact)


def even_classes(items=3000, classes=150, seed=0):
    """Points around class centres, as many in each."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(items) % classes)
    points = rng.normal(size=(classes, 16))[labels] + 0.7 * rng.normal(size=(items, 16))
    return points.astype(np.float32), labels


@pytest.mark.parametrize("kind", KINDS)
def test_recall_equals_a_plain_computation(kind):
    points, _ = even_classes()
    rows, depth = np.arange(0, 3000, 7), 19
    with through_faiss(), narrow():
        built = index.build(kind, points)
        found, _ = neighbours.nearest(points, points, depth, itself=True, rows=rows, index=built)
        told = measured(built, points, rows, depth)
    distances = ((points[rows, None].astype(np.float64) - points) ** 2).sum(axis=2)
    distances[np.arange(len(rows)), rows] = np.inf
    true = np.argsort(distances, axis=1)[:, :depth]
    shares = [len(set(a) & set(b)) / depth for a, b in zip(found.tolist(), true.tolist(), strict=True)]
    assert told.at_depth == pytest.approx(np.mean(shares), abs=1e-12)
    assert told.at_1 == np.mean(found[:, 0] == true[:, 0])
    assert 0.3 < np.mean(shares) < 0.99
    assert (told.queries, told.depth) == (len(rows), depth)


@pytest.mark.parametrize("kind", KINDS)
def test_measures_are_as_near_to_the_exact_ones_as_the_recall_says(kind):
    points, labels = even_classes()
    exact = list(ranks.leave_one_out(points, labels, 4))
    for searched, least in ((through_faiss, 0.95), (narrow, 0.3)):
        with through_faiss(), searched():
            built = index.build(kind, points)
            found = list(ranks.leave_one_out(points, labels, 4, index=built))
            told = measured(built, points, np.arange(0, 3000, 3), 19)
        assert told.at_depth > least
        means = partial(measures.means, recall_at_1=partial(measures.hits, k=1), map_at_r=measures.average_precisions)
        assert means(found) == pytest.approx(means(exact), abs=1 - told.at_depth + 0.003)


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_searches_as_much_as_the_wanted_share_takes(kind):
    points, _ = even_classes()
    rows, depth = np.arange(3000), 19
    with through_faiss(), narrow():
        built = index.build(kind, points)
        efforts = built.efforts(search.proposed(depth, itself=True))
        found = [
            measured(dataclasses.replace(built, effort=effort), points, rows, depth).at_depth for effort in efforts
        ]
        for wanted in (0.3, 0.6, 0.85):
            with by_few(tuned_by=250, sample=1000):
                tuned, told = recall.tuned(lambda: built, points, None, rows, depth, wanted, seed=0)
            assert tuned is not None
            assert told.at_depth is not None
            taken = efforts.index(tuned.effort)
            assert taken == 0 or found[taken - 1] < wanted + 0.03  # by other queries
            assert told.at_depth == pytest.approx(found[taken], abs=0.03)
            assert told.at_depth > wanted - 0.03
            assert (told.effort, told.queries) == (tuned.effort, 1000)
    assert found[0] < 0.6
    assert found[-1] > 0.85


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_found_is_ranked_with_its_ties_as_ever(kind):
    points, labels = loops.clustered(0)
    points = np.rint(points)  # on a lattice, full of ties, and 20 items twice
    with through_faiss(), mock.patch.multiple(index, LEAST_PROBED=99, LEAST_SEARCHED=2000):  # nothing is missed
        built = index.build(kind, points)
        found = joined(ranks.leave_one_out(points, labels, 5, index=built))
    assert_same(found, joined(ranks.leave_one_out(points, labels, 5)))


@pytest.mark.parametrize("kind", KINDS)
def test_constant_embedding_scores_chance_through_an_index(kind):
    labels = np.random.default_rng(0).integers(0, 40, 300)
    points = np.full((300, 3), 0.7, np.float32)
    with through_faiss():
        built = index.build(kind, points)
        found = each(ranks.leave_one_out(points, labels, 9, index=built))
        told = measured(built, points, np.arange(300), 9)
    assert_means_are(found, chance.leave_one_out(labels, [1, 2, 3, 9]))
    assert (told.at_depth, told.at_1, told.compared_with_all) == (1.0, 1.0, 300)


def test_a_query_for_which_too_few_were_found_is_compared_with_all():
    points, labels = even_classes(400, 20)
    with through_faiss(), narrow():  # one list of ten, of about 40 items
        built = index.build("ivf", points)
        found = joined(ranks.leave_one_out(points, labels, 200, index=built))
        told = measured(built, points, np.arange(400), 200)
    assert_same(found, joined(ranks.leave_one_out(points, labels, 200)))
    assert (told.at_depth, told.compared_with_all) == (1.0, 400)


@pytest.mark.parametrize("kind", KINDS)
def test_queries_whose_label_lies_beyond_are_counted_over_the_whole_gallery(kind):
    rng = np.random.default_rng(1)
    points, labels = rng.normal(size=(600, 8)).astype(np.float32), np.arange(600) // 2
    exact = joined(ranks.leave_one_out(points, labels))
    with through_faiss(), narrow():
        found = joined(ranks.leave_one_out(points, labels, index=index.build(kind, points)))
    beyond = ~found["relevant"].any(axis=1)
    assert beyond.sum() > 500
    for name in ("nearer", "tied", "tied_relevant"):
        np.testing.assert_array_equal(found[name][beyond], exact[name][beyond])


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_take_a_byte_each_and_are_found_like_floats(kind):
    pixels = np.random.default_rng(2).integers(0, 256, (500, 48)).astype(np.uint8)
    bytes_, floats = index.build(kind, pixels), index.build(kind, pixels.astype(np.float32))
    np.testing.assert_array_equal(bytes_.propose(pixels[:50], 7), floats.propose(pixels[:50], 7))
    storage = [built.built.storage if kind == "hnsw" else built.built for built in (bytes_, floats)]
    assert [held.code_size for held in map(downcast, storage)] == [48, 4 * 48]


def downcast(held):
    import faiss

    return faiss.downcast_index(held)


@pytest.mark.parametrize("kind", KINDS)
def test_scale_changes_nothing(kind):
    points, _ = even_classes(500)
    expected = index.build(kind, points).propose(points[:50], 7)
    for exponent in (-110, 80):
        scaled = np.ldexp(points, exponent).astype(np.float32)
        np.testing.assert_array_equal(index.build(kind, scaled).propose(scaled[:50], 7), expected)


HASHED = """
import hashlib
from stages.ranking import index
from tests.ranking.test_index import KINDS, even_classes
points, _ = even_classes(4000)
for kind in KINDS:
    print(kind, hashlib.sha256(index.build(kind, points).propose(points[:500], 20).tobytes()).hexdigest())
"""


def test_threads_change_nothing():
    told = []
    for threads in ("1", "3"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", HASHED], env=environment, capture_output=True, check=True)
        told.append(done.stdout)
    assert told[0] == told[1]
    assert len(told[0].splitlines()) == 2


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="one of hnsw, ivf. Received: 'annoy'"):
        index.build("annoy", np.ones((3, 2)))  # type: ignore[arg-type]


def test_small_galleries_and_great_depths_are_compared_whole():
    assert search.proposes(10_000, 70, itself=True)
    assert not search.proposes(8192, 5, itself=True)
    assert not search.proposes(10_000, 90, itself=True)
    points, _ = loops.clustered(3)
    rows = np.arange(400)
    for queries, shares in ((400, 1.0), (0, None)):
        with by_few():
            tuned, told = recall.tuned(unasked, points, None, rows[:queries], 10, 0.9, seed=0)
        assert tuned is None
        assert told == recall.Recall(10, shares, shares, queries, queries, effort=None)


def unasked():
    raise AssertionError("an index was built that nobody needs")


def test_few_queries_are_compared_with_all():
    points, _ = even_classes()
    with through_faiss():
        tuned, told = recall.tuned(unasked, points, None, np.arange(1250), 19, 0.9, seed=0)
        assert (tuned, told.effort, told.compared_with_all) == (None, None, 1250)
        tuned, told = recall.tuned(lambda: index.build("ivf", points), points, None, np.arange(1251), 19, 0.9, seed=0)
    assert tuned is not None
    assert (told.effort, told.queries) == (tuned.effort, recall.SAMPLE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("points", [even_classes()[0], np.ones((3000, 16), np.float32)], ids=["wanting", "tied"])
def test_an_index_that_cannot_find_the_wanted_share_is_not_used(kind, points):
    with through_faiss(), narrow(), by_few(), mock.patch.multiple(index, MOST_PROBED=30, MOST_SEARCHED=30):
        tuned, told = recall.tuned(lambda: index.build(kind, points), points, None, np.arange(3000), 19, 0.99, seed=0)
    assert tuned is None
    assert told.refused is not None
    assert told == recall.Recall.of_all(19, 3000, told.refused)
    assert told.refused < 0.99


def test_sampled_queries_equal_the_same_rows_of_all():
    points, labels = loops.clustered(4, classes=120)
    labels[:3] = [-1, -2, -3]  # three classes of one
    rows = np.array([0, 1, 5, 8, 40, 41, 399])
    everything = each(ranks.leave_one_out(points, labels, 9))
    for context in (through_faiss(), mock.patch.object(search, "BLOCK", 900)):
        with context:
            found = each(ranks.leave_one_out(points, labels, 9, rows=rows))
        assert sorted(found) == [row for row in rows if row in everything] == [5, 40, 41, 399]
        for row, values in found.items():
            assert values == pytest.approx(everything[row], abs=1e-12)
    items, distances = neighbours.nearest(points, points, 3, itself=True)
    some, some_distances = neighbours.nearest(points, points, 3, itself=True, rows=rows)
    np.testing.assert_array_equal(some, items[rows])
    np.testing.assert_array_equal(some_distances, distances[rows])


def test_gallery_that_is_not_held_gives_the_same_bit_for_bit(monkeypatch, tmp_path):
    points, labels = loops.clustered(5)
    points[::3] = np.rint(points[::3])  # these tie
    labels[::2] = np.arange(200) % 90  # of many of these the label lies beyond the depth
    np.save(tmp_path / "points.npy", points)
    on_disk = np.load(tmp_path / "points.npy", mmap_mode="r")
    expected = joined(ranks.leave_one_out(points, labels, 2))
    queries = points[:50] + 0.25, labels[:50]
    in_gallery = joined(ranks.in_gallery(*queries, points, labels, 2))
    assert (~expected["relevant"].any(axis=1)).sum() > 10
    for module, name, value in ((placed, "HELD", 0), (placed, "BLOCK", 100), (search, "ROW_NUMBERS", 3000)):
        monkeypatch.setattr(module, name, value)
    assert_same(joined(ranks.leave_one_out(on_disk, labels, 2)), expected)
    monkeypatch.setattr(search, "FAISS_NUMBERS", 600)
    monkeypatch.setattr(search, "FAISS_QUERIES", 64)
    with through_faiss(spare=0):
        assert_same(joined(ranks.leave_one_out(on_disk, labels, 2)), expected)
        assert_same(joined(ranks.in_gallery(*queries, on_disk, labels, 2)), in_gallery)
    assert set(expected) == set(FIELDS)
