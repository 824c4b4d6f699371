"""Globals of functions that go by value, where they arrive.

Each such function arrives with a copy of the globals that it uses, as they were when it was pickled.
What a worker's initializer has set is the worker's own and wins: an initializer that says
`global model` is seen by tasks that read `model`, as it would be had the module been imported.
"""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["keep_globals", "new_namespace", "whole"]

T = TypeVar("T")

_own: dict[str, dict[str, Any]] = {}  # module name → what this worker's initializer has set there
_arrived: list[dict[str, Any]] = []  # namespaces made by the load that goes on; only where _own is not empty


def new_namespace(attributes: dict[str, Any]) -> dict[str, Any]:
    """The globals of one module, for the functions of one pickle."""
    if _own:
        _arrived.append(attributes)
    return attributes


def keep_globals(module: str, values: dict[str, Any]) -> None:
    """Have functions that arrive from now on see these globals, set by this worker's initializer."""
    _own[module] = values


def whole(value: T) -> T:
    """A value that was just rebuilt, once the functions in it know their module."""
    while _arrived:
        namespace = _arrived.pop()
        namespace.update(_own.get(namespace.get("__name__", ""), {}))
    return value
