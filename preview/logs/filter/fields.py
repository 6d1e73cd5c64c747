"""Fields of structured lines: JSON objects (structlog, pino, OpenTelemetry, …) and logfmt.

Every step is bounded and linear: a line has a limited size, ``json`` refuses deep nesting, and a path has few parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice

from preview.core.escapes import without_colours

_MOST_PARTS = 16
# Elements of a list, and values of a name in a line, that are compared.
_MOST_VALUES = 32
# Objects in which libraries put the fields that an application adds.
_NESTED = ("attributes", "fields", "extra", "context")
# Wrappers of values in OpenTelemetry's JSON encoding (``AnyValue``).
_OTEL_VALUES = ("stringValue", "intValue", "doubleValue", "boolValue")
_MESSAGES = ("message", "msg", "event", "body")
_LEVELS = ("level", "severity", "levelname", "severityText", "severity_text", "lvl")
_ALIASES: Mapping[str, tuple[str, ...]] = {"message": _MESSAGES, "level": _LEVELS}


def json_object(message: str) -> Mapping[str, object] | None:
    """Return the object that a line consists of; None if it is no JSON object.

    Args:
        message: One line, with or without colours.
    """
    text = without_colours(message) if "\x1b" in message else message
    if not (text.startswith("{") and text.rstrip().endswith("}")):
        return None
    found = json_value(text)
    return found if isinstance(found, dict) else None


def json_value(text: str | bytes) -> object:
    """Return the value of a JSON text; None if it is none. Its size is bounded by the caller."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # not JSON; integers of thousands of digits; deep nesting
        return None


def field_values(message: str, path: str, json_of: Callable[[], Mapping[str, object] | None]) -> list[object]:
    """Return the values of a field in a line; empty if the line has no such field.

    Args:
        message: One line.
        path: Names joined by dots. The line may have them nested, or as one name with dots. The paths ``message`` and
            ``level`` also find the usual other names of these fields.
        json_of: Returns the JSON object that the line consists of.
    """
    if not any(name in message for name in last_names(path)):
        return []
    if message[:1] == "{" or "{" in message[:80]:
        found = json_of()
        if found is not None:
            return values_in(found, path)
    if "=" not in message:
        return []
    text = without_colours(message) if "\x1b" in message else message
    return [value for one in _ALIASES.get(path, (path,)) for value in _logfmt(text, one)]


@lru_cache(256)
def last_names(path: str) -> tuple[str, ...]:
    """Return the names, of which a line that has the field has at least one as it is; a first, cheap test."""
    return tuple(one.rpartition(".")[2] for one in _ALIASES.get(path, (path,)))


def values_in(found: object, path: str) -> list[object]:
    """Return the values of a field in a JSON value, see ``field_values``; of a list, its first elements."""
    for one in _ALIASES.get(path, (path,)):
        values = _lookup(found, one)
        if not values and isinstance(found, Mapping):
            for name in _NESTED:
                values = _lookup(_opened(found.get(name)), one)
                if values:
                    break
        if values:
            return values
    return []


def _lookup(found: object, path: str) -> list[object]:
    if not isinstance(found, Mapping):
        return []
    if path in found:
        return _listed(_opened(found[path]))
    parts = path.split(".", _MOST_PARTS)
    # The longest name with dots first: `{"user.id": 7}`, then `{"user": {"id": 7}}`.
    for cut in range(len(parts) - 1, 0, -1):
        inner = found.get(".".join(parts[:cut]))
        if inner is not None:
            values = _lookup(_opened(inner), ".".join(parts[cut:]))
            if values:
                return values
    return []


def _opened(value: object) -> object:
    """Return an OpenTelemetry value without its wrapper, and a list of keys and values as an object."""
    if isinstance(value, Mapping) and len(value) == 1:
        for name in _OTEL_VALUES:
            if name in value:
                return value[name]
    if (
        isinstance(value, list)
        and value
        and all(isinstance(one, Mapping) and isinstance(one.get("key"), str) for one in value)
    ):
        # The values are opened when they are looked up: opening all here would recurse as deep as the text nests.
        return {one["key"]: one.get("value") for one in value}
    return value


def _listed(value: object) -> list[object]:
    return [_opened(one) for one in value[:_MOST_VALUES]] if isinstance(value, list) else [value]


@lru_cache(256)
def _logfmt_pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf'(?<!\S){re.escape(name)}=(?:"((?:[^"\\]|\\.)*+)"|([^\s"]*+)(?!\S))')


def _logfmt(text: str, name: str) -> list[object]:
    return [
        match[2] if match[1] is None else re.sub(r"\\(.)", r"\1", match[1])
        for match in islice(_logfmt_pattern(name).finditer(text), _MOST_VALUES)
    ]
