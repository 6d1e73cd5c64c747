"""Methods of strings, lists and dictionaries, and the elements of a loop over a value."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from preview.endpoints.names import UNKNOWN
from preview.endpoints.python.truth import Native
from preview.endpoints.python.values import Record

# Limits memory when a loop doubles a value again and again.
MAX_LENGTH: Final = 100_000


def items_of(value: object) -> list[object] | None:
    """Return the elements of a loop over a value; None if unknown."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return list(value)
    return value.elements() if isinstance(value, Native) else None


def call_method(
    value: str | list[object] | dict[object, object],
    name: str,
    arguments: Sequence[object],
    named: Mapping[str, object],
) -> object:
    """Evaluate ``value.name(…)``, which may change a list or a mapping; ``UNKNOWN`` if the result is not known."""
    if isinstance(value, str):
        return _of_text(value, name, arguments, named)
    if isinstance(value, list):
        return _of_list(value, name, arguments)
    return _of_mapping(value, name, arguments, named)


_TEXT_TO_TEXT: Final[Mapping[str, Callable[..., object]]] = {
    name: getattr(str, name)
    for name in (
        *("strip", "lstrip", "rstrip", "lower", "upper", "title", "capitalize", "removeprefix", "removesuffix"),
        *("replace", "startswith", "endswith", "isdigit", "isidentifier", "casefold"),
        *("split", "rsplit", "splitlines", "partition", "rpartition"),
    )
}


def _of_text(text: str, name: str, arguments: Sequence[object], named: Mapping[str, object]) -> object:
    if name == "join":
        return _join(text, arguments[0] if arguments else UNKNOWN)
    if name == "format":
        return _format(text, arguments, named)
    method = _TEXT_TO_TEXT.get(name)
    if method is None or named or not all(isinstance(item, (str, int)) for item in arguments):
        return UNKNOWN
    put_in = len(arguments[-1]) if arguments and isinstance(arguments[-1], str) else 1
    if name == "replace" and len(text) * put_in > MAX_LENGTH:
        return UNKNOWN
    try:
        found = method(text, *arguments)
    except (TypeError, ValueError):
        return UNKNOWN
    return list(found) if isinstance(found, (list, tuple)) else found


def _join(text: str, parts: object) -> object:
    known = [item for item in parts if isinstance(item, str)] if isinstance(parts, list) else []
    if not isinstance(parts, list) or len(known) != len(parts):
        return UNKNOWN
    return text.join(known) if sum(map(len, known)) + len(text) * len(known) <= MAX_LENGTH else UNKNOWN


def _format(text: str, arguments: Sequence[object], named: Mapping[str, object]) -> object:
    """Evaluate ``"{}/{name}".format(…)`` for strings and small numbers, without widths and attributes."""
    found: list[str] = []
    position = 0
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        return UNKNOWN
    for literal, field, spec, conversion in parts:
        found.append(literal)
        if field is None:
            continue
        value: object = UNKNOWN
        if not field or field.isdigit():
            index, position = (int(field[:4]), position) if field else (position, position + 1)
            value = arguments[index] if index < len(arguments) else UNKNOWN
        else:
            value = named.get(field, UNKNOWN)
        if spec or conversion or isinstance(value, bool) or not _is_short(value):
            return UNKNOWN
        found.append(str(value))
    return "".join(found) if sum(map(len, found)) <= MAX_LENGTH else UNKNOWN


def _is_short(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 10**9)


def _of_list(values: list[object], name: str, arguments: Sequence[object]) -> object:
    first = arguments[0] if arguments else UNKNOWN
    if name in {"copy", "union"}:
        return [*values, *(first if isinstance(first, list) else [])]
    if name == "pop":
        return values[-1] if values and not arguments else UNKNOWN
    if name == "index":
        return values.index(first) if first in values else UNKNOWN
    if len(values) >= MAX_LENGTH or not arguments:
        return UNKNOWN
    if name == "append" or (name == "add" and first not in values):
        values.append(first)
    elif name == "insert" and len(arguments) > 1 and isinstance(first, int):
        values.insert(max(-len(values), min(first, len(values))), arguments[1])
    elif name in {"extend", "update"}:
        more = first if isinstance(first, list) else [first]
        values += more if len(values) + len(more) <= MAX_LENGTH else []
    return None


def _of_mapping(
    mapping: dict[object, object], name: str, arguments: Sequence[object], named: Mapping[str, object]
) -> object:
    first = arguments[0] if arguments else UNKNOWN
    second = arguments[1] if len(arguments) > 1 else None
    match name:
        case "items":
            return [Record([key, value]) for key, value in mapping.items()]
        case "keys":
            return list(mapping)
        case "values":
            return list(mapping.values())
        case "copy":
            return dict(mapping)
        case "get" | "pop":
            # A partly known mapping may have more keys.
            return mapping.get(first, second) if isinstance(first, (str, int)) else UNKNOWN
        case "setdefault":
            if isinstance(first, (str, int)) and len(mapping) < MAX_LENGTH:
                return mapping.setdefault(first, second)
        case "update":
            if len(mapping) < MAX_LENGTH:
                mapping.update(first if isinstance(first, dict) else {})
                mapping.update(named)
            return None
    return UNKNOWN
