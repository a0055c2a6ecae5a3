"""Which classes and functions a configuration may call: a settings file from elsewhere is not to run code of its own.

Nothing is imported to find out but modules of Keras and of `stages/train/`, each from where it was installed.
"""

import importlib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from stages.errors import UserError

KERAS_PARTS = (
    keras.losses.Loss,
    keras.layers.Layer,
    keras.Model,
    keras.optimizers.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
)
FOREIGN_CODE = tuple(
    getattr(keras.layers, name)
    for name in ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
    if hasattr(keras.layers, name)
)
"""Layers that run a function or a graph from outside Keras; a file that holds one holds code."""

_KERAS, _PROJECT = "keras", "stages.train"
_FOLDERS = (Path(keras.__file__).resolve().parent, Path(__file__).resolve().parent)
_HOW_TO_ALLOW = "to allow it, add it to allowed_targets"


def resolve(path: str, name: str, allowed: Sequence[str] = ()) -> Callable[..., Any]:
    """What a dotted path names, if a configuration may call it.

    Args:
        path: of a class of Keras's kinds, of a public builder in `stages/train/`, or one of `allowed`.
        name: the key that it stands under, for errors.
        allowed: dotted paths of further functions and classes, whatever they are.

    Raises:
        UserError: there is no such thing, or it may not be called.
    """
    parts = path.split(".") if isinstance(path, str) else []
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise UserError(f"{name}: found {path!r}, expected a dotted path such as keras.optimizers.Adam")
    if path not in allowed and not _is_looked_up(path):
        raise _refusal(path, name)
    try:
        target = getattr(_import(".".join(parts[:-1])), parts[-1]) if path in allowed else _found(path)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{name}: found {path!r}, which does not exist ({error})") from None
    if path in allowed and callable(target):
        return target
    if inspect.isclass(target) and issubclass(target, FOREIGN_CODE):
        raise UserError(
            f"{name}: found {path!r}, a layer that runs code from outside Keras and would not be loaded again; "
            f"expected a layer class, or a function in stages/train/, that computes with keras.ops; {_HOW_TO_ALLOW}"
        )
    if not (_is_part(target) or _is_builder(target)):
        raise _refusal(path, name)
    return target


def refuse_foreign_code(model: keras.Model, name: str, path: str) -> None:
    """Refuse a network with a layer, however deep, of `FOREIGN_CODE`: the embed stage would not load it.

    Args:
        model: what was built.
        name: the section's name, for errors.
        path: what built it, for errors.

    Raises:
        UserError: it holds such a layer.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, FOREIGN_CODE):
            raise UserError(
                f"{name}: {path} gives a network with the layer {layer.name!r}, a {type(layer).__name__}, which runs "
                "code from outside Keras and would not be loaded again; expected layers that compute with keras.ops"
            )


def refuse_hidden_objects(value: Any, name: str) -> None:
    """Refuse an argument in which an object is described that Keras would make without any of these checks.

    Args:
        value: an argument as the configuration has it, a section with a `_target_` apart, which is built.
        name: its key, for errors.

    Raises:
        UserError: a mapping within it has a `class_name` or a `_target_`.
    """
    if isinstance(value, Mapping):
        for mark in ("class_name", "_target_"):
            if mark in value:
                raise UserError(
                    f"{name}: found a mapping with {mark} {value[mark]!r}; expected plain values, or a section with a "
                    "_target_ right below the section that takes it"
                )
        for key, inner in value.items():
            refuse_hidden_objects(inner, f"{name}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, inner in enumerate(value):
            refuse_hidden_objects(inner, f"{name}[{number}]")


def _refusal(path: str, name: str) -> UserError:
    return UserError(
        f"{name}: found {path!r}, expected a Keras loss, layer, model, optimizer, schedule, initializer or "
        f"regularizer, or a builder in stages/train/; {_HOW_TO_ALLOW}"
    )


def _is_looked_up(path: str) -> bool:
    """Whether modules are imported to look at it: only public ones, of Keras and of `stages/train/`."""
    return path.startswith((f"{_KERAS}.", f"{_PROJECT}.")) and "._" not in path


def _found(path: str) -> Any:
    # By what modules hold and not by getattr: some of Keras's import another package when they are asked.
    root = _KERAS if path.startswith(f"{_KERAS}.") else _PROJECT
    target, parts = importlib.import_module(root), path.removeprefix(f"{root}.").split(".")
    for part, is_last in zip(parts, [False] * (len(parts) - 1) + [True], strict=True):
        if not isinstance(target, ModuleType):
            raise AttributeError(f"nothing has the attribute {part!r} there")
        if _has_module(target, part) and not (is_last and part in vars(target)):
            target = importlib.import_module(f"{target.__name__}.{part}")
        elif part in vars(target):
            target = vars(target)[part]
        else:
            raise AttributeError(f"module {target.__name__!r} has no attribute {part!r}")
    return target


def _has_module(package: ModuleType, name: str) -> bool:
    """Whether it is a package of Keras or of this project and has a module of this name."""
    folders = [Path(folder).resolve() for folder in getattr(package, "__path__", ())]
    return any(
        (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
        for folder in folders
        if any(folder.is_relative_to(known) for known in _FOLDERS)
    )


def _import(name: str) -> Any:
    # `keras.optimizers.schedules` is an attribute of a module in some releases and a module in others.
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        parent, _, attribute = name.rpartition(".")
        if not parent or error.name != name:
            raise
        return getattr(_import(parent), attribute)


def _is_part(target: Any) -> bool:
    return inspect.isclass(target) and issubclass(target, KERAS_PARTS) and _is_from(target, _KERAS, _PROJECT)


def _is_builder(target: Any) -> bool:
    """Whether it is a function in `stages/train/` that says no other than that it gives a part of Keras's kinds.

    All of this project's say what they give: no function that writes files, or imports, is taken for a builder. One of
    the user's own need not.
    """
    if not inspect.isfunction(target) or not _is_from(target, _PROJECT) or target.__name__.startswith("_"):
        return False
    try:
        gives = typing.get_type_hints(target).get("return", keras.Model)
    except NameError:  # a name that only a type checker sees
        return False
    return inspect.isclass(gives) and issubclass(gives, KERAS_PARTS)


def _is_from(target: Any, *packages: str) -> bool:
    return f"{target.__module__}.".startswith(tuple(f"{package}." for package in packages))
