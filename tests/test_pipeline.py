"""The whole DAG, really run, on a small configuration in copies of the repository."""

import ast
import gzip
import inspect
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from stages import config
from tests.repository import ROOT, TINY, copy_of_repository, environment, run

STAGES = ("prepare", "batches", "train", "embed", "evaluate", "render")


def copy_with_results(folder, *until):
    copy_of_repository(folder)
    run(folder, "python", "-m", "stages.config", *TINY)
    run(folder, "dvc", "repro", *until)
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A copy in which the pipeline has run."""
    return copy_with_results(tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another one, but for the pictures."""
    return copy_with_results(tmp_path_factory.mktemp("second"), "evaluate")


def outputs(folder):
    pipeline = (folder / "dvc.yaml").read_text(encoding="utf-8")
    for group, paths in yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8")).items():
        if group == "paths":
            for name, path in paths.items():
                pipeline = pipeline.replace("${paths." + name + "}", path)
    for stage in yaml.safe_load(pipeline)["stages"].values():
        for out in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            yield next(iter(out)) if isinstance(out, dict) else out


def test_every_output_is_made_and_git_sees_only_what_is_to_be_committed(first):
    for path in outputs(first):
        assert (first / path).exists(), path
    untracked = run(first, "git", "status", "--porcelain").stdout.splitlines()
    assert sorted(untracked) == [" M params.yaml", "?? dvc.lock", "?? metrics/"]


def test_a_second_run_does_nothing_and_says_so(first):
    began = time.monotonic()
    assert "Data and pipelines are up to date." in run(first, "dvc", "repro").stdout
    assert time.monotonic() - began < 30  # 2 s; the rest is for a busy machine


def test_table_shows_raw_untrained_and_trained_and_where_the_pictures_are(first):
    table = run(first, "python", "-m", "stages.evaluate.table").stdout
    metrics = json.loads((first / "metrics/evaluate.json").read_text(encoding="utf-8"))
    for system in ("raw", "untrained", "trained"):
        for measure in ("recall_at_1", "map_at_r", "verification_accuracy"):
            interval = metrics["test"][system]["interval"][measure]
            cell = f"{metrics['test'][system][measure]:.4f} ({interval['low']:.4f}–{interval['high']:.4f})"
            assert cell in table
    pictures = [word for word in table.split() if word.endswith((".png", ".html"))]
    assert len(pictures) > 10
    assert all((first / picture).is_file() for picture in pictures)


def test_pictures_are_pictures(first):
    paths = sorted((first / "plots").rglob("*.png"))
    assert len(paths) >= 8
    for path in paths:
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) > 300, path


def test_two_clones_give_byte_equal_metrics_and_equal_weights(first, second):
    import keras

    files = sorted(path.relative_to(first) for path in (first / "metrics").glob("*.json"))
    assert files
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes(), file
    models = (keras.models.load_model(folder / "artifacts/model/embedder.keras") for folder in (first, second))
    for mine, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_test_labels_change_nothing_that_is_trained_or_chosen(second):
    before = (second / "artifacts/model/history.csv").read_bytes()
    labels = second / "data/digits/test_labels_mnist.csv.gz"
    header, *rows = gzip.decompress(labels.read_bytes()).decode().splitlines()
    labels.write_bytes(gzip.compress("\n".join([header, *rows[7:], *rows[:7]]).encode()))
    said = run(second, "dvc", "repro", "evaluate").stdout
    assert "Stage 'batches' didn't change, skipping" in said
    assert "Stage 'train' didn't change, skipping" in said
    assert "Running stage 'evaluate'" in said
    assert (second / "artifacts/model/history.csv").read_bytes() == before


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_one_mlflow_run_holds_everything(first):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{first / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    (found,) = client.search_runs([experiment.experiment_id])
    metrics = json.loads((first / "metrics/evaluate.json").read_text(encoding="utf-8"))
    assert found.info.status == "FINISHED"
    assert found.data.params["network.embedding_dim"] == "8"
    assert found.data.metrics["test/recall_at_1"] == metrics["test"]["trained"]["recall_at_1"]
    assert {"step/loss", "step/easy", "step/norm", "epoch/val_recall_at_1"} <= set(found.data.metrics)
    artifacts = {Path(item.path).name for item in client.list_artifacts(found.info.run_id)}
    assert {"params.yaml", "dvc.lock", "history.csv", "plots", "maps", "projector"} <= artifacts
    assert [item.dataset.name for item in found.inputs.dataset_inputs] == ["digits"]
    assert found.outputs.model_outputs


def test_the_model_is_served(first):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    request = json.loads(run(first, "python", "-m", "stages.tracking", "example").stdout)
    with (first / "served.log").open("w") as log:
        command = [sys.executable, "-m", "stages.tracking", "serve", "--port", str(port)]
        server = subprocess.Popen(command, cwd=first, env=environment(), stdout=log, stderr=log, start_new_session=True)
        try:
            answer = ask(f"http://127.0.0.1:{port}/invocations", request, server)
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)
    expected = np.load(first / "artifacts/embeddings/test_embeddings.npy")[:1]
    np.testing.assert_allclose(answer["predictions"], expected, atol=1e-5)


