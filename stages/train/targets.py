"""Building what a `_target_` section of the configuration names: networks, losses, optimizers."""

import difflib
import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
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


def build(section: Mapping[str, Any], name: str, allowed: Sequence[str] = (), kind: type = object, **given: Any) -> Any:
    """Call the target of a section with the section's other keys as arguments.

    Nested mappings with a `_target_` are built first.

    Args:
        section: with `_target_`, a dotted path.
        name: the section's name, for errors.
        allowed: dotted paths of further functions that a configuration may call.
        kind: what the result must be an instance of.
        given: arguments that the caller knows and the section need not name.

    Raises:
        UserError: the target does not exist, is neither a part of Keras's kinds nor a builder of this project, lacks an
            argument or does not take one, refuses a value, or gives something of another kind.
    """
    path = section["_target_"]
    target = _resolve(path, f"{name}._target_", allowed)
    arguments = {
        key: build(value, f"{name}.{key}", allowed) if isinstance(value, Mapping) and "_target_" in value else value
        for key, value in section.items()
        if key != "_target_"
    }
    _check_arguments(target, {**given, **arguments}, name, path)
    try:
        built = target(**given, **arguments)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: {path} refuses its arguments: {' '.join(str(error).split())}") from error
    if not isinstance(built, kind):
        raise UserError(f"{name}._target_: {path} gives a {type(built).__name__}, expected a Keras {kind.__name__}")
    return built


def _resolve(path: str, name: str, allowed: Sequence[str]) -> Callable[..., Any]:
    module_name, _, attribute = path.rpartition(".")
    if not module_name:
        raise UserError(f"{name}: found {path!r}, expected a dotted path such as keras.optimizers.Adam")
    try:
        target = getattr(_import(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{name}: found {path!r}, which does not exist ({error})") from None
    if not _is_allowed(target, path, allowed):
        raise UserError(
            f"{name}: found {path!r}, expected a Keras loss, layer, model, optimizer, schedule, or a builder of this "
            f"project; to allow it, add it to allowed_targets"
        )
    return target


def _import(name: str) -> Any:
    # `keras.optimizers.schedules` is an attribute of a module in some releases and a module in others.
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        parent, _, attribute = name.rpartition(".")
        if not parent or error.name != name:
            raise
        return getattr(_import(parent), attribute)


def _is_allowed(target: Any, path: str, allowed: Sequence[str]) -> bool:
    # Judged by what the path resolves to: `keras.….tarfile.open` begins with keras too.
    if path in allowed:
        return callable(target)
    if inspect.isclass(target):
        return issubclass(target, KERAS_PARTS)
    return inspect.isfunction(target) and target.__module__.startswith("stages.train.")


def _check_arguments(target: Callable[..., Any], arguments: Mapping[str, Any], name: str, path: str) -> None:
    parameters = inspect.signature(target).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key in arguments:
        if key not in parameters and not takes_any:
            close = difflib.get_close_matches(key, parameters, n=1, cutoff=0)
            nearest = f", the nearest valid one is {name}.{close[0]}" if close else ""
            raise UserError(f"{name}.{key}: unknown argument of {path}{nearest}")
        if key in parameters and not _fits(arguments[key], parameters[key].annotation):
            expected = parameters[key].annotation.__name__
            raise UserError(f"{name}.{key}: found {arguments[key]!r}, expected {_KINDS[expected]}")
    for key, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        if required and key not in arguments:
            raise UserError(f"{name}.{key}: missing; {path} needs it")


_KINDS = {"bool": "true or false", "int": "a whole number", "float": "a finite number", "str": "a word"}


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of a plain annotated type; other annotations, and none, take anything."""
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, annotation) if annotation in (bool, str) else True
