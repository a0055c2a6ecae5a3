import subprocess
import sys

import pytest

from stages import own_code


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "own_of_a_test"
    (folder / "deep").mkdir(parents=True)
    for name in ("__init__.py", "losses.py", "deep/__init__.py", "deep/networks.py"):
        (folder / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    return folder


@pytest.mark.parametrize(
    ("target", "file"),
    [
        ("own_of_a_test.losses.Mine", "losses.py"),
        ("own_of_a_test.losses.Mine.inner", "losses.py"),
        ("own_of_a_test.deep.networks.wide", "deep/networks.py"),
        ("own_of_a_test.deep.wide", "deep/__init__.py"),
        ("own_of_a_test.wide", "__init__.py"),
    ],
)
def test_a_target_of_the_users_own_is_known_by_its_file(package, target, file):
    assert own_code.files([{"_target_": target}]) == [package / file]
    assert own_code.files([{"rate": {"_target_": target}, "_target_": "keras.optimizers.Adam"}]) == [package / file]
    assert own_code.files([], [target]) == [package / file]


@pytest.mark.parametrize(
    "target", ["keras.losses.Huber", "stages.train.losses.TripletHardLoss", "json.loads", "no.such.module", "x", ""]
)
def test_installed_code_that_of_stages_and_none_at_all_are_not_the_users(target):
    assert own_code.files([{"_target_": target}]) == []


def test_nothing_is_imported():
    code = (
        "import sys; from stages import own_code; own_code.files([{'_target_': 'keras.optimizers.Adam'}]); "
        "sys.exit('keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
