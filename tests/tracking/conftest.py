import pytest

from stages.tracking import reach


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """The address of a local store. One for all: creating its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A root of its own, in whose process no server has failed yet."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(reach, "_reaches", {})
    return tmp_path
