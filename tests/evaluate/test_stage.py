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
from stages.evaluate import figures, stage, verification
from stages.evaluate.report import measure
from stages.evaluate.table import headline, pictures, table

ROOT = Path(__file__).parents[2]
PLOTS = ["recall_at_k.csv", "recall_at_k.png", "roc.csv", "roc.png"]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    names = {name: str(folder / name) for name in config.Paths.model_fields}
    return config.Paths(**{**names, "maps": str(folder / "plots" / "maps")})


@pytest.fixture(scope="module")
def logged(digit_splits, settings, paths):
    """What a run of the stage, given its inputs, logs to MLflow."""
    found: dict[str, Any] = {"metrics": {}, "artifacts": []}

    class Recorder:
        def metrics(self, metrics):
            found["metrics"].update(metrics)

        def artifact(self, path, folder):
            assert Path(path).is_file()
            found["artifacts"].append((folder, Path(path).name))

    @contextlib.contextmanager
    def continued(run_file, settings):
        found["settings"] = settings
        yield Recorder()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "load_split", lambda _, name: digit_splits[name])
        patch.setattr("stages.tracking.continued", continued)
        stage.run(settings, paths, seed=0)
    return found


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_stage_writes_and_logs_each_file(logged, paths):
    assert sorted(file.name for file in Path(paths.plots).iterdir()) == PLOTS
    assert sorted(file.name for file in Path(paths.metrics).iterdir()) == ["evaluate.json", "threshold.json"]
    assert sorted(logged["artifacts"]) == [("metrics", "threshold.json"), *(("plots", name) for name in PLOTS)]
    assert logged["settings"]["evaluate.knn"] == 5


def test_threshold_says_that_it_is_of_the_distance(logged, paths):
    assert json.loads((Path(paths.metrics) / "threshold.json").read_text())["scored_by"] == "distance"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (np.ones(4, np.float32), r"found 4 numbers, finite; expected 10 finite ones"),
        (np.full(10, np.nan, np.float32), r"found 10 numbers, partly NaN or infinite; expected 10 finite ones"),
        (np.ones(10), r"found float64 of shape \[10\], expected float32"),
    ],
)
def test_a_head_of_other_embeddings_is_refused(head, message, digit_splits, settings, paths, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "load_split", lambda _, name: digit_splits[name])
    store.save_array(tmp_path / "head.npy", head)
    with pytest.raises(UserError, match=message) as caught:
        stage.run(settings, paths.model_copy(update={"embeddings": str(tmp_path)}), seed=0)
    assert str(caught.value).startswith(str(tmp_path / "head.npy"))


def test_logged_metrics_are_those_of_the_file(logged, paths):
    metrics = json.loads((Path(paths.metrics) / "evaluate.json").read_text())
    assert logged["metrics"]["test/recall_at_1"] == metrics["test"]["trained"]["recall_at_1"]
    assert logged["metrics"]["validation/raw/map_at_r"] == metrics["validation"]["raw"]["map_at_r"]
    assert not any(value is None for value in logged["metrics"].values())


def test_writing_again_gives_equal_bytes(logged, paths, digit_splits, settings, tmp_path):
    folders = {"metrics": str(tmp_path), "plots": str(tmp_path)}
    stage.write(measure(digit_splits, settings, seed=0), settings, paths.model_copy(update=folders))
    for folder in (paths.metrics, paths.plots):
        for file in Path(folder).iterdir():
            assert file.read_bytes() == (tmp_path / file.name).read_bytes(), file.name


def test_csv_files_hold_the_curves(logged, paths):
    metrics = json.loads((Path(paths.metrics) / "evaluate.json").read_text())["test"]
    for row in read_csv(Path(paths.plots) / "recall_at_k.csv"):
        assert float(row["recall"]) == pytest.approx(metrics[row["system"]][f"recall_at_{row['k']}"], abs=1e-6)
    rows = read_csv(Path(paths.plots) / "roc.csv")
    for system in ("raw", "untrained", "trained"):
        points = [(float(row["far"]), float(row["val"])) for row in rows if row["system"] == system]
        assert points[0] == (0, 0)
        assert points[-1] == (1, 1)
        assert 500 < len(points) <= 1000
        assert points == sorted(points)
        far, val = zip(*points, strict=True)
        assert np.trapezoid(val, far) == pytest.approx(metrics[system]["auc"], abs=1e-3)


def test_short_curves_are_not_thinned():
    distance = np.arange(400.0)
    curve = verification.roc(distance, distance < 100)
    assert curve is not None
    assert len(figures.thinned(curve)) == 401


def test_figures_are_pictures_without_a_date(logged, paths):
    for name in ("roc.png", "recall_at_k.png"):
        with Image.open(Path(paths.plots) / name) as picture:
            assert min(picture.size) >= 600
            assert set(picture.info) <= {"dpi"}


def test_figures_of_nothing_are_drawn(tmp_path):
    none: dict[str, dict[str, float | None]] = {
        system: {"recall_at_1": None} for system in ("raw", "untrained", "trained", "chance")
    }
    figures.draw_roc(tmp_path / "roc.png", {}, "nothing")
    figures.draw_recall(tmp_path / "recall.png", none, [1], "nothing")
    assert figures.recall_csv(none, [1]) == "system,k,recall\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_headline_is_of_the_trained_network(logged, paths):
    metrics = json.loads((Path(paths.metrics) / "evaluate.json").read_text())
    trained = metrics["test"]["trained"]
    expected = f"300 test images: recall@1 {trained['recall_at_1']:.4f}, MAP@R {trained['map_at_r']:.4f}"
    assert headline(metrics) == expected


def test_table_shows_each_system_and_what_is_undefined(logged, paths):
    metrics = json.loads((Path(paths.metrics) / "evaluate.json").read_text())
    metrics["test"]["trained"]["val_at_far_1e-3"] = None
    lines = table(metrics).splitlines()
    assert lines[0].split()[:4] == ["test,", "300", "images", "recall@1"]
    trained = next(line for line in lines if line.startswith("trained network"))
    assert f"{metrics['test']['trained']['recall_at_1']:.4f}" in trained
    assert trained.endswith("–")
    assert [line.split()[0] for line in lines[2:6]] == ["raw", "untrained", "trained", "chance"]
    assert max(map(len, lines)) <= 120


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
    assert len(pictures(paths)) == 2
    for heavy in ("sklearn", "matplotlib", "pandas", "mlflow", "tensorflow", "scipy"):
        assert f" {heavy}\n" not in done.stderr


def test_table_notes_that_the_head_told_the_pairs_apart(logged, paths, params):
    source = Path(paths.metrics) / "threshold.json"
    kept = source.read_text()
    said = []
    for scored_by in ("distance", "head"):
        source.write_text(json.dumps({**json.loads(kept), "scored_by": scored_by}))
        said.append(table_command(params).stdout.splitlines())
    source.write_text(kept)
    (added,) = [line for line in said[1] if line not in said[0]]
    assert added == "trained network: verification, AUC, EER, VAL by its head; recall, MAP@R, k-NN by the distance."
    assert [line for line in said[1] if line != added] == said[0]


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
