"""Splits are read whole and checked against each other."""

from pathlib import Path

import numpy as np
import pytest

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
