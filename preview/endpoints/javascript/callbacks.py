"""Functions that are handed to code outside the project, which will call them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from preview.endpoints.javascript.patterns import parameters
from preview.endpoints.javascript.syntax import may_register, text
from preview.endpoints.javascript.values import Function, JSObject

__all__ = ["functions_worth_reading"]

# Options within options, and how many there are of one kind; more is data.
_MAX_NESTED: Final = 2
_MAX_OPTIONS: Final = 30
_REQUESTS: Final = frozenset({"req", "request", "_req", "ctx", "_"})


def functions_worth_reading(values: Sequence[object]) -> list[Function]:
    """Those among arguments that may register something; no handlers of requests."""
    return [item for item in _functions_in(values, 0) if not _is_handler(item) and may_register(item.node)]


def _functions_in(values: Sequence[object], depth: int) -> list[Function]:
    """Functions among arguments, also those in lists and options (``bootstrap({loaders: [start]})``)."""
    found: list[Function] = []
    for value in values:
        if isinstance(value, Function):
            found.append(value)
        elif isinstance(value, (list, JSObject)) and depth < _MAX_NESTED:
            inner = value if isinstance(value, list) else list(value.names.values())
            found += _functions_in(inner, depth + 1) if len(inner) <= _MAX_OPTIONS else []
    return found


def _is_handler(function: Function) -> bool:
    return text(next(parameters(function.node), None)) in _REQUESTS
