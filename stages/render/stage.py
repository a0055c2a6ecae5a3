"""The render stage: embeddings and images in; t-SNE maps and files for the Embedding Projector out."""

import sys
import time
from pathlib import Path

import numpy as np

from stages import config, store, tracking
from stages.embedded import Split, load_split
from stages.errors import UserError
from stages.render import maps, projector
from stages.render.sampling import stratified

SHEET = "tsne.png"
SEEN_AS = {"raw": "Raw pixels", "embedding": "Trained embedding"}
DRAWN = ("train", "test")


def run(data: config.Data, render: config.Render, paths: config.Paths, seed: int) -> None:
    """Draw raw pixels and the trained embedding of training and test images, and write the projector's files."""
    began = time.perf_counter()
    splits = {name: load_split(paths, name) for name in DRAWN}
    classes = load_classes(paths, splits)
    pictures = draw_maps(splits, classes, data.name, render, Path(paths.maps), seed)
    files = write_projector(splits["test"], classes, data.name, render, Path(paths.projector), seed)
    settings = dict(config.flatten({"render": render.model_dump()}))
    with tracking.continued(Path(paths.model) / "run.json", settings=settings) as tracked:
        for folder, written in (("maps", pictures), ("projector", files)):
            for file in written:
                tracked.artifact(file, folder)
    seconds = time.perf_counter() - began
    print(f"drew {len(pictures)} maps in {paths.maps}, projector files in {paths.projector} ({seconds:.1f} s)")


def load_classes(paths: config.Paths, splits: dict[str, Split]) -> list[str]:
    """The names of the classes.

    Raises:
        UserError: no list of names, or fewer names than the labels need.
    """
    source = Path(paths.prepared) / "classes.json"
    classes = store.load_json(source)
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise UserError(f"{source}: found other content, expected a list of names")
    needed = 1 + max(int(split.labels.max(initial=-1)) for split in splits.values())
    if len(classes) < needed:
        raise UserError(
            f"{source}: found {len(classes)} names, expected {needed} as the labels of {paths.prepared} need"
        )
    return classes


def draw_maps(
    splits: dict[str, Split], classes: list[str], name: str, settings: config.Render, folder: Path, seed: int
) -> list[Path]:
    """Draw `tsne_<raw|embedding>_<train|test>.png` and the sheet of all four; returns the files."""
    drawn: dict[tuple[str, str], maps.Map] = {}
    for split in DRAWN:
        data = splits[split]
        chosen = stratified(data.labels, settings.points, seed)
        for kind, features in (("raw", _pixels(data.images, chosen)), ("embedding", data.trained[chosen])):
            _show_progress(f"t-SNE {len(drawn) + 1} of 4: {SEEN_AS[kind].lower()}, {split}, {len(chosen):,} points")
            drawn[kind, split] = maps.Map(
                points=maps.tsne(features, settings.perplexity, seed),
                labels=data.labels[chosen],
                names=classes,
                title=f"{SEEN_AS[kind]}, {split}: t-SNE of {len(chosen):,} of {len(data.labels):,} images",
            )
    written = []
    for kind in SEEN_AS:
        for split in DRAWN:
            written.append(folder / f"tsne_{kind}_{split}.png")
            maps.draw_one(written[-1], drawn[kind, split])
    written.append(folder / SHEET)
    maps.draw_sheet(
        written[-1], [drawn[kind, split] for kind in SEEN_AS for split in DRAWN], f"{name}: before and after training"
    )
    return written


def write_projector(
    test: Split, classes: list[str], name: str, settings: config.Render, folder: Path, seed: int
) -> list[Path]:
    """Write the files of `projector.FILES` for the test images; returns them."""
    chosen = stratified(test.labels, settings.projector_points, seed)
    return projector.write(
        folder, test.trained[chosen], test.images[chosen], test.labels[chosen], chosen, classes, f"{name} test"
    )


def _pixels(images: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return images[chosen].reshape(len(chosen), -1).astype(np.float32) / 255


def _show_progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"render: {line} …", file=sys.stderr)
