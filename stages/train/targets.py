"""Building what a `_target_` section of the configuration names: networks, losses, optimizers."""

import difflib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from stages.errors import UserError, said_by
from stages.train import trusted


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
        UserError: the target does not exist, may not be called, lacks an argument or does not take one, refuses a
            value, or gives something of another kind.
    """
    path = section["_target_"]
    target = trusted.resolve(path, f"{name}._target_", allowed)
    arguments = {key: _argument(value, f"{name}.{key}", allowed) for key, value in section.items() if key != "_target_"}
    _check_arguments(target, {**given, **arguments}, name, path)
    try:
        built = target(**given, **arguments)
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:  # there is nothing that foreign code and backends would not raise
        kind_of_error = "" if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: "
        raise UserError(f"{name}: {path} refuses its arguments: {kind_of_error}{said_by(error)}") from error
    if not isinstance(built, kind):
        raise UserError(f"{name}._target_: {path} gives a {type(built).__name__}, expected a Keras {kind.__name__}")
    if isinstance(built, keras.Model):
        trusted.refuse_foreign_code(built, name, path)
    return built


def _argument(value: Any, name: str, allowed: Sequence[str]) -> Any:
    if isinstance(value, Mapping) and "_target_" in value:
        return build(value, name, allowed)
    trusted.refuse_hidden_objects(value, name)
    return value


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
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, annotation) if annotation in (bool, str) else True
