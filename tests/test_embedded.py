"""Splits are read whole and checked against each other."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import config, embedded, store
from stages.errors import UserError

FILES = ("prepared/test_images", "prepared/test_labels", "embeddings/test_labels", "embeddings/test_embeddings")


@pytest.fixture
def paths(tmp_path):
    names = dict.fromkeys(config.Paths.model_fields, "unused")
    folders = {"prepared": str(tmp_path / "prepared"), "embeddings": str(tmp_path / "embeddings")}
    labels = np.array([0, 1, 1, 0, 2], np.int32)
    store.save_array(tmp_path / "prepared/test_images.npy", np.arange(60).reshape(5, 3, 4, 1).astype(np.uint8))
    store.save_array(tmp_path / "prepared/test_labels.npy", labels)
    store.save_array(tmp_path / "embeddings/test_labels.npy", labels)
    store.save_array(tmp_path / "embeddings/test_embeddings.npy", np.ones((5, 2), np.float32))
    store.save_array(tmp_path / "embeddings/test_untrained.npy", np.zeros((5, 2), np.float32))
    return config.Paths(**{**names, **folders})


def change(paths, file, alter):
    path = Path(paths.prepared).parent / f"{file}.npy"
    store.save_array(path, alter(np.load(path)))
    return path


def test_systems_are_rows_of_one_order(paths):
    systems = embedded.load_split(paths, "test").systems()
    assert list(systems) == ["raw", "untrained", "trained"]
    np.testing.assert_array_equal(systems["raw"], np.arange(60).reshape(5, 12))
    assert systems["trained"].all()
    assert not systems["untrained"].any()


@pytest.mark.parametrize("file", [*FILES[1:], "embeddings/test_untrained"])
def test_another_number_of_rows_names_both_files(paths, file):
    path = change(paths, file, lambda array: array[:4])
    with pytest.raises(UserError) as caught:
        embedded.load_split(paths, "test")
    assert str(caught.value) == f"{path}: found 4 rows, expected 5 as in {Path(paths.prepared) / 'test_images.npy'}"


def test_other_labels_name_the_row_and_both_files(paths):
    path = change(paths, "embeddings/test_labels", lambda labels: labels[::-1].copy())
    with pytest.raises(UserError, match=r"row 0 is 2, expected 0 as in .*prepared.test_labels\.npy") as caught:
        embedded.load_split(paths, "test")
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("file", ["embeddings/test_embeddings", "embeddings/test_untrained"])
def test_embedding_that_is_not_finite_names_the_row(paths, file, broken):
    def alter(array):
        array[3, 1] = broken
        return array

    path = change(paths, file, alter)
    with pytest.raises(UserError, match="row 3 holds NaN or infinity, expected finite numbers") as caught:
        embedded.load_split(paths, "test")
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [1, 2], [4], [0, 2, 3], [1, 4], []])
def test_rows_are_the_same_rows_of_every_array(paths, rows):
    store.save_array(Path(paths.embeddings) / "test_untrained.npy", np.arange(5, dtype=np.float32)[:, None])
    split = embedded.load_split(paths, "test")
    part = split.rows(np.array(rows, np.int64))
    assert part.images.shape == (len(rows), 3, 4, 1)
    assert part.labels.tolist() == [[0, 1, 1, 0, 2][row] for row in rows]
    assert part.untrained[:, 0].tolist() == rows
    for name, array in part.systems().items():
        np.testing.assert_array_equal(array, split.systems()[name][rows])


def test_all_rows_and_others_without_a_gap_stay_on_the_disk(paths):
    split = embedded.load_split(paths, "test")
    for rows in (np.arange(5), np.arange(1, 4)):
        part = split.rows(rows)
        assert isinstance(part.images, np.memmap)
        assert np.shares_memory(part.trained, split.trained)


def test_names_of_classes_are_read_and_checked(paths):
    splits = [embedded.load_split(paths, "test")]
    source = Path(paths.prepared) / "classes.json"
    store.save_json(source, ["ant", "bee", "cat", "dog"])
    assert embedded.load_classes(paths, splits) == ["ant", "bee", "cat", "dog"]
    for content, message in (
        (["ant", "bee"], f"found 2 names, expected 3 as the labels of {paths.prepared} need"),
        ({"0": "ant"}, "found other content, expected a list of names"),
        ([0, 1, 2], "found other content, expected a list of names"),
    ):
        store.save_json(source, content)
        with pytest.raises(UserError) as caught:
            embedded.load_classes(paths, splits)
        assert str(caught.value) == f"{source}: {message}"


labels = st.lists(st.integers(0, 5), max_size=20)


@settings(deadline=None)
@given(labels, labels)
def test_groups_are_the_rows_of_classes_that_training_knows_and_does_not(train, test):
    found = embedded.groups(np.array(train, np.int32), np.array(test, np.int32))
    seen = [row for row, label in enumerate(test) if label in train]
    unseen = [row for row, label in enumerate(test) if label not in train]
    expected = {"test": list(range(len(test)))}
    if unseen:
        expected |= {name: rows for name, rows in (("test_seen", seen), ("test_unseen", unseen)) if rows}
    assert {name: rows.tolist() for name, rows in found.items()} == expected
    assert list(found) == list(expected)
    assert all(rows.dtype == np.int64 for rows in found.values())
