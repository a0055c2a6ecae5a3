"""The settings: composed from `conf/` into `params.yaml`, read from there by every stage, and checked.

`python -m stages.config [OVERRIDE …]` composes, writes `params.yaml` and names the keys that it changed.
"""

import argparse
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from stages import plain_yaml, store
from stages.errors import UserError, said_by

CONF = Path(__file__).resolve().parent.parent / "conf"
_SHOWN = 100  # letters of a faulty key or value
_SWEEPS = "sweep"  # presets of what is composed from sweep.yaml
Share = Annotated[float, Field(gt=0, lt=1)]
Side = Annotated[int, Field(ge=1, le=8192)]
_MOST = 2**31  # of anything: more than any array here could have
Count = Annotated[int, Field(ge=1, lt=_MOST)]
Several = Annotated[int, Field(ge=2, lt=_MOST)]
Many = Annotated[int, Field(ge=20, lt=_MOST)]
Points = Annotated[int, Field(ge=10, lt=_MOST)]
Place = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f]*$")]  # a path: not empty, nor of several lines
ClassName = Annotated[str, BeforeValidator(lambda name: str(name) if type(name) is int else name)]  # 7 as well as "7"


class Section(BaseModel):
    """A part of the configuration: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Data(Section):
    """Which images, and how they are split."""

    name: Place
    path: Place
    source: Literal["csv", "folder", "idx"]
    shape: list[Count] | None  # of CSV: [H, W] or [H, W, C]; None: square and grey, from the number of columns
    image_size: Side | None  # side in pixels to which the square in the middle is resized; None: as it is
    holdout_classes: list[ClassName] | None  # tested and never trained on; None: the classes that only test has
    validation: Annotated[float, Field(gt=0, le=0.5)]  # share of the training images
    transpose: bool | None = None  # rows for columns, as EMNIST's files need it
    # Of source folder alone.
    channels: Literal[1, 3] | None = None  # None: 1 if all images are grey
    test: Annotated[float, Field(gt=0, le=0.5)] | None = None  # share of the images, where there is no folder test
    max_pixels: Count | None = None  # an image that has more is not decoded
    skip_unreadable: bool | None = None  # leave out files that are no whole image

    @model_validator(mode="after")
    def _shape_is_an_image(self) -> "Data":
        if self.shape is not None and not (len(self.shape) == 2 or (len(self.shape) == 3 and self.shape[2] in (1, 3))):
            raise ValueError("shape is [height, width] or [height, width, channels] with 1 or 3 channels")
        return self

    @model_validator(mode="after")
    def _keys_are_those_of_the_source(self) -> "Data":
        of_source = {"csv": ["shape"], "folder": ["max_pixels", "skip_unreadable", "channels", "test"]}
        for source, keys in of_source.items():
            foreign = [key for key in keys if source != self.source and getattr(self, key) is not None]
            if foreign:
                raise ValueError(f"{foreign[0]} is a key of source {source}, and source is {self.source}")
        return self


class ClassBalanced(Section):
    """P×K batches: `classes_per_batch` classes with `samples_per_class` images each."""

    layout: Literal["pk"]
    classes_per_batch: Several
    samples_per_class: Several

    @property
    def size(self) -> int:
        """Images in a batch."""
        return self.classes_per_batch * self.samples_per_class


class Shuffled(Section):
    """Plain random batches."""

    layout: Literal["shuffled"]
    batch_size: Several

    @property
    def size(self) -> int:
        """Images in a batch."""
        return self.batch_size


class Pairs(Section):
    """Pairs of images: half of one class, half of two."""

    layout: Literal["pairs"]
    pairs_per_batch: Several

    @property
    def size(self) -> int:
        """Images in a batch."""
        return 2 * self.pairs_per_batch


class Triplets(Section):
    """Triplets of images: an anchor, another of its class (the positive), one of another class (the negative)."""

    layout: Literal["triplets"]
    triplets_per_batch: Count
    num_same: Count  # positives that an anchor draws at once
    num_diff: Count  # negatives that it draws with them, each of which it meets with each of these positives

    @property
    def size(self) -> int:
        """Images in a batch."""
        return 3 * self.triplets_per_batch


Batches = ClassBalanced | Shuffled | Pairs | Triplets
_LAYOUTS: dict[str, type[Section]] = {
    name: section for section in get_args(Batches) for name in get_args(section.model_fields["layout"].annotation)
}


class Augmentation(Section):
    """Largest random change of a training image in either direction; 0 switches one off."""

    shift: Annotated[float, Field(ge=0)]  # pixels
    rotation: Annotated[float, Field(ge=0, le=180)]  # degrees
    scale: Annotated[float, Field(ge=0, lt=1)]  # a factor between 1 / (1 + scale) and 1 + scale
    shear: Annotated[float, Field(ge=0, lt=1)]  # tangent of the angle


class Train(Section):
    """How long to train, in which arithmetic, and on what."""

    steps: Count
    steps_per_epoch: Count  # after as many steps: validation, a line of history
    checkpoint_seconds: Annotated[float, Field(ge=0)]  # so much training a kill can cost
    strategy: Literal["single", "mirrored", "data_parallel"]  # single: one device; else all share each batch
    precision: Literal["auto", "float32", "mixed_bfloat16"]  # mixed: layers compute in bfloat16, weights are float32
    augmentation: Augmentation

    @model_validator(mode="after")
    def _epochs_are_whole(self) -> "Train":
        if self.steps % self.steps_per_epoch:
            raise ValueError(
                f"steps ({self.steps}) is no multiple of steps_per_epoch ({self.steps_per_epoch}): set both"
            )
        return self


class Evaluate(Section):
    """What is measured."""

    recall_at: Annotated[list[Count], Field(min_length=1)]  # the ks of recall@k and precision@k
    queries: Count | None  # of each view, that look for their neighbours: all up to this number, else a sample
    index: Literal["exact", "hnsw", "ivf"]  # how neighbours are found: all of them, or what such an index finds
    index_recall: Share  # of the nearest, that hnsw and ivf are to find; else all are compared
    knn: Count  # neighbours that vote
    gallery_queries: Count  # test images looked up among the training images: all up to this number, else a sample
    balanced_pairs: Many  # for the 10-fold verification accuracy
    all_pairs_up_to: Many  # natural pairs: all up to this number, else a sample
    sampled_pairs: Many  # natural pairs in a sample; intervals always go by one
    fars: Annotated[list[Share], Field(min_length=1)]  # at which VAL is reported
    threshold_far: Share | None  # FAR by which the threshold is calibrated; None: by EER
    resamples: Annotated[int, Field(ge=40, lt=_MOST)]  # of the bootstrap intervals

    @model_validator(mode="after")
    def _lists_are_sets(self) -> "Evaluate":
        if 1 not in self.recall_at:
            raise ValueError(f"recall_at is {self.recall_at}; it needs a 1, by which classes are compared")
        for name in ("recall_at", "fars"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}; it must name nothing twice")
        return self


class Render(Section):
    """What is drawn."""

    methods: Annotated[list[Literal["pca", "tsne", "umap"]], Field(min_length=1, max_length=3)]  # of the maps
    train_points: Points  # training images in a map, at most
    test_points: Points  # test images in a map and in map.html
    perplexity: Annotated[float, Field(gt=0)]  # of t-SNE
    gallery: Annotated[int, Field(ge=1, le=200)]  # rows of each picture of the worst
    projector_points: Points

    @model_validator(mode="after")
    def _methods_are_a_set(self) -> "Render":
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods is {self.methods}; it must name nothing twice")
        return self


class Paths(Section):
    """Where the stages put what they make, relative to the folder they run in."""

    prepared: Place
    batches: Place
    model: Place
    checkpoints: Place
    embeddings: Place
    metrics: Place
    plots: Place
    measures: Place
    maps: Place
    projector: Place


class Config(Section):
    """All settings. `network`, `loss` and `optimizer` name a `_target_`, whose signature checks the rest."""

    data: Data
    batches: Annotated[Batches, Field(discriminator="layout")]
    network: dict[str, Any]
    loss: dict[str, Any]
    optimizer: dict[str, Any]
    train: Train
    evaluate: Evaluate
    render: Render
    paths: Paths
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Annotated[int, Field(ge=0, le=1024)]
    allowed_targets: list[str]

    @model_validator(mode="after")
    def _parts_have_targets(self) -> "Config":
        for name in ("network", "loss", "optimizer"):
            if not isinstance(getattr(self, name).get("_target_"), str):
                raise ValueError(f"{name} has no _target_, the dotted path of a class or function")
        return self


def compose(overrides: Sequence[str] = ()) -> str:
    """The text of `params.yaml` that `conf/` gives with these Hydra overrides, byte for byte as DVC writes it.

    Raises:
        UserError: Hydra refuses an override or a file, or the result is not a valid configuration.

    >>> "margin: 0.3" in compose(["loss.margin=0.3"])
    True
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    with refusals(overrides):
        with initialize_config_dir(str(CONF), version_base=None):
            composed = hydra_compose("config", overrides=list(overrides))
        OmegaConf.resolve(composed)
        text = OmegaConf.to_yaml(composed)
    parse(text, "conf")
    return text


