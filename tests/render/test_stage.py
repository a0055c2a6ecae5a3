"""The render stage writes every file that it promises, and says in a line what is wrong with its inputs."""

import contextlib
import json
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from stages import config, naming, store
from stages.embedded import Split
from stages.errors import UserError
from stages.render import gallery, maps, projections, stage
from stages.render.sampling import stratified

METHODS = ["pca", "tsne"]
DRAWN = [f"{kind}_{split}" for kind in ("embedding", "raw") for split in ("test", "train")]
MAPS = [f"{method}{name}.png" for method in METHODS for name in ("", *(f"_{drawn}" for drawn in DRAWN))]
GALLERY = ["hardest_negatives.png", "hardest_positives.png", "worst_queries.png"]
PROJECTOR = ["meta.tsv", "projector_config.pbtxt", "sprite.png", "vecs.tsv"]

EARLIER = [
    "umap.png",
    "umap_raw_train.png",
    "umap_embedding_test.png",
    "map.html",
]  # by a method that is not chosen now


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("render")
    return config.Paths(**{name: str(folder / name) for name in config.Paths.model_fields})


def split_of(n, seed, classes):
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes, dtype=np.int32), n // classes)
    embeddings = rng.normal(size=(n, 4)).astype(np.float32) + labels[:, None] * 5
    images = (rng.integers(0, 60, (n, 6, 6, 1)) + labels[:, None, None, None] * 60).astype(np.uint8)
    return Split(images, labels, embeddings, embeddings)


@pytest.fixture(scope="module")
def settings():
    """As they are composed, but small."""
    small = ["render.train_points=60", "render.perplexity=10", "render.gallery=3", "render.test_points=45"]
    return config.parse(config.compose([*small, "render.projector_points=33", "data.name=shapes"]), "conf")


@pytest.fixture(scope="module")
def splits():
    """Of four classes, the last of which training does not have."""
    train, test = split_of(90, 0, classes=3), split_of(60, 1, classes=4)
    return {"train": train, "test": test}


@pytest.fixture(scope="module")
def rendered(settings, splits, paths):
    """What a run of the stage logs to MLflow, and the maps that it draws."""
    logged, drawn = [], {}

    class Recorder:
        def artifact(self, path, folder):
            assert Path(path).is_file()
            logged.append((folder, Path(path).name))

    @contextlib.contextmanager
    def continued(run_file, settings):
        assert settings["render.train_points"] == 60
        yield Recorder()

    def draw(path, one, real=maps.draw_one):
        drawn[path.stem] = one
        real(path, one)

    store.save_json(Path(paths.prepared) / "classes.json", ["a", "b", "c", "d"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "run_id_in", lambda _: "a run")
        patch.setattr(stage, "load_split", lambda _, name, training=None: splits[name])
        patch.setattr("stages.tracking.continued", continued)
        patch.setattr(maps, "draw_one", draw)
        for name in (*EARLIER, "mine.png"):
            store.save_text(Path(paths.maps) / name, "of an earlier run")
        stage.run(settings.data, settings.render, paths, seed=0, threads=2)
    return logged, drawn


def test_stage_writes_and_logs_every_file(rendered, paths):
    pictures = sorted([*MAPS, *GALLERY, "map.html"])
    assert sorted(file.name for file in Path(paths.maps).iterdir()) == sorted([*pictures, "mine.png"])
    assert sorted(file.name for file in Path(paths.projector).iterdir()) == PROJECTOR
    assert sorted(rendered[0]) == [*(("maps", name) for name in pictures), *(("projector", name) for name in PROJECTOR)]


def test_maps_are_of_stratified_samples_and_say_so(rendered, splits):
    _, drawn = rendered
    assert drawn["tsne_raw_train"].title == "Raw pixels, train: t-SNE of 60 of 90 images"
    assert drawn["pca_embedding_test"].title == "Trained embedding, test: PCA of 45 of 60 images"
    assert np.bincount(drawn["tsne_raw_train"].labels).tolist() == [20, 20, 20]
    assert sorted(np.bincount(drawn["tsne_embedding_test"].labels)) == [11, 11, 11, 12]
    assert list(drawn["pca_raw_test"].names) == ["a", "b", "c", "d (unseen)"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 20, 1), "Raw pixels, test: PCA of 8 of 8 images"),
        ((90, 130, 3), "Raw pixels, test: PCA of 8 of 8 images\nraw pixels averaged down to 44 × 30"),
    ],
)
def test_maps_of_images_that_were_averaged_down_say_so(shape, expected, tmp_path, monkeypatch):
    images, labels = np.zeros((8, *shape), np.uint8), np.arange(8, dtype=np.int32) % 2
    test = stage.sample_of("test", Split(images, labels, np.eye(8), np.eye(8)), 10, seed=0)
    sheets, drawn = [], []
    monkeypatch.setattr(maps, "draw_one", lambda path, one: drawn.append(one.title))
    monkeypatch.setattr(maps, "draw_sheet", lambda path, all_maps, title: sheets.append(title))
    found = {("pca", kind, "test"): projections.Projection(np.zeros((8, 2)), ("", "")) for kind in stage.FEATURES}
    stage.draw_maps(tmp_path, "pca", found, [test], ["a", "b"], "shapes")
    assert drawn == [expected, "Trained embedding, test: PCA of 8 of 8 images"]
    assert sheets == ["shapes: raw pixels and trained embedding"]


