"""What all six stages leave behind on a small data set, and a stage that is run again, in this process."""

import contextlib
import shutil

import pytest

from stages import command, config, store
from stages.render import gallery, projector
from stages.train.targets import build
from tests.prepare.small import write_four
from tests.small import settings

STAGES = ("prepare", "batches", "train", "embed", "evaluate", "render")
SMALL = (
    "data.name=small",
    "data.validation=0.2",
    "batches.classes_per_batch=3",
    "evaluate.balanced_pairs=100",
    "evaluate.resamples=40",
    "evaluate.knn=3",
    "render.methods=[pca]",
    "render.train_points=30",
    "render.test_points=30",
    "render.projector_points=30",
    "render.gallery=2",
)
STAND_INS = (
    *("artifacts/model/history.csv", "artifacts/model/training.json", "plots/training.png"),
    *(f"plots/maps/{name}.png" for name in ("pca", "pca_raw_train", "pca_raw_test", "pca_embedding_train")),
    *(f"plots/maps/{name}" for name in ("pca_embedding_test.png", "map.html", *gallery.FILES)),
    *(f"artifacts/projector/{name}" for name in projector.FILES),
)
OUTPUTS = {
    "prepare": ("data/prepared",),
    "batches": ("data/batches.npy",),
    "train": ("artifacts/model", "plots/training.png"),
    "embed": ("artifacts/embeddings",),
    "evaluate": ("metrics", "plots/measures"),
    "render": ("plots/maps", "artifacts/projector"),
}


def make(folder):
    """Run the stages, their outputs in `folder`; of training and render, which take longest, there are stand-ins."""
    write_four(folder / "source", train=90, test=30)
    run("prepare", folder)
    run("batches", folder)
    model = folder / "artifacts" / "model"
    model.mkdir(parents=True)
    build(settings(folder).network, "network", input_shape=(4, 4, 1)).save(model / "embedder.keras")
    store.save_json(model / "run.json", {"run_id": "0123456789abcdef0123456789abcdef"})
    run("embed", folder)
    run("evaluate", folder)
    for name in STAND_INS:
        store.save_text(folder / name, 5000 * "of an earlier run\n")


def copy(folder, to):
    """The same in another folder."""
    for name in ("source", "data", "artifacts", "metrics", "plots"):
        shutil.copytree(folder / name, to / name)


def run(stage, folder, *overrides, within=contextlib.nullcontext):
    """Run a stage as its command does.

    Args:
        stage: its name.
        folder: of its outputs; the settings lie beside it.
        overrides: of settings.
        within: makes a context for the run alone.
    """
    found = settings(folder, f"data.path={folder / 'source'}", *SMALL, *overrides)
    params = folder.with_name(f"{folder.name}.yaml")
    params.write_text(config.as_yaml(found), encoding="utf-8")
    with within():
        command.main(stage, ["--params", str(params)])


def files(folder):
    """The content of each file in a folder but for checkpoints, by its path in it."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if not name.startswith(".checkpoints/")}


def written_by(stage, folder):
    """The paths of a stage's outputs."""
    tops = [folder / name for name in OUTPUTS[stage]]
    return [path for top in tops for path in ([top] if top.is_file() else top.rglob("*")) if path.is_file()]


def refusal(stage, folder, capfd, *overrides, within=contextlib.nullcontext):
    """The line on standard error, the only one there, of a run that ends with status 1; no file has changed."""
    before = files(folder)
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(stage, folder, *overrides, within=within)
    out, err = capfd.readouterr()
    assert ended.value.code == 1
    assert "Traceback" not in out
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert files(folder) == before
    return err.rstrip("\n")
