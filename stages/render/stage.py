"""The render stage: embeddings and images in; maps, the gallery of the worst, files for the Embedding Projector out."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages import config, cores, naming, progress, store, tracking
from stages.embedded import Split, load_classes, load_split
from stages.render import gallery, interactive, maps, projections, projector
from stages.render.controls import View
from stages.render.sampling import stratified
from stages.render.thumbnails import thumbnails
from stages.tracking.runs import run_id_in

FEATURES = {"raw": "Raw pixels", "embedding": "Trained embedding"}
LARGEST = 64  # pixels a side: larger images are drawn, and compared as raw pixels, after they were averaged down
PAGE = "map.html"


@dataclass(frozen=True)
class Sample:
    """What is drawn of a split.

    Attributes:
        split: its name.
        total: how many images it has.
        rows: int `[N]`, which of them these are.
        images: uint8 `[N, H, W, C]`, at most `LARGEST` a side.
        labels: int32 `[N]`.
        trained: float32 `[N, D]`.
        reduced: whether the images were larger.
    """

    split: str
    total: int
    rows: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    trained: np.ndarray
    reduced: bool

    def features(self, kind: str) -> np.ndarray:
        """One of `FEATURES` as `[N, D]`."""
        return self.images.reshape(len(self.images), -1) if kind == "raw" else self.trained

    def size(self) -> str:
        """How many of how many."""
        return f"{len(self.rows):,} of {self.total:,}"

    def remark(self, kind: str) -> str:
        """A line on these features, where there is something to say."""
        height, width = self.images.shape[1:3]
        return f"\nraw pixels averaged down to {width} × {height}" if kind == "raw" and self.reduced else ""


Projected = tuple[str, str, str]  # method, kind of features, split


def run(data: config.Data, render: config.Render, paths: config.Paths, seed: int, threads: int) -> None:
    """Draw maps of raw pixels and the trained embedding and a gallery of the worst; write the projector's files.

    Raises:
        UserError: a file is missing or malformed, or a method needs a package that is not installed.
    """
    began = time.perf_counter()
    projections.check_available(render.methods)
    run_id_in(Path(paths.model) / "run.json")  # before anything is written: it may be refused
    train = load_split(paths, "train")
    test = load_split(paths, "test", train)
    classes = load_classes(paths, (train, test))
    written = draw_all(train, test, classes, data.name, render, paths, seed, cores.limit(threads))
    settings = dict(config.flatten({"render": render.model_dump()}))
    with tracking.continued(Path(paths.model) / "run.json", settings=settings) as tracked:
        for folder, files in written.items():
            for file in files:
                tracked.artifact(file, folder)
    seconds = time.perf_counter() - began
    count = len(written["maps"])
    print(f"wrote {count} files into {paths.maps}, projector files into {paths.projector} ({seconds:.1f} s)")


def draw_all(
    train: Split,
    test: Split,
    classes: Sequence[str],
    data_name: str,
    settings: config.Render,
    paths: config.Paths,
    seed: int,
    workers: int,
) -> dict[str, list[Path]]:
    """Write every file, with a progress bar; returns them under `maps` and `projector`."""
    folder = Path(paths.maps)
    names = names_with_unseen(classes, train.labels)
    short_names = names_with_unseen([naming.shown(name) for name in classes], train.labels)
    samples = (
        sample_of("train", train, settings.train_points, seed),
        sample_of("test", test, settings.test_points, seed),
    )
    maps_wanted = len(settings.methods) * len(FEATURES) * len(samples)
    with (
        store.together(),
        naming.missing_letters_told(classes),
        progress.bar("render", maps_wanted + len(settings.methods) + 3, "parts") as bar,
    ):
        remove_earlier(folder)
        found = {}
        for key, projection in project_all(samples, settings, seed, workers):
            found[key] = projection
            bar.update()
        pictures = []
        for method in settings.methods:
            pictures += draw_maps(folder, method, found, samples, short_names, data_name)
            bar.update()
        pictures.append(write_interactive(folder, settings.methods, found, samples[-1], names, data_name))
        bar.update()
        pictures += gallery.draw(folder, test, train.labels, classes, settings, workers)
        bar.update()
        files = write_projector(Path(paths.projector), test, classes, data_name, settings.projector_points, seed)
        bar.update()
    return {"maps": pictures, "projector": files}


def remove_earlier(folder: Path) -> None:
    """Remove what an earlier run drew, perhaps by methods that this one does not use."""
    drawn = [f"_{kind}_{split}" for kind in FEATURES for split in ("train", "test")]
    pictures = [f"{method}{name}.png" for method in projections.TITLES for name in ("", *drawn)]
    for name in (*pictures, *gallery.FILES, PAGE):
        store.remove(folder / name)


def names_with_unseen(classes: Sequence[str], train_labels: np.ndarray) -> list[str]:
    """The names, with a remark at those that training never saw.

    >>> names_with_unseen(["cat", "dog"], np.array([0, 0]))
    ['cat', 'dog (unseen)']
    """
    seen = set(train_labels.tolist())
    return [name if label in seen else f"{name} (unseen)" for label, name in enumerate(classes)]


def sample_of(split: str, data: Split, limit: int, seed: int) -> Sample:
    """At most `limit` images, stratified by class."""
    rows = stratified(data.labels, limit, seed)
    images = thumbnails(data.images, rows, LARGEST)
    reduced = max(data.images.shape[1:3]) > LARGEST
    return Sample(split, len(data.labels), rows, images, data.labels[rows], data.trained[rows], reduced)


def project_all(
    samples: Sequence[Sample], settings: config.Render, seed: int, workers: int
) -> Iterator[tuple[Projected, projections.Projection]]:
    """Project each kind of features of each sample by each method."""
    jobs: dict[Projected, tuple[str, np.ndarray]] = {
        (method, kind, sample.split): (method, sample.features(kind))
        for sample in sorted(samples, key=lambda sample: -len(sample.rows))  # the longest first
        for method in settings.methods
        for kind in FEATURES
    }
    return projections.project_all(jobs, settings.perplexity, seed, workers)


def draw_maps(
    folder: Path,
    method: str,
    found: Mapping[Projected, projections.Projection],
    samples: Sequence[Sample],
    names: Sequence[str],
    data_name: str,
) -> list[Path]:
    """Draw `<method>_<raw|embedding>_<train|test>.png` and the sheet of all four; returns the files."""
    title = projections.TITLES[method]
    drawn = {
        folder / f"{method}_{kind}_{sample.split}.png": maps.Map(
            projection=found[method, kind, sample.split],
            labels=sample.labels,
            names=names,
            title=f"{seen_as}, {sample.split}: {title} of {sample.size()} images{sample.remark(kind)}",
        )
        for kind, seen_as in FEATURES.items()
        for sample in samples
    }
    for path, one in drawn.items():
        maps.draw_one(path, one)
    sheet = folder / f"{method}.png"
    maps.draw_sheet(sheet, list(drawn.values()), f"{data_name}: raw pixels and trained embedding")
    return [*drawn, sheet]


def write_interactive(
    folder: Path,
    methods: Sequence[str],
    found: Mapping[Projected, projections.Projection],
    sample: Sample,
    names: Sequence[str],
    data_name: str,
) -> Path:
    """Write the page of all maps of the test images; returns it."""
    views = [
        View(seen_as, projections.TITLES[method], found[method, kind, sample.split])
        for kind, seen_as in FEATURES.items()
        for method in methods
    ]
    page = folder / PAGE
    points = interactive.Points(sample.images, sample.labels, names, sample.rows)
    interactive.write(page, points, views, f"{data_name}: {sample.size()} test images")
    return page


def write_projector(
    folder: Path, test: Split, classes: Sequence[str], data_name: str, limit: int, seed: int
) -> list[Path]:
    """Write the files of `projector.FILES` for the test images; returns them."""
    sample = sample_of("test", test, limit, seed)
    return projector.write(
        folder, sample.trained, sample.images, sample.labels, sample.rows, classes, f"{data_name} test"
    )