def ask(address, request, server):
    body = json.dumps(request).encode()
    for _ in range(180):
        try:
            question = urllib.request.Request(address, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(question) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            assert server.poll() is None, "the server has ended"
            time.sleep(0.5)
    pytest.fail("the server did not answer")


def test_dvc_exp_run_composes_groups_and_values(first):
    committed = (first / "params.yaml").read_text(encoding="utf-8")
    run(first, "git", "add", "params.yaml", "dvc.lock", "metrics")
    run(first, "git", "commit", "--quiet", "--message", "results")
    options = [word for override in TINY if "samples" not in override for word in ("--set-param", override)]
    changed = ("loss=siamese", "batches=pairs", "batches.pairs_per_batch=12", "network.embedding_dim=6")
    run(first, "dvc", "exp", "run", "--name", "siamese", *options, *(w for c in changed for w in ("--set-param", c)))
    settings = config.load(first / "params.yaml")
    assert settings.network["embedding_dim"] == 6
    assert settings.batches.model_dump() == {"layout": "pairs", "pairs_per_batch": 12}
    assert np.load(first / "data/batches.npy").shape == (20, 24)
    assert "siamese" in run(first, "dvc", "exp", "list", "--name-only").stdout
    assert (first / "artifacts/model/head.keras").exists()
    assert np.load(first / "artifacts/embeddings/head.npy").shape == (7,)
    assert "by its head" in run(first, "python", "-m", "stages.evaluate.table").stdout
    diff = json.loads(run(first, "dvc", "metrics", "diff", "HEAD", "siamese", "--json").stdout)
    assert "test.trained.map_at_r" in diff["metrics/evaluate.json"]
    (first / "params.yaml").write_text(committed, encoding="utf-8")


def test_dvc_draws_the_csv_files_and_compares_two_experiments(first):
    for command in (("show",), ("diff", "HEAD", "siamese")):
        run(first, "dvc", "plots", *command, "--out", "drawn")
        page = (first / "drawn" / "index.html").read_text(encoding="utf-8")
        for title in ("ROC on test", "Recall@k", "Distances", "Nearest neighbours", "Recall@1 of each class"):
            assert title in page, title
        shutil.rmtree(first / "drawn")


def test_missing_mnist_ends_in_a_line_that_says_how_to_get_it(first):
    committed = (first / "params.yaml").read_text(encoding="utf-8")
    run(first, "python", "-m", "stages.config", "data=mnist", *TINY)
    result = run(first, "dvc", "repro", "prepare", check=False)
    (first / "params.yaml").write_text(committed, encoding="utf-8")
    assert result.returncode
    assert "prepare: data/mnist: found no *train*.csv" in result.stderr
    assert "`make mnist`" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_params_in_dvc_yaml_are_the_arguments_of_its_run(stage):
    module = __import__(f"stages.{stage}.stage", fromlist=["run"])
    taken = set(inspect.signature(module.run).parameters) - {"paths", "params_file"}
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["params"]
    assert {name.split(".")[0] for name in declared} == taken


def modules_behind(stage):
    """The files of `stages/` that a stage's package imports, and what they import."""
    found, waiting = set(), sorted((ROOT / "stages" / stage).rglob("*.py"))
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "stages":
                module = ROOT.joinpath(*node.module.split("."))
                names = [module, *(module / name.name for name in node.names)]
                files = [path for name in names for path in (name.with_suffix(".py"), name / "__init__.py")]
                waiting += [path for path in files if path.is_file()]
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_runs_a_stage_again_when_code_that_it_imports_has_changed(stage):
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["deps"]
    # These run a stage and record it: no result depends on them.
    around = {
        "stages/__init__.py",
        *(
            f"stages/{name}.py"
            for name in (
                "command",
                "config",
                "errors",
                "interruption",
                "leftovers",
                "lock",
                "orphan",
                "place",
                "plain_yaml",
                "quiet",
            )
        ),
    }
    for file in sorted(modules_behind(stage)):
        name = file.relative_to(ROOT).as_posix()
        if name in around or name.startswith("stages/tracking/"):
            continue
        assert any(name == dep or name.startswith(f"{dep}/") for dep in declared), name


WITHOUT = """
import runpy, sys
(_, stage, *packages), sys.argv = sys.argv, ["stage"]
sys.modules.update(dict.fromkeys(packages))  # to import one of them is an error
runpy.run_module(f"stages.{stage}", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("stage", "packages"),
    [
        ("prepare", ["tensorflow", "keras", "mlflow"]),
        ("batches", ["tensorflow", "keras", "mlflow"]),
        ("evaluate", ["tensorflow", "keras"]),
        ("render", ["tensorflow", "keras"]),
    ],
)
def test_stages_without_a_network_run_without_tensorflow(first, stage, packages):
    run(first, "python", "-c", WITHOUT, stage, *packages)
