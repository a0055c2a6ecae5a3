"""The stage writes what it promises, the figures show what the files hold, the table costs no heavy import."""

import contextlib
import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from stages import config, store
from stages.errors import UserError
from stages.evaluate import figures, series, stage
from stages.evaluate.report import View, measure
from stages.evaluate.table import headline, pictures, table

ROOT = Path(__file__).parents[2]
PLOTS = sorted(f"test_{drawn}.{kind}" for drawn in stage.DRAWN for kind in stage.KINDS)
CLASSES = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    names = {name: str(folder / name) for name in config.Paths.model_fields}
    found = config.Paths(
        **{**names, "measures": str(folder / "plots" / "measures"), "maps": str(folder / "plots" / "maps")}
    )
    store.save_json(Path(found.prepared) / "classes.json", CLASSES)
    return found


@pytest.fixture(scope="module")
def logged(digit_splits, settings, paths):
    """What a run of the stage, given its inputs, logs to MLflow."""
    found: dict[str, Any] = {"metrics": {}, "artifacts": []}

    class Recorder:
        def metrics(self, metrics):
            found["metrics"].update(metrics)

        def artifact(self, path, folder):
            assert Path(path).exists()
            found["artifacts"].append((folder, Path(path).name))

    @contextlib.contextmanager
    def continued(run_file, settings):
        found["settings"] = settings
        yield Recorder()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "run_id_in", lambda _: "a run")
        patch.setattr(stage, "load_split", lambda _, name, training=None: digit_splits[name])
        patch.setattr("stages.tracking.continued", continued)
        stage.run(settings, paths, seed=0, threads=2)
    return found


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_stage_writes_and_logs_each_file(logged, paths):
    assert sorted(file.name for file in Path(paths.measures).iterdir()) == PLOTS
    assert sorted(file.name for file in Path(paths.metrics).iterdir()) == ["evaluate.json", "threshold.json"]
    figures = [("metrics", name) for name in ("evaluate.json", "threshold.json")]
    assert sorted(logged["artifacts"]) == [*figures, *(("plots", name) for name in PLOTS)]
    assert logged["settings"]["evaluate.knn"] == 5


def test_threshold_says_that_it_is_of_the_distance(logged, paths):
    found = json.loads((Path(paths.metrics) / "threshold.json").read_text())
    assert (found["scored_by"], found["by"], found["calibrated_on"]) == ("distance", "eer", "validation")
    assert set(found["test"]) == {"far", "val", "balanced_accuracy"}


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (np.ones(4, np.float32), r"found 4 numbers, finite; expected 10 finite ones"),
        (np.full(10, np.nan, np.float32), r"found 10 numbers, partly NaN or infinite; expected 10 finite ones"),
        (np.ones(10), r"found float64 of shape \[10\], expected float32"),
    ],
)
def test_a_head_of_other_embeddings_is_refused(head, message, digit_splits, settings, paths, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "run_id_in", lambda _: "a run")
    monkeypatch.setattr(stage, "load_split", lambda _, name, training=None: digit_splits[name])
    store.save_array(tmp_path / "head.npy", head)
    with pytest.raises(UserError, match=message) as caught:
        stage.run(settings, paths.model_copy(update={"embeddings": str(tmp_path)}), seed=0, threads=2)
    assert str(caught.value).startswith(str(tmp_path / "head.npy"))


def test_logged_metrics_are_those_of_the_file(logged, paths):
    metrics = json.loads((Path(paths.metrics) / "evaluate.json").read_text())
    test = metrics["test"]
    assert logged["metrics"]["test/recall_at_1"] == test["trained"]["recall_at_1"]
    assert logged["metrics"]["test/chance/map_at_r"] == test["chance"]["map_at_r"]
    assert logged["metrics"]["test/interval/map_at_r/low"] == test["trained"]["interval"]["map_at_r"]["low"]
    threshold = json.loads((Path(paths.metrics) / "threshold.json").read_text())
    assert logged["metrics"]["threshold/test/far"] == threshold["test"]["far"]
    assert logged["metrics"]["validation/mrr"] == metrics["validation"]["trained"]["mrr"]
    assert all(isinstance(value, float) for value in logged["metrics"].values())