@contextmanager
def refusals(overrides: Sequence[str], beside: Sequence[str] = ()) -> Iterator[None]:
    """Turn what Hydra raises while it composes with these overrides into a `UserError`.

    Args:
        overrides: of the composition.
        beside: keys that are valid in it beside those of the pipeline.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except PermissionError:
        raise
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, OSError) as error:
        raise UserError(f"conf: {_advice(error, overrides, beside) or said_by(error)}") from None


def load(path: str | Path = "params.yaml") -> Config:
    """Read and check a composed configuration.

    Raises:
        UserError: no such file, not YAML, an unknown or missing key, a value out of range.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `python -m stages.config` composes it from conf/") from None
    except PermissionError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable ({error}); expected YAML in UTF-8") from None
    return parse(text, str(path))


def parse(text: str, source: str) -> Config:
    """Check the YAML `text` of a configuration; `source` names it in errors."""
    try:
        content = plain_yaml.read(text)
    except ValueError as error:
        raise UserError(f"{source}: not readable as YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{source}: found {type(content).__name__}, expected sections like `data:` and `loss:`")
    return validate(content, source)


def validate(content: Mapping[str, Any], source: str) -> Config:
    """Check the sections of a configuration; `source` names it in errors."""
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{source}: {_describe(error)}") from None


