"""JSON files that the project requires."""

from __future__ import annotations

import json
from typing import Final

from preview.endpoints.javascript.values import UNKNOWN, JSObject

__all__ = ["read_json"]

_MAX_DEPTH: Final = 30


def read_json(text: bytes) -> object:
    """The value of a JSON file; ``UNKNOWN`` where it is none."""
    try:
        return _value(json.loads(text), 0)
    except (ValueError, RecursionError):
        return UNKNOWN


def _value(value: object, depth: int) -> object:
    if depth > _MAX_DEPTH:
        return UNKNOWN
    if isinstance(value, dict):
        return JSObject({key: _value(item, depth + 1) for key, item in value.items()})
    return [_value(item, depth + 1) for item in value] if isinstance(value, list) else value