def test_a_view_in_which_nothing_is_defined_is_logged_as_far_as_it_goes():
    nothing: dict[str, Any] = {
        "recall_at_1": None,
        "map_at_r": None,
        "val_at_far_1e-3": None,
        "interval": {},
        "macro": {},
    }
    metrics = {"counts": {}, "test": {"trained": nothing, "raw": nothing}}
    threshold = {"threshold": None, "because": "too few pairs", "test": {"far": 0.5}}
    assert stage.named_for_tracking(metrics, threshold) == {"threshold/test/far": 0.5}


def test_so_few_metrics_are_logged_that_runs_can_be_compared_by_them(logged, paths):
    parts = [set(name.split("/")) for name in logged["metrics"]]
    assert not any({"macro", "in_training"} & names for names in parts)
    assert not any({"validation", other} <= names for names in parts for other in ("raw", "interval"))
    assert len(parts) < 150  # of three views of test; the file has a thousand


def test_writing_again_gives_equal_bytes_and_leaves_nothing_of_other_views(
    logged, paths, digit_splits, views, settings, tmp_path
):
    (tmp_path / "test_unseen_roc.csv").write_text("of an earlier run")
    report = measure(views, digit_splits["train"], settings, seed=0)
    written = stage.write_plots(report, CLASSES, settings.recall_at, tmp_path)
    assert [file.name for file in written] == PLOTS
    for file in written:
        assert file.read_bytes() == (Path(paths.measures) / file.name).read_bytes(), file.name


def test_csv_files_hold_what_was_measured(logged, paths):
    test = json.loads((Path(paths.metrics) / "evaluate.json").read_text())["test"]
    folder = Path(paths.measures)
    for row in read_csv(folder / "test_recall_at_k.csv"):
        name = f"recall_at_{row['k']}"
        for system in ("raw", "untrained", "trained", "chance"):
            assert float(row[system]) == pytest.approx(test[system][name], abs=1e-5)
        assert float(row["trained_low"]) == pytest.approx(test["trained"]["interval"][name]["low"], abs=1e-5)
    roc = read_csv(folder / "test_roc.csv")
    assert (float(roc[0]["far"]), float(roc[-1]["far"]), float(roc[-1]["trained"])) == (
        pytest.approx(2.5e-4, rel=0.1),
        1,
        1,
    )
    for system in ("raw", "untrained", "trained"):
        near = min(roc, key=lambda row: abs(float(row["log10_far"]) + 2))
        assert float(near[system]) == pytest.approx(test[system]["val_at_far_1e-2"], abs=0.03)
        assert [float(row[system]) for row in roc] == sorted(float(row[system]) for row in roc)
    distances = read_csv(folder / "test_distances.csv")
    for kind in ("same", "different"):
        assert sum(float(row[kind]) for row in distances) == pytest.approx(1, abs=1e-4)
    nearest = read_csv(folder / "test_confusion.csv")
    right = np.mean([row["class"] == row["nearest"] for row in nearest])
    assert (len(nearest), right) == (300, pytest.approx(test["trained"]["recall_at_1"], abs=1e-6))
    classes = read_csv(folder / "test_classes.csv")
    assert [row["class"] for row in classes] == CLASSES
    assert sum(int(row["queries"]) for row in classes) == 300


def test_figures_are_pictures_without_a_date(logged, paths):
    for file in Path(paths.measures).glob("*.png"):
        with Image.open(file) as picture:
            assert min(picture.size) >= 600
            assert set(picture.info) <= {"dpi"}


def empty_view(labels=0):
    measures: dict[str, Any] = {
        s: {"recall_at_1": None, "interval": {}} for s in ("raw", "untrained", "trained", "chance")
    }
    none = np.zeros(0, np.int32)
    return View(measures, {}, {}, {s: {} for s in ("raw", "untrained", "trained")}, none, none, {})


