import numpy as np
import pytest

from stages import store
from stages.errors import UserError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    store.save_json(path, {"old": 1})
    with pytest.raises(ValueError, match="JSON"):
        store.save_json(path, float("nan"))

    class Killed(Exception):
        pass

    with pytest.raises(Killed), store.replacing(path) as temporary:
        temporary.write_text("half")
        raise Killed
    assert store.load_json(path) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_written_files_have_ordinary_permissions(tmp_path):
    (tmp_path / "ordinary").touch()
    store.save_text(tmp_path / "text", "x")
    assert (tmp_path / "text").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("memory_map", [False, True])
def test_arrays_read_back_equal(tmp_path, memory_map):
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    store.save_array(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(store.load_array(tmp_path / "a.npy", np.uint8, 2, memory_map=memory_map), array)


def write_pickle(path):
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


def write_archive(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(2))


def write_part(path):
    np.save(path, np.zeros((100, 4), np.uint8))
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "expected a whole .npy file"),
        (lambda path: path.write_bytes(b"words"), "expected a whole .npy file"),
        (write_part, "expected a whole .npy file"),
        (write_pickle, "expected a whole .npy file"),
        (write_archive, "found an archive of arrays, expected one array"),
        (lambda path: np.save(path, np.zeros((2, 2))), r"found float64 of shape \[2, 2\], expected uint8 with 2 dim"),
        (lambda path: np.save(path, np.zeros(2, np.uint8)), r"found uint8 of shape \[2\], expected uint8 with 2 dim"),
        (lambda path: path.mkdir(), "expected a whole .npy file"),
    ],
)
@pytest.mark.parametrize("memory_map", [False, True])
def test_refuses_what_is_no_whole_array_of_the_kind(tmp_path, write, message, memory_map):
    path = tmp_path / "a.npy"
    write(path)
    with pytest.raises(UserError, match=message) as caught:
        store.load_array(path, np.uint8, 2, memory_map=memory_map)
    assert str(caught.value).startswith(f"{path}: ")