@pytest.mark.parametrize(("threads", "workers"), [(3, 3), (0, 2)])
def test_threads_limit_processes_and_threads(threads, workers, settings, splits, paths, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {4, 6}, raising=False)
    asked = []

    def project_all(jobs, perplexity, seed, workers):
        asked.append(workers)
        nowhere = projections.Projection(np.zeros((0, 2)), ("", ""))
        return ((job, nowhere) for job in jobs)

    def draw_gallery(*arguments):
        asked.append(arguments[-1])
        return []

    monkeypatch.setattr(projections, "project_all", project_all)
    monkeypatch.setattr(stage, "run_id_in", lambda _: "a run")
    monkeypatch.setattr(stage, "load_split", lambda _, name, training=None: splits[name])
    monkeypatch.setattr(stage, "load_classes", lambda *_: ["a", "b", "c", "d"])
    monkeypatch.setattr(stage, "draw_maps", lambda *_: [])
    monkeypatch.setattr(stage, "write_interactive", lambda folder, *_: folder / "map.html")
    monkeypatch.setattr(gallery, "draw", draw_gallery)
    monkeypatch.setattr(stage, "write_projector", lambda *_: [])
    monkeypatch.setattr("stages.tracking.continued", mock.MagicMock())
    elsewhere = paths.model_copy(update={"maps": f"{paths.maps} elsewhere"})
    stage.run(settings.data, settings.render, elsewhere, seed=0, threads=threads)
    assert asked == [workers, workers]


def test_letters_that_the_font_lacks_are_told_in_one_line(tmp_path, capsys):
    names = ["猫", "犬\n鳥", "é"]
    points = np.random.default_rng(0).normal(size=(30, 2))
    drawn = maps.Map(projections.Projection(points, ("across", "up")), np.arange(30) % 3, names, "title")
    with naming.missing_letters_told(names):
        maps.draw_one(tmp_path / "one.png", drawn)
    [line] = capsys.readouterr().out.splitlines()
    assert "lacks 3 letters" in line
    with naming.missing_letters_told(["é ✓"]):
        pass
    assert capsys.readouterr().out == ""


def test_each_map_is_of_its_own_features(rendered, splits, settings):
    _, drawn = rendered
    for name, one in drawn.items():
        method, kind, split = name.split("_")
        data = splits[split]
        rows = stratified(data.labels, {"train": 60, "test": 45}[split], seed=0)
        features = data.trained[rows] if kind == "embedding" else data.images[rows].reshape(len(rows), -1)
        expected = projections.project(method, features, settings.render.perplexity, seed=0)
        np.testing.assert_array_equal(one.projection.points, expected.points, err_msg=name)
        np.testing.assert_array_equal(one.labels, data.labels[rows])


def test_page_opens_with_the_last_method_of_the_embedding(rendered, paths):
    page = (Path(paths.maps) / "map.html").read_text(encoding="utf-8")
    assert "<title>shapes: 45 of 60 test images</title>" in page
    [item] = re.findall(r'<script type="application/json" id="item">(.*)</script>', page)
    [plot] = find(json.loads(item), lambda model: model.get("attributes", {}).get("name") == "map")
    assert plot["attributes"]["title"]["attributes"]["text"] == "Trained embedding: t-SNE"


def test_projectors_files_agree_with_the_split(rendered, paths, splits):
    vectors = np.loadtxt(Path(paths.projector) / "vecs.tsv", delimiter="\t")
    metadata = [line.split("\t") for line in (Path(paths.projector) / "meta.tsv").read_text().splitlines()[1:]]
    rows = [int(index) for _, index in metadata]
    assert len(rows) == 33
    np.testing.assert_allclose(vectors, splits["test"].trained[rows], rtol=1e-5)
    assert [name for name, _ in metadata] == ["abcd"[label] for label in splits["test"].labels[rows]]


def test_umap_is_refused_before_anything_is_read(settings, paths, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(stage, "load_split", lambda *_: pytest.fail("read"))
    with pytest.raises(UserError, match="needs the package umap-learn"):
        stage.run(settings.data, settings.render.model_copy(update={"methods": ["umap"]}), paths, seed=0, threads=2)


def find(node, wanted):
    """All objects of a JSON document that are wanted."""
    if isinstance(node, dict):
        return [*([node] if wanted(node) else []), *(hit for value in node.values() for hit in find(value, wanted))]
    return [hit for value in node for hit in find(value, wanted)] if isinstance(node, list) else []