def test_figures_of_nothing_are_drawn(tmp_path):
    nothing = empty_view()
    figures.draw_roc(tmp_path / "roc.png", {}, "nothing")
    figures.draw_recall(tmp_path / "recall.png", nothing, [1], "nothing")
    figures.draw_distances(tmp_path / "distances.png", {}, None, "distance", "nothing")
    figures.draw_confusion(tmp_path / "confusion.png", nothing, [], "nothing")
    figures.draw_classes(tmp_path / "classes.png", nothing, [], "nothing")
    assert len(list(tmp_path.iterdir())) == 5
    assert series.roc_csv({}) == "far,log10_far\n"
    assert series.distances_csv(None) == "distance,same,different\n"


def test_of_many_classes_the_worst_are_shown(tmp_path):
    labels = np.repeat(np.arange(300, dtype=np.int32), 2)
    nearest = labels.copy()
    nearest[100:120] = 0
    recalls = {int(label): {"recall_at_1": float(label % 7 > 0), "queries": 2} for label in range(300)}
    view = View({}, {}, {}, dict.fromkeys(("raw", "untrained", "trained"), recalls), labels, nearest, {})
    names = [f"a long name of class ${label}$" for label in range(300)]
    figures.draw_confusion(tmp_path / "confusion.png", view, names, "many")
    figures.draw_classes(tmp_path / "classes.png", view, names, "many")
    for file in tmp_path.iterdir():
        with Image.open(file) as picture:
            assert 600 < picture.size[1] < 3000
    shown = figures._worst(labels, np.unique(labels), labels != nearest)
    assert len(shown) == figures.SHOWN_CLASSES
    assert set(range(50, 60)) <= set(shown)


def test_headline_is_of_the_trained_network(logged, paths):
    metrics = json.loads((Path(paths.metrics) / "evaluate.json").read_text())
    trained = metrics["test"]["trained"]
    expected = f"300 test images: recall@1 {trained['recall_at_1']:.4f}, MAP@R {trained['map_at_r']:.4f}"
    assert headline(metrics) == expected


def results(paths):
    return (json.loads((Path(paths.metrics) / f"{name}.json").read_text()) for name in ("evaluate", "threshold"))


def test_table_shows_each_system_with_intervals_and_what_is_undefined(logged, paths):
    metrics, threshold = results(paths)
    metrics["test"]["trained"]["val_at_far_1e-3"] = None
    lines = table(metrics, threshold).splitlines()
    assert lines[0] == "test: 300 images in 10 classes"
    assert lines[2].split()[-1] == "chance"
    recall = next(line for line in lines if line.startswith("recall@1"))
    for system in ("raw", "untrained", "trained"):
        found = metrics["test"][system]
        low, high = found["interval"]["recall_at_1"].values()
        assert f"{found['recall_at_1']:.4f} ({low:.4f}–{high:.4f})" in recall
    assert recall.endswith(f"{metrics['test']['chance']['recall_at_1']:.4f}")
    assert " – " in next(line for line in lines if line.startswith("VAL@FAR=1e-3"))
    rates = threshold["test"]
    assert f"(eer): FAR {rates['far']:.4f}, VAL {rates['val']:.4f}." in table(metrics, threshold)
    assert max(map(len, lines)) <= 120


def test_table_has_a_block_for_seen_and_for_unseen_classes_with_its_own_notes(logged, paths):
    metrics, threshold = results(paths)
    changes = {"test": {"knn_queries_left_out": 40}, "test_seen": {}, "test_unseen": {"balanced_pairs": 62}}
    counts = metrics["counts"]["test"]
    for name, change in changes.items():
        metrics[name], metrics["counts"][name] = metrics["test"], {**counts, **change}
        threshold[name] = {**threshold["test"], "far": 0.125} if name == "test_unseen" else threshold["test"]
    blocks = table(metrics, threshold).split("\ntest")
    assert "test, classes held out of training: 300 images" in "\ntest".join(blocks)
    assert len(blocks) == 3
    assert ["k-NN: 40 images of classes that training lacks" in block for block in blocks] == [True, False, False]
    assert ["62 balanced pairs" in block for block in blocks] == [False, False, True]
    assert ["FAR 0.1250" in block for block in blocks] == [False, False, True]


def test_table_says_why_there_is_no_threshold(logged, paths):
    metrics, threshold = results(paths)
    said = table(metrics, {**threshold, "threshold": None, "because": "there are too few pairs"})
    assert "No threshold: there are too few pairs." in said


