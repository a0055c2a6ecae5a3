"""The render stage writes every file that it promises, and says in a line what is wrong with its inputs."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from stages import config, store
from stages.embedded import Split
from stages.errors import UserError
from stages.render import maps, stage

MAPS = ["tsne.png", *(f"tsne_{kind}_{split}.png" for kind in ("embedding", "raw") for split in ("test", "train"))]
PROJECTOR = ["meta.tsv", "projector_config.pbtxt", "sprite.png", "vecs.tsv"]


@pytest.fixture
def paths(tmp_path):
    return config.Paths(**{name: str(tmp_path / name) for name in config.Paths.model_fields})


def split_of(n, seed):
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(3, dtype=np.int32), n // 3)
    embeddings = rng.normal(size=(n, 4)).astype(np.float32) + labels[:, None] * 5
    images = (rng.integers(0, 60, (n, 6, 6, 1)) + labels[:, None, None, None] * 60).astype(np.uint8)
    return Split(images, labels, embeddings, embeddings)


def settings_of(**changes):
    return config.Render(**{"points": 60, "perplexity": 10.0, "projector_points": 33, **changes})


@pytest.fixture
def data():
    return config.Data(name="shapes", path="unused", source="csv", shape=None, image_size=None, validation=0.1)


def test_stage_writes_and_logs_every_file(paths, data, monkeypatch, capsys):
    logged, titles = [], []

    class Recorder:
        def artifact(self, path, folder):
            assert Path(path).is_file()
            logged.append((folder, Path(path).name))

    @contextlib.contextmanager
    def continued(run_file, settings):
        assert settings["render.points"] == 60
        yield Recorder()

    def draw(path, drawn, real=maps.draw_one):
        titles.append(drawn.title)
        assert np.bincount(drawn.labels).tolist() == [20, 20, 20]
        real(path, drawn)

    splits = {"train": split_of(90, 0), "test": split_of(60, 1)}
    store.save_json(Path(paths.prepared) / "classes.json", ["a", "b", "c"])
    monkeypatch.setattr(stage, "load_split", lambda _, name: splits[name])
    monkeypatch.setattr("stages.tracking.continued", continued)
    monkeypatch.setattr(maps, "draw_one", draw)
    stage.run(data, settings_of(), paths, seed=0)
    assert sorted(file.name for file in Path(paths.maps).iterdir()) == MAPS
    assert sorted(file.name for file in Path(paths.projector).iterdir()) == PROJECTOR
    assert sorted(logged) == [*(("maps", name) for name in MAPS), *(("projector", name) for name in PROJECTOR)]
    assert titles[0] == "Raw pixels, train: t-SNE of 60 of 90 images"
    assert titles[3] == "Trained embedding, test: t-SNE of 60 of 60 images"
    assert "5 maps" in capsys.readouterr().out
    vectors = np.loadtxt(Path(paths.projector) / "vecs.tsv", delimiter="\t")
    metadata = [line.split("\t") for line in (Path(paths.projector) / "meta.tsv").read_text().splitlines()[1:]]
    rows = [int(index) for index, _ in metadata]
    assert len(rows) == 33
    np.testing.assert_allclose(vectors, splits["test"].trained[rows], rtol=1e-5)
    assert [name for _, name in metadata] == ["abc"[label] for label in splits["test"].labels[rows]]


def test_fewer_names_than_labels_are_refused(paths):
    source = Path(paths.prepared) / "classes.json"
    store.save_json(source, ["a", "b"])
    with pytest.raises(UserError, match="found 2 names, expected 3") as caught:
        stage.load_classes(paths, {"test": split_of(9, 0)})
    assert str(caught.value).startswith(str(source))
    store.save_json(source, {"a": 1})
    with pytest.raises(UserError, match="expected a list of names"):
        stage.load_classes(paths, {"test": split_of(9, 0)})
