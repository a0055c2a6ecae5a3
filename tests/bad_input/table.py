"""A case of the table, and what is asserted of each: one line, exit status 1, no file changed, nothing executed."""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stages import config, store
from stages.command import main
from tests.prepare import small
from tests.small import write_prepared

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Refused:
    """An input that a stage refuses.

    Attributes:
        name: what is wrong with it.
        stage: which stage reads it.
        line: what standard error holds behind the stage's name; `{}` is the folder of everything, `…` any text.
        spoil: changes the valid input in that folder.
        settings: keys of the configuration that differ.
        edit: changes the text of `params.yaml`.
    """

    name: str
    stage: str
    line: str
    spoil: Callable[[Path], object] = lambda folder: None
    settings: Mapping[str, Any] = field(default_factory=dict)
    edit: Callable[[str], str | bytes] = lambda text: text

    def __str__(self) -> str:
        return f"{self.stage}: {self.name}"


def refuse(case: Refused, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Run the stage as its command does and assert that the case is refused as it says."""
    write_input(folder, case.stage)
    case.spoil(folder)
    text = case.edit(params(folder, case.settings))
    (folder / "params.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    before = contents(folder)
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(case.stage, ["--params", str(folder / "params.yaml")])
    written = capfd.readouterr().err
    assert ended.value.code == 1
    assert re.fullmatch(pattern(f"{case.stage}: {case.line}", folder), written), written
    # An older output is as it was, no temporary file is left, and no payload has left its mark.
    assert contents(folder) == before


def write_input(folder: Path, stage: str) -> None:
    """Write valid input of a stage, and an older output in the place of each that it would write."""
    (folder / "params.yaml").write_text(params(folder, {}), encoding="utf-8")
    configured = config.load(folder / "params.yaml")
    if stage == "prepare":
        small.write_four(folder / "in")
    else:
        write_prepared(configured)
        write_embeddings(configured.paths)
        store.save_json(folder / "artifacts/model/run.json", {"run_id": "0" * 32})
    for name in _OUTPUTS[stage]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"of an earlier run")


_KINDS = ("embeddings", "untrained")
_OUTPUTS = {
    "prepare": [
        "data/prepared/classes.json",
        "data/prepared/summary.json",
        *(f"data/prepared/{split}_{kind}.npy" for split in SPLITS for kind in ("images", "labels")),
    ],
    "batches": ["data/batches.npy"],
    "train": ["artifacts/model/embedder.keras", "artifacts/model/history.csv", "plots/training.png"],
    "embed": [
        "artifacts/embeddings/head.npy",
        *(f"artifacts/embeddings/{split}_{kind}.npy" for split in SPLITS for kind in _KINDS),
    ],
    "evaluate": ["metrics/evaluate.json", "metrics/threshold.json", "plots/measures/test_roc.png"],
    "render": ["plots/maps/pca.png", "plots/maps/map.html", "artifacts/projector/vecs.tsv"],
}


def write_embeddings(paths: config.Paths) -> None:
    """Embeddings of the prepared images in three dimensions."""
    rng = np.random.default_rng(0)
    for split in SPLITS:
        labels = np.load(Path(paths.prepared) / f"{split}_labels.npy")
        store.save_array(Path(paths.embeddings) / f"{split}_labels.npy", labels)
        for kind in _KINDS:
            store.save_array(
                Path(paths.embeddings) / f"{split}_{kind}.npy", rng.normal(size=(len(labels), 3)).astype(np.float32)
            )


def params(folder: Path, settings: Mapping[str, Any]) -> str:
    """The text of `params.yaml`: small networks and batches, all paths in the folder, and these keys changed."""
    content = yaml.safe_load(_composed())
    content["paths"] = {name: str(folder / path) for name, path in content["paths"].items()}
    content["data"]["path"] = str(folder / "in")
    for key, value in settings.items():
        *sections, name = key.split(".")
        functools.reduce(lambda inside, part: inside[part], sections, content)[name] = value
    return yaml.safe_dump(content, sort_keys=False)


@functools.cache
def _composed() -> str:
    smaller = ["network.widths=[2,4,4]", "network.embedding_dim=3", "train.steps=4", "train.steps_per_epoch=2"]
    return config.compose([*smaller, "batches.classes_per_batch=4", "batches.samples_per_class=3", "data.name=small"])


def contents(folder: Path) -> dict[str, bytes | str]:
    """The bytes of every file below the folder, where every link leads, and which folders there are."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder" if path.is_dir() else "no ordinary file"
    return found


def pattern(line: str, folder: Path) -> str:
    """The regular expression of one line in which `{}` is the folder and `…` any text."""
    return ".*".join(re.escape(part) for part in line.replace("{}", str(folder)).split("…")) + "\n"


def in_turn(*changes: Callable[[Path], object]) -> Callable[[Path], None]:
    """All of these changes, one after another."""

    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def link_to_itself(path: Path) -> None:
    """A link that leads nowhere, in a loop."""
    path.symlink_to(path.name)