@pytest.fixture(scope="module")
def open_set(digit_splits, settings, paths, tmp_path_factory):
    """What a run writes and logs where training lacks the classes 7 to 9."""
    folder = tmp_path_factory.mktemp("open_set")
    here = {name: str(folder / name) for name in ("metrics", "measures")}
    splits = {
        name: split if name == "test" else split.rows(np.flatnonzero(split.labels < 7))
        for name, split in digit_splits.items()
    }
    found: dict[str, Any] = {"folder": folder, "artifacts": [], "splits": splits}

    class Recorder:
        def metrics(self, metrics):
            found["metrics"] = metrics

        def artifact(self, path, folder):
            found["artifacts"].append(Path(path).name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "run_id_in", lambda _: "a run")
        patch.setattr(stage, "load_split", lambda _, name, training=None: splits[name])
        patch.setattr("stages.tracking.continued", lambda *_, **__: contextlib.nullcontext(Recorder()))
        stage.run(settings, paths.model_copy(update=here), seed=0, threads=1)
    return found


def test_held_out_classes_are_reported_three_ways_in_every_file_and_in_mlflow(open_set):
    metrics, threshold = (
        json.loads((open_set["folder"] / "metrics" / f"{name}.json").read_text()) for name in ("evaluate", "threshold")
    )
    views = ("test", "test_seen", "test_unseen")
    assert set(metrics) == {*views, "validation", "counts"}
    expected = sorted(f"{view}_{drawn}.{kind}" for view in views for drawn in stage.DRAWN for kind in stage.KINDS)
    assert sorted(file.name for file in (open_set["folder"] / "measures").iterdir()) == expected
    assert sorted(set(open_set["artifacts"]) - {"evaluate.json", "threshold.json"}) == expected
    for view in views:
        assert open_set["metrics"][f"{view}/map_at_r"] == metrics[view]["trained"]["map_at_r"]
        assert open_set["metrics"][f"threshold/{view}/far"] == threshold[view]["far"]
    seen = open_set["splits"]["test"].labels < 7
    assert metrics["counts"]["test_seen"]["items"] == seen.sum()
    assert metrics["counts"]["test_unseen"]["items"] == (~seen).sum()
    nearest = read_csv(open_set["folder"] / "measures" / "test_unseen_confusion.csv")
    assert {row["class"] for row in nearest} == {"7", "8", "9"}
    counts = metrics["counts"]
    assert counts["test"]["in_training_queries"] + counts["test"]["in_training_queries_left_out"] == 150
    assert counts["test_unseen"]["in_training_queries"] == 0


def table_command(folder):
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "stages.evaluate.table", "--params", str(folder / "params.yaml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def params(paths, tmp_path):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["paths"] = paths.model_dump()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def test_table_command_names_the_pictures_and_imports_nothing_heavy(logged, paths, params):
    done = table_command(params)
    assert done.returncode == 0
    assert "raw pixels" in done.stdout
    for picture in pictures(paths):
        assert str(picture) in done.stdout
    assert len(pictures(paths)) == 5
    for heavy in ("sklearn", "matplotlib", "pandas", "mlflow", "tensorflow", "scipy"):
        assert f" {heavy}\n" not in done.stderr


def test_table_notes_that_the_head_told_the_pairs_apart(logged, paths):
    metrics, threshold = results(paths)
    before = table(metrics, threshold).splitlines()
    after = table(metrics, {**threshold, "scored_by": "head", "probability": 0.25}).splitlines()
    told, added = [line for line in after if line not in before]
    assert told.startswith("threshold probability 0.25, chosen on validation (eer): FAR ")
    assert added == "trained network: verification, AUC, EER, VAL by its head; recall, MAP@R, k-NN by the distance."


@pytest.mark.parametrize("content", ["{}", "[1]", '{"test": {"trained": {}}, "counts": {"test": {}}}'])
def test_table_command_refuses_other_content_in_a_line(content, logged, paths, params):
    source = Path(paths.metrics) / "evaluate.json"
    kept = source.read_text()
    source.write_text(content)
    try:
        done = table_command(params)
    finally:
        source.write_text(kept)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"table: {source}: found other content, expected that of the evaluate stage"