def as_yaml(settings: Config) -> str:
    """The text of a configuration, without the keys that it leaves to their defaults."""
    return yaml.safe_dump(settings.model_dump(exclude_unset=True), sort_keys=False, allow_unicode=True)


def flatten(content: Mapping[str, Any], prefix: str = "", separator: str = ".") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings under the names on the way to them, joined by dots or another separator.

    >>> dict(flatten({"loss": {"margin": 0.5}, "seed": 0}))
    {'loss.margin': 0.5, 'seed': 0}
    """
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}{separator}", separator)
        else:
            yield f"{prefix}{key}", value


def changes(before: str, after: str) -> list[str]:
    r"""One line for every key that differs between two YAML texts.

    >>> changes("a: 1\nb: 2", "a: 1\nb: 3\nc: 4")
    ['b: 2 → 3', 'c: (not set) → 4']
    """
    old, new = (dict(flatten(yaml.safe_load(text) or {})) for text in (before, after))
    names = [*new, *(name for name in old if name not in new)]
    absent = "(not set)"
    return [
        f"{name}: {old.get(name, absent)} → {new.get(name, absent)}"
        for name in names
        if old.get(name, absent) != new.get(name, absent)
    ]


def write(path: str | Path, overrides: Sequence[str] = ()) -> list[str]:
    """Compose into `path`; returns the changed keys, as `changes` gives them."""
    text = compose(overrides)
    before = Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""
    if before == text:
        return []
    store.save_text(path, text)
    try:
        return changes(before, text)
    except (yaml.YAMLError, AttributeError):
        return [f"{path} was not readable as settings and has been replaced"]


def _describe(error: ValidationError) -> str:
    first = error.errors()[0]
    keys = [_shortened(str(part)) for part in first["loc"]]
    layout = None
    if keys[:1] == ["batches"] and len(keys) > 1:
        layout = keys.pop(1)  # Pydantic puts the tag of the union into the location: no key of the user's
    key = ".".join(keys)
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key{_nearest(keys, layout)}"
    if first["type"] == "missing":
        return f"{key}: missing; expected a value"
    message = (
        first["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "expected")
        .replace("String should", "expected to")
    )
    if first["type"] == "string_pattern_mismatch":
        message = "expected no control characters"
    message = message[:1].lower() + message[1:]
    found = first["input"]
    if isinstance(found, (dict, BaseModel)):
        return f"{key}: {message}" if key else message
    return f"{key}: found {_shortened(repr(found))}, {message}"


def _shortened(text: str) -> str:
    line = text.translate({10: "\\n", 13: "\\r"})
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _nearest(keys: list[str], layout: str | None) -> str:
    section: Any = Config
    for key in keys[:-1]:
        section = _LAYOUTS[layout] if layout else section.model_fields[key].annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return ""
    known = list(section.model_fields)
    close = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0)
    return f", the nearest valid one is {'.'.join([*keys[:-1], close[0]])}" if close else ""


def _advice(error: Exception, overrides: Sequence[str], beside: Sequence[str]) -> str | None:
    """For an option or a key that does not exist. Of a key Hydra would say to add it, which would do nothing."""
    no_option = re.search(
        r"Could not find '(.+)/(.+)'\s+Available options in '.+':(.*)Config search path", str(error), re.DOTALL
    )
    if no_option:
        group, option, there = no_option.group(1), no_option.group(2), no_option.group(3).split()
        close = difflib.get_close_matches(option, there, n=1, cutoff=0)
        return f"{group}={option}: no such option, the nearest valid one is {close[0]} of {', '.join(there)}"
    refused = re.search(r"Could not override '([^']+)'", str(error))
    if not refused or refused.group(1).startswith("hydra"):
        return None
    key = refused.group(1)
    groups = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != _SWEEPS)
    chosen = [override for override in overrides if override.lstrip("+").partition("=")[0] in groups]
    known = [name for name, _ in flatten(yaml.safe_load(compose(chosen)))]
    close = difflib.get_close_matches(key, [*known, *groups, *beside], n=1, cutoff=0)
    return f"{key}: unknown key, the nearest valid one is {close[0]}"


def main(arguments: list[str] | None = None) -> None:
    """Compose `params.yaml` and name the keys that changed; exits with status 1 after a `UserError`."""
    parser = argparse.ArgumentParser(prog="python -m stages.config", description=__doc__)
    parser.add_argument("overrides", nargs="*", help="as in `loss.margin=0.3` or `data=mnist`")
    options = parser.parse_args(arguments)

    def compose_and_tell() -> None:
        for change in write("params.yaml", options.overrides):
            print(f"params.yaml: {change}")

    from stages.command import call_or_exit

    call_or_exit("config", compose_and_tell, debug=False)


if __name__ == "__main__":
    main()
