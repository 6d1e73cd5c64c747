"""Django's routes and regular expressions as paths: ``books/<int:pk>/`` and ``^books/(?P<pk>[0-9]+)/$`` alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_CONVERTED: Final = re.compile(r"<(?:(?P<type>[^<>:]+):)?(?P<name>[^<>]+)>")
_TYPES: Final[Mapping[str, str]] = {"int": "integer", "float": "number"}
_NAMED: Final = re.compile(r"\(\?P<([A-Za-z_]\w*)>")
_DIGITS: Final = frozenset({r"\d+", r"[0-9]+", r"\d*", r"[0-9]*", r"-?\d+", r"\d{4}", r"\d{1,2}", r"\d{2}", r"[\d]+"})
# Longer and deeper than any route that people write.
_MAX_LENGTH: Final = 500
_MAX_DEPTH: Final = 10

Path = tuple[str, dict[str, str]]
"""A path, and its parameters with their JSON type."""


def read_route(route: str) -> Path:
    """A route of ``path()``."""
    parameters: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        name = match["name"].strip()
        parameters[name] = _TYPES.get((match["type"] or "").strip(), "string")
        return f"{{{name}}}"

    return _CONVERTED.sub(replace, route[:_MAX_LENGTH]), parameters


def read_regex(pattern: str) -> Path:
    """A regular expression, as Django's own documentation pages simplify it.

    Groups become parameters, anchors go, an optional character (``/?``) stays.
    """
    parameters: dict[str, str] = {}
    return _simplify(pattern[:_MAX_LENGTH], parameters, 0), parameters


def _simplify(text: str, parameters: dict[str, str], depth: int) -> str:
    parts: list[str] = []
    position = 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            parts.append(_escaped(text[position + 1 : position + 2]))
            position += 2
        elif char == "(":
            end = _closing(text, position)
            parts.append(_group(text[position:end], parameters, depth))
            position = _behind_quantifier(text, end)
        elif char == "[":
            end = _class_end(text, position)
            parts.append(text[position:end])
            position = end
        else:
            parts.append("" if char in "^$?" else char)
            position += 1
    return "".join(parts)


def _escaped(char: str) -> str:
    r"""``\.`` is a dot; ``\A`` and its like are places; ``\d`` outside a group stays as it is written."""
    if char in {"A", "Z", "z", "b", "B"}:
        return ""
    return f"\\{char}" if char.isalnum() else char


def _group(group: str, parameters: dict[str, str], depth: int) -> str:
    named = _NAMED.match(group)
    if named:
        inside = group[named.end() : -1]
        parameters[named[1]] = "integer" if inside in _DIGITS else "string"
        return f"{{{named[1]}}}"
    # A group that holds named ones is no parameter itself.
    if depth < _MAX_DEPTH and (group.startswith("(?:") or _NAMED.search(group)):
        return _simplify(group[3 if group.startswith("(?:") else 1 : -1], parameters, depth + 1)
    # (?i), (?=…), (?!…), (?<=…) match no text of their own.
    if group.startswith("(?"):
        return ""
    name = "var" if "var" not in parameters else f"var{len(parameters) + 1}"
    parameters[name] = "integer" if group[1:-1] in _DIGITS else "string"
    return f"{{{name}}}"


def _closing(text: str, start: int) -> int:
    """Behind the bracket that closes the one at ``start``; the end where none does."""
    depth = 0
    position = start
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 2
            continue
        if char == "[":
            position = _class_end(text, position)
            continue
        depth += {"(": 1, ")": -1}.get(char, 0)
        position += 1
        if depth == 0:
            return position
    return len(text)


def _class_end(text: str, start: int) -> int:
    """Behind the ``]`` of ``[…]``."""
    position = start + 1
    if text[position : position + 1] == "^":
        position += 1
    if text[position : position + 1] == "]":
        position += 1
    while position < len(text) and text[position] != "]":
        position += 2 if text[position] == "\\" else 1
    return min(position + 1, len(text))


def _behind_quantifier(text: str, position: int) -> int:
    match = re.compile(r"[?*+]\??|\{\d*,?\d*\}").match(text, position)
    return match.end() if match else position
