"""Reads YAML that holds values alone, each of them once.

PyYAML takes an alias (`*name`), which may stand for itself or for billions of values, and of equal keys the last one.
"""

from typing import Any

import yaml

_FAULTS = (ValueError, LookupError, AttributeError, TypeError)
"""What PyYAML raises beside its own errors: on a date that is none, `0b_`, `!!bool maybe`, `!!timestamp now`."""


def read(text: str) -> Any:
    """The value that a YAML text stands for.

    Raises:
        ValueError: it is not YAML, or has an alias, a key twice, or more than values; its message is one line.

    >>> read("a: [1, x]")
    {'a': [1, 'x']}
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(_place_and_problem(error)) from None
    except RecursionError:
        raise ValueError("found values too deep in each other") from None


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise _fault(f"found the alias *{event.anchor}, expected what it stands for", event)
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _FAULTS as error:
            raise _fault(f"found a value that cannot be read ({_in_a_line(str(error))})", node) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise _fault(f"found the key {key.value} twice, expected it once", key)
            keys.add(str(key.value))
        return super().construct_mapping(node, deep)


def _fault(problem: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)


def _place_and_problem(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return _in_a_line(str(error))
    return f"line {mark.line + 1}, column {mark.column + 1}: {_in_a_line(problem)}"


def _in_a_line(text: str) -> str:
    return " ".join(text.split())
